"""The figures of accuracy against what it costs: computation, weights stored and switched."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures.panels.placement import offsets
from tests.helpers import csv_samples as samples
from tests.helpers.figure_samples import ONE, drawn_from, texts


def test_weights_are_drawn_as_a_deployment_would_store_them(tmp_path):
    loaded = {"storage_device_bytes": 4e6, "switch_device_bytes": 8e5}
    packed = {"storage_device_packed_bytes": 2e6, "switch_device_packed_bytes": 4e5}
    for costs, axis, place in ((loaded | packed, "float16 where that is exact", 2e6), (loaded, "tables", 4e6)):
        rows = samples.curve([1000, 2000, 4000], [70.0, 74.0, 75.0], **costs)
        figures = drawn_from(tmp_path / f"{place:.0f}", rows)
        (figure,) = [figure for figure in figures if "weights stored" in texts(figure)]
        label = " ".join(text.get_text() for text in figure.texts)
        assert axis in label and ("float16" in label) == (costs != loaded)
        assert place in [x for line in figure.axes[0].lines for x in line.get_xdata()]


def test_methods_that_need_more_bytes_than_a_budget_are_named(tmp_path):
    costs = {"macs_head": 1e9, "macs_encoder": 0, "storage_device_bytes": 1e6}
    rows = samples.curve([100, 200, 400], [72.0, 74.0, 75.0], method="few", **costs)
    rows += samples.curve([9000], [75.0], method="many", **costs)
    rows += samples.curve([5000, 9000], [70.0, 75.0], method="few", split="layer3", **costs)
    _, macs, weights = drawn_from(tmp_path, rows)
    printed = [
        text.get_text().replace("\n", " ").replace(" · ", ", ")
        for text in macs.axes[0].texts
        if "need" in text.get_text()
    ]
    assert printed == ["need more bytes: few (at 1 of 2 splits and settings), many"]
    assert "need more bytes: few (at 1 of 2 splits and settings), many" in texts(weights)


def panel() -> Axes:
    axes = Figure(figsize=(3.0, 1.7)).subplots()
    axes.set_position((0, 0, 1, 1))
    axes.set_xlim(-5, 105)
    return axes


def test_curves_of_equal_costs_are_drawn_apart_and_nothing_below_zero():
    curves = [np.array(item, float) for item in ([0], [0], [40, 80], [60], [40.1, 90], [100])]
    apart = offsets(panel(), curves, 3.0)
    # Two at 0, to the right of it; two at 40, around it; the others where they are.
    assert apart == [0, 1.5, -0.75, 0, 0.75, 0]
    assert max(offsets(panel(), [np.zeros(1)] * 20, 3.0)) < 8


def test_no_marker_covers_the_name_of_a_split(tmp_path):
    rows = [
        item
        for place, method in enumerate("abcd")
        for split, macs in (("blocks.2", 1e9), ("blocks.4", 2e9))
        for item in samples.curve(
            [1000, 2000], [60.0 + 3 * place, 75.5], method=method, split=split, macs_head=macs, macs_encoder=0
        )
    ]
    rows.append(samples.point(2, 76, split="output", method="label-only", knob="k", value=1, macs_head=4e9))
    _, figure = drawn_from(tmp_path, rows)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        assert sorted(text.get_text() for text in axes.texts) == ["blocks.2", "blocks.4"]
        marked = [line for line in axes.lines if line.get_marker() != "None"]
        markers = [spot for line in marked for spot in line.get_transform().transform(line.get_xydata())]
        assert len(markers) >= 3
        for box in (text.get_window_extent(renderer) for text in axes.texts):
            assert axes.bbox.ymin <= box.ymin < box.ymax <= axes.bbox.ymax
            assert not [spot for spot in markers if box.padded(2 / 72 * figure.dpi).contains(*spot)]


def test_figures_of_costs_say_that_equal_ones_are_drawn_apart(tmp_path):
    rows = samples.run(splits=ONE, variants=samples.VARIANTS[:2], bits=(2, 4, 8))
    _, *figures = drawn_from(tmp_path, rows)
    headings = [box.get_title().get_text() for figure in figures for box in figure.legends]
    assert len(headings) == 2
    assert all("equal costs are drawn a little apart" in " ".join(item.split()) for item in headings)
    # Of one split there is no line to explain, and at 0 stands nothing but the picture.
    assert not any("lines join" in item or ":" in item.replace("bytes:", "").replace("0:", "") for item in headings)


def test_no_line_joins_splits_where_weights_are_the_axis(tmp_path):
    rows = samples.run({"layer1": (1e9, 800_000), "layer2": (2e9, 400_000)}, variants=("",))
    _, macs, weights = drawn_from(tmp_path, rows)
    joined = [
        [
            line
            for axes in figure.axes
            for line in axes.lines
            if line.get_linestyle() == "-" and len(line.get_xdata()) > 1
        ]
        for figure in (macs, weights)
    ]
    assert joined[0] and all(set(line.get_xdata()) <= {line.get_xdata()[0]} for line in joined[1])
    assert all({"layer1", "layer2"} <= {text.get_text() for text in axes.texts} for axes in weights.axes[:2])
