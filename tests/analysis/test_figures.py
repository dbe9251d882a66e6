"""Figures come out for every shape of results, the same bytes each time, with numbers on their axes."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures import draw_all, draw_learning, pages, published, sizes
from splitbench.bench.analysis.figures.panels.axes import limits, log_ticks
from splitbench.bench.analysis.figures.panels.page import COLUMN, lay_out
from splitbench.bench.analysis.figures.panels.placement import offsets
from splitbench.bench.analysis.figures.style import _FIXED, drawing, styles
from splitbench.bench.results.table import points, read
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import BUNDLED_METHODS
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench
from tests.helpers.figure_layout import faults

ONE = {"layer2": samples.RESNET50["layer2"]}


def table(tmp_path: Path, rows: list[samples.Row]) -> pd.DataFrame:
    return read([samples.save(tmp_path / "cells.csv", rows)])


def test_the_same_table_gives_the_same_svg_bytes_whatever_the_order_of_its_rows(tmp_path):
    rows = samples.run(splits=ONE, variants=samples.VARIANTS[:2], bits=(2, 4, 8))
    first, second = (
        draw_all(table(tmp_path, some), tmp_path / name) for name, some in (("a", rows), ("b", rows[::-1]))
    )
    assert [path.name for path in first] == [path.name for path in second]
    svgs = [
        (item.read_bytes(), two.read_bytes()) for item, two in zip(first, second, strict=True) if item.suffix == ".svg"
    ]
    assert len(svgs) == 4
    assert all(item == two for item, two in svgs)
    assert b"<dc:date>" not in svgs[0][0]


SHAPES = {
    "only the picture": [row for row in samples.run(splits={}) if row["method"] == "image"],
    "only labels": [row for row in samples.run(splits={}) if row["method"] == "label-only"],
    "only raw": [row for row in samples.run(splits=ONE) if row["method"] == "raw"],
    "one point": samples.curve([1000], [70.0]),
    "no intervals": [
        row | dict.fromkeys(("accuracy_low", "accuracy_high", "drop_low", "drop_high"), "")
        for row in samples.curve([1000, 2000], [70.0, 75.0])
    ],
    "all points alike": samples.curve([1000, 1000], [76.0, 76.0], wide=0),
    "nothing survives": samples.curve([1000, 2000], [0.1, 0.2]),
    "detection": samples.curve([1000, 4000, 9000], [20.0, 33.0, 36.5], task="detection", metric="ap", baseline=37.0),
    "seven splits": [row for i in range(7) for row in samples.curve([1000, 3000], [70, 75], split=f"features.{i}")],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_results_is_drawn_without_a_warning(tmp_path, shape, recwarn):
    printed: list[str] = []
    files = draw_all(table(tmp_path, SHAPES[shape]), tmp_path / "out", printed.append)
    assert any(path.name.startswith("rate-accuracy") for path in files)
    assert all(path.stat().st_size > 1000 for path in files)
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize("shape", SHAPES)
def test_narrow_figures_have_their_panels_below_one_another_and_all_texts_apart(tmp_path, shape):
    with drawing():
        for page in pages(table(tmp_path, SHAPES[shape]), lambda reason: None, narrow=True):
            lay_out(page.figure)
            assert page.figure.get_figwidth() == COLUMN
            assert len({round(axes.get_position().x0, 3) for axes in page.panels}) == 1
            assert faults(page.figure) == []


def test_no_panel_is_of_empty_axes(tmp_path):
    poor = samples.curve([1000, 2000], [30.0, 40.0], split="layer1", macs_head=1e9, macs_encoder=1.0)
    good = samples.curve([100, 4000], [30.0, 75.5], split="layer2", macs_head=2e9, macs_encoder=1.0)
    printed: list[str] = []
    drawn = {page.name.split("_")[0]: page for page in pages(table(tmp_path, poor + good), printed.append)}
    assert [axes.get_title(loc="left") for axes in drawn["rate-drop"].panels] == ["after layer2"]
    assert "no drops after layer1 are drawn for torchvision/resnet50 on val: all exceed 5 points" in printed
    for axes in drawn["accuracy-device-macs"].panels:
        floor = axes.get_ylim()[0]
        drawn_points = [line for line in axes.lines if line.get_marker() in tuple("dh8*")]  # of a method not known here
        assert max(y for line in drawn_points for y in line.get_ydata()) > floor


def test_a_figure_without_numbers_is_left_out_with_a_reason(tmp_path):
    printed: list[str] = []
    files = draw_all(table(tmp_path, samples.curve([1000, 2000], [70, 75])), tmp_path / "out", printed.append)
    assert [path.suffix for path in files] == [".svg", ".png"] * 2  # of drops and of accuracies
    assert "macs_head is empty" in printed[0]
    assert "storage and weight switching" in printed[1]


def test_files_are_named_after_dataset_and_backbone_and_never_collide(tmp_path):
    rows = [row for name in ("timm/a", "timm-a") for row in samples.curve([1000, 2000], [70, 75], backbone=name)]
    files = draw_all(table(tmp_path, rows), tmp_path / "out")
    assert len(set(files)) == 8


def test_an_output_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        draw_all(table(tmp_path, samples.curve([1000, 2000], [70, 75])), tmp_path / "out")


def test_known_methods_look_the_same_everywhere_and_all_curves_differ():
    names = [
        "raw",
        "image",
        "label-only",
        "quantize-rle",
        "quantize-entropy",
        "bottleneck",
        "retrained",
        "mine",
        "yours",
    ]
    frame = pd.DataFrame([(name, f"v={v}") for name in names for v in range(8)], columns=["method", "variant"])
    looks = styles(frame)
    assert len(set(looks.values())) == len(looks)
    assert looks["quantize-rle", "v=0"] == styles(frame[frame["method"] == "quantize-rle"])["quantize-rle", "v=0"]
    assert looks["mine", "v=0"] == styles(frame[frame["method"] == "mine"])["mine", "v=0"]
    assert len({look.marker for look in looks.values()}) == len(names)
    # Without colour, marker, dashes and fill still distinguish all of them.
    assert len({look[1:4] for look in looks.values()}) == len(looks)


def test_unknown_methods_differ_in_colour_as_long_as_there_are_colours_then_in_marker():
    known = ("raw", "image", "label-only", "quantize-rle", "quantize-entropy", "bottleneck", "retrained")
    for names in (("tiny-ae", "topk-zstd"), tuple("abcd"), ("mine", "yours", "theirs")):
        pairs = [(name, "") for name in (*known, *names)]
        looks = styles(pd.DataFrame(pairs, columns=["method", "variant"]))
        assert len({look.colour for look in looks.values()}) == len(pairs)
        assert len({looks[pair].marker for pair in pairs}) == len(pairs)
    many = styles(pd.DataFrame([(f"m{i}", "") for i in range(16)], columns=["method", "variant"]))
    assert len({(look.colour, look.marker) for look in many.values()}) == 16


def drawn_from(tmp_path: Path, rows: list[samples.Row], *, drops: bool = False) -> list[Figure]:
    """All figures of a table but those of drops, or these alone, laid out."""
    with drawing():
        made = pages(table(tmp_path, rows), print)
        drawn = [page.figure for page in made if page.name.startswith("rate-drop") == drops]
        for figure in drawn:
            lay_out(figure)
    assert drawn
    return drawn


def texts(figure: Figure) -> str:
    """All that a figure says beside its ticks, in one line."""
    parts = [figure.get_suptitle()]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
    for box in figure.legends:
        parts += [box.get_title().get_text(), *(text.get_text() for text in box.get_texts())]
    return " ".join(" ".join(parts).split())


def test_figures_of_means_over_seeds_say_so(tmp_path):
    costs = {"macs_head": 1e9, "macs_encoder": 0, "storage_device_bytes": 1e6}
    rows = [row for s in (0, 1) for row in samples.curve([1000, 2000], [70.0 + s, 75.0], seed=s, **costs)]
    for figure in drawn_from(tmp_path, rows):
        assert "650 images, means over 2 seeds" in texts(figure)
        assert "95 % intervals, all seeds together" in texts(figure)
    for figure in drawn_from(tmp_path / "one", rows[:2]):
        assert "seed" not in texts(figure) and "95 % interval" in texts(figure)


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


def test_a_narrow_pages_heading_fits(tmp_path):
    rows = [row for s in range(3) for row in samples.curve([1000, 2000], [70.0, 75.0], seed=s)]
    (figure,) = drawn_from(tmp_path, rows)
    box = figure.suptitle(figure.get_suptitle()).get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert 0 <= box.xmin < box.xmax <= figure.bbox.xmax


def test_drops_are_drawn_with_their_paired_intervals(tmp_path):
    rows = samples.curve([1000, 2000, 4000, 9000], [60.0, 72.0, 75.0, 76.0])
    raw = samples.curve([600_000], [76.0], method="raw")
    (figure,) = drawn_from(tmp_path, rows + raw, drops=True)
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    assert bottom > top  # the best is at the top
    lines = {
        tuple(line.get_ydata()) for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata()) > 1
    }
    assert (4.0, 1.0, 0.0) in lines  # raw cuts and what loses more than 5 points are left out
    assert "1 rate point loses more than 5 points" in texts(figure)
    bars = [item for item in axes.collections if isinstance(item, LineCollection)]
    low, high = np.array([segment[:, 1] for item in bars for segment in item.get_segments()]).T
    displayed = [row for row in rows if row["drop"] <= 5]
    assert sorted(low) == pytest.approx(sorted(row["drop_low"] for row in displayed))
    assert sorted(high) == pytest.approx(sorted(row["drop_high"] for row in displayed))
    assert all(top < end < bottom for end in [*low, *high])


def test_no_figure_of_drops_where_all_lose_too_much(tmp_path):
    printed: list[str] = []
    files = draw_all(table(tmp_path, samples.curve([1000, 2000], [60.0, 65.0])), tmp_path / "out", printed.append)
    assert not [file for file in files if file.name.startswith("rate-drop")]
    assert "no figure of drops for torchvision/resnet50 on val: all exceed 5 points" in printed[0]


def test_points_that_share_their_bytes_have_error_bars_instead_of_a_band(tmp_path):
    for spread, bands in (([1000, 1001, 1002], 1), ([1000, 2000, 4000], 2)):
        rows = samples.curve(spread, [70.0, 74.0, 75.0]) + samples.curve(
            [500, 2000, 8000], [70.0, 73.0, 75.0], method="wide"
        )
        (figure, *_) = drawn_from(tmp_path / str(bands), rows)
        (axes,) = figure.axes
        assert sum(isinstance(item, PolyCollection) for item in axes.collections) == bands
        assert sum(isinstance(item, LineCollection) for item in axes.collections) == 2 - bands


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


def test_every_box_of_the_spread_has_its_rate_points_value_and_none_covers_another(tmp_path):
    rows = samples.curve([1000, 1010, 1020, 3000], [70.0, 71.0, 72.0, 75.0])
    (tmp_path / "records").mkdir()
    for row in rows:
        sizes = row["bytes_mean"] + np.arange(-50, 51)
        np.savez(tmp_path / "records" / f"{row['key']}.npz", bytes=sizes.astype(np.uint16))
    spread = drawn_from(tmp_path, rows)[-1]
    (axes,) = spread.axes
    assert sorted(text.get_text() for text in axes.texts) == ["1", "2", "3", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (bits)"]
    boxes = [patch.get_extents() for patch in axes.patches]
    assert len(boxes) == 4
    assert not any(item.overlaps(other) for item, other in itertools.combinations(boxes, 2))


def test_learning_curves_are_called_by_the_names_in_the_table(tmp_path):
    rows = samples.curve([1000, 2000], [70.0, 75.0], backbone="mypkg.nets:MyNet", method="tiny-ae", knob="lmbda")
    samples.save(tmp_path / "cells.csv", rows)
    folder = tmp_path / "learning" / "val" / "mypkg.nets-3a-MyNet" / "layer2" / "tiny-ae" / "default"
    folder.mkdir(parents=True)
    (folder / "lmbda=0.1.csv").write_text("epoch,images,loss\n1,10,2.0\n2,20,1.0\n")
    files = draw_learning(tmp_path, tmp_path / "figures")
    assert [file.name for file in files] == [
        f"learning_val_mypkg.nets-3a-MyNet_layer2_tiny-ae.{kind}" for kind in ("svg", "png")
    ]


def test_the_axis_leaves_out_what_would_squeeze_the_rest(tmp_path):
    (low, high), (bottom, top) = limits(points(table(tmp_path, samples.run(splits=ONE))))
    assert 4_000 < low < 10_000
    assert 200_000 < high < 802_816
    assert 55 < bottom < 65
    assert 76 < top < 85


@given(st.floats(0, 7), st.floats(0.01, 6), st.integers(3, 6))
def test_every_logarithmic_axis_has_a_few_round_numbers(start, width, most):
    low, high = 10**start, 10 ** (start + width)
    marks = log_ticks(low, high, most)
    assert 1 <= len(marks) <= most
    assert all(low * 0.99 <= mark <= high * 1.01 for mark in marks)
    assert sorted(set(marks)) == marks
    if width > 0.5:
        assert len(marks) >= 2


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


LONG = "timm/vit_base_patch16_clip_quickgelu_384.laion2b_ft_in12k_in1k_with_registers"
MANY = {f"stages.{i}.blocks.attention": (3.9e9 * (i + 1) / 12, int(8e5 / 1.5**i)) for i in range(12)}
COSTS = {"macs_head": 1e9, "macs_encoder": 0.0, "storage_device_bytes": 1e6, "switch_device_bytes": 0}
LAYOUTS = {
    "one panel and long names": samples.run(ONE, learned=("bottleneck",), backbone=LONG, dataset="my-hospital-2026"),
    "twelve panels": samples.run(MANY, learned=("bottleneck", "retrained")),
    "six decades": samples.curve([3, 30, 3e3, 3e5, 3e6], [65, 70, 75, 75.5, 76.0], **COSTS),
    "nearly nothing right": samples.curve([1000], [0.4], **COSTS),
    "raw at the border": [
        *samples.curve([1000, 2000, 3000], [70, 75, 76.0], **COSTS),
        *(samples.point(size, 76, split="layer2", method="raw", knob="d", value=size) for size in (870, 3440, 3455)),
    ],
    "a long method": samples.curve([1000, 9000], [66, 76], method="one-of-my-own-" * 5, split="s" * 60, **COSTS),
}


def with_sizes(tmp_path: Path, rows: list[samples.Row]) -> list[samples.Row]:
    """Store records of bytes that differ for all rows but those of raw tensors and labels."""
    (tmp_path / "records").mkdir(parents=True)
    sized = []
    for row in rows:
        alike = row["method"] in ("raw", "label-only")
        sizes = np.full(99, row["bytes_mean"]) * (1 if alike else np.linspace(0.8, 1.2, 99))
        sizes = np.maximum(sizes, 1).astype(np.uint32)
        np.savez(tmp_path / "records" / f"{row['key']}.npz", bytes=sizes)
        sized.append(row | {"bytes_mean": sizes.mean()})
    return sized


@pytest.mark.parametrize("shape", LAYOUTS)
def test_texts_lie_on_the_page_and_apart_and_markers_are_whole(tmp_path, shape):
    rows = with_sizes(tmp_path, LAYOUTS[shape])
    with drawing():
        for page in pages(table(tmp_path, rows), print):
            lay_out(page.figure)
            assert faults(page.figure) == []


def test_the_intervals_of_all_points_that_are_shown_are_within_the_axes(tmp_path):
    rows = samples.curve([1000, 2000, 4000], [66, 73, 76.0], wide=7.0)
    (_, (bottom, top)) = limits(points(table(tmp_path, rows)))
    assert bottom <= 66 - 7 and top >= 76 + 7
    # A chain of ever lower points does not take over the figure: what is cut is marked.
    deep = samples.curve([100 * 2**i for i in range(20)], [76 - 4 * i for i in range(19, -1, -1)], wide=7.0)
    (_, (bottom, _)) = limits(points(table(tmp_path / "deep", deep)))
    assert 50 < bottom < 53


def test_every_rate_point_under_the_axis_has_an_arrow_at_its_bytes(tmp_path):
    rows = samples.curve([100, 200, 400, 1000, 2000], [1, 2, 3, 70, 75]) + samples.curve([100], [72], method="b")
    (drops,), (accuracies, *_) = (drawn_from(tmp_path, rows, drops=only) for only in (True, False))
    for figure, under in ((drops, [100, 200, 400, 1000]), (accuracies, [100, 200, 400])):
        (axes,) = figure.axes
        arrows = [line for line in axes.lines if not line.get_clip_on() and set(line.get_ydata()) == {0.0}]
        assert sorted(np.concatenate([line.get_xdata() for line in arrows]).tolist()) == under


def test_sizes_that_are_the_same_for_all_images_are_drawn_or_named(tmp_path):
    rows = samples.curve([1000, 4000], [70, 75]) + samples.curve([2000], [74], method="raw")
    rows += [samples.point(2, 76, split="output", method="label-only", knob="k", value=1)]
    spread = drawn_from(tmp_path, with_sizes(tmp_path, rows))[-1]
    (axes,) = spread.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (bits)", "raw (bits)"]
    assert "beyond the axis: label-only 2 B" in texts(spread)
    assert "all images of one size" in texts(spread)


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


def test_colours_of_known_methods_can_be_distinguished_by_the_colour_blind():
    # Machado, Oliveira and Fernandes (2009), severity 1; distances in CIELAB.
    eyes = {
        "all": np.eye(3),
        "red-blind": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
        "green-blind": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    }
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def lab(colour, eye):
        share = np.array(to_rgb(colour))
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        seen = to_xyz @ np.clip(np.array(eyes[eye]) @ linear, 0, 1) / to_xyz.sum(1)
        x, y, z = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    methods = [name for name in BUNDLED_METHODS if name != "boxes"]  # detection's label-only
    looks = styles(pd.DataFrame([(name, "") for name in methods], columns=["method", "variant"]))
    assert set(methods) <= set(_FIXED)
    for item, other in itertools.combinations({look.colour for look in looks.values()}, 2):
        for eye in eyes:
            assert np.linalg.norm(lab(item, eye) - lab(other, eye)) > 17, (item, other, eye)
    assert len({look.marker for look in looks.values()}) == len(looks)


def test_published_letters_are_drawn_as_letters(tmp_path):
    (figure, *_) = [item for item in drawn_from(tmp_path, samples.run(ONE)) if "Accuracy against bytes" in texts(item)]
    (axes,) = figure.axes
    letters = [line.get_marker() for line in axes.lines if line.get_zorder() == 2.2]
    assert len(letters) >= 3
    # One glyph, about as wide as high: its source between dollar signs is ten times as wide.
    assert all(0.1 < item.get_extents().width / item.get_extents().height < 2 for item in letters)


def test_published_points_are_shipped_with_their_source():
    shipped = published.load()
    assert shipped["source"].str.startswith("digitised from").all()
    assert shipped.groupby("system")["mark"].nunique().eq(1).all()
    assert shipped.drop_duplicates("system")["mark"].is_unique
    assert shipped["bytes"].between(10, 1e5).all()
    assert shipped["accuracy"].between(40, 77).all()


OWN_POINTS = """system,mark,task,backbone,split,dataset,baseline,bytes,accuracy,by,source
our units,Z,classification,resnet50,layer2,ImageNet validation,76.1,30000,74.0,"us, 2026",table 3
"""


def test_a_users_published_points_stand_beside_the_bundled_ones_in_figures_and_report(tmp_path, capsys):
    rows = samples.save(tmp_path / "run" / "cells.csv", samples.run(ONE, variants=("",), bits=(2, 4, 8)))
    (tmp_path / "own.csv").write_text(OWN_POINTS)
    frame = read([rows])
    published.add(frame, published.read(tmp_path / "own.csv"))
    with drawing():
        (page,) = [page for page in pages(frame, lambda reason: None) if page.name.startswith("rate-accuracy")]
    names = [text.get_text() for box in page.figure.legends for text in box.get_texts()]
    assert "our units" in names
    assert splitbench("report", rows, "--published", tmp_path / "own.csv", "--out", tmp_path / "r.html") == 0
    content = (tmp_path / "r.html").read_text()
    assert "Published beside torchvision/resnet50 on val" in content and "us, 2026" in content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("baseline,", "base,"), "is no table of published points: it lacks the columns baseline"),
        (("30000", "many"), "bytes holds 'many' where a number above 0 is expected"),
        (("Z,", "ZZ,"), "mark holds 'ZZ' where a single letter is expected"),
    ],
)
def test_a_table_that_holds_no_published_points_is_refused(tmp_path, change, message):
    (tmp_path / "own.csv").write_text(OWN_POINTS.replace(*change))
    with pytest.raises(UserError, match=message):
        published.read(tmp_path / "own.csv")


def test_published_points_stand_beside_the_same_network_with_a_like_baseline_only():
    row = {"backbone": "torchvision/resnet50", "task": "classification", "baseline": 76.13}
    assert len(published.beside(pd.DataFrame([row]))) == 44
    for other in ({"baseline": 60.0}, {"backbone": "torchvision/resnet18"}, {"task": "detection"}):
        assert published.beside(pd.DataFrame([row | other])).empty
    assert np.isclose(published.load()["bytes"].min(), 0.0054 * 224 * 224 / 8, atol=1)


def test_bytes_spread_is_drawn_from_the_records_and_reported_where_there_are_none(tmp_path):
    rows = samples.curve([1000, 3000], [70.0, 75.0], task="detection", metric="ap")
    printed: list[str] = []
    assert not [
        path for path in draw_all(table(tmp_path, rows), tmp_path / "bare", printed.append) if "spread" in path.name
    ]
    assert any("no per-image records" in reason for reason in printed)
    (tmp_path / "records").mkdir()
    np.savez(tmp_path / "records" / f"{rows[0]['key']}.npz", bytes=np.arange(101, dtype=np.uint16) + 950)
    frame = table(tmp_path, rows)
    (spread,) = sizes.spreads(points(frame)).to_dict("records")
    assert [spread[f"p{end}"] for end in sizes.ENDS] == [955, 975, 1000, 1025, 1045]
    assert [path.name for path in draw_all(frame, tmp_path / "out") if "spread" in path.name] == [
        "bytes-spread_val_torchvision--resnet50.svg",
        "bytes-spread_val_torchvision--resnet50.png",
    ]


def test_boxes_like_labels_do_not_stretch_the_axis(tmp_path):
    at = {"task": "detection", "metric": "ap", "baseline": 37.0}
    rows = samples.curve([4000, 9000], [33.0, 36.5], **at)
    answers = samples.curve([40, 80], [36.0, 37.0], split="output", method="boxes", **at)
    assert limits(points(table(tmp_path, [*rows, *answers])))[0] == limits(points(table(tmp_path, rows)))[0]


def test_the_answer_to_another_question_takes_the_place_of_the_first_ones_figures(tmp_path):
    times = {"head_ms": 4.0, "encode_ms": 1.0, "decode_ms": 0.5, "tail_ms": 2.5}
    rows = [samples.point(1000, 60, **times, split="layer2", method="b", knob="bits", value=1)]
    samples.save(tmp_path / "cells.csv", rows)
    drawn = tmp_path / "what-if"
    for drop, kinds in ((50, {"latency-link", "least-latency"}), (1, {"least-latency"})):
        assert splitbench("what-if", tmp_path, "--drop", drop) == 0
        assert {path.name.partition("_")[0] for path in drawn.glob("*.[ps][nv]g")} == kinds
    (drawn / "latency.png").touch()  # somebody's own
    assert splitbench("what-if", tmp_path) == 0 and (drawn / "latency.png").exists()


def test_no_line_is_drawn_across_a_gap_between_rate_points(tmp_path):
    rows = samples.curve([100, 200, 2000, 4000, 40_000], [60.0, 65.0, 70.0, 74.0, 75.0])
    (figure, *_) = drawn_from(tmp_path, rows)
    (axes,) = figure.axes
    lengths = [len(line.get_xydata()) for line in axes.lines if line.get_zorder() == 3]
    assert sorted(lengths) == [1, 2, 2]
    assert sum(isinstance(item, PolyCollection) for item in axes.collections) == 2


def timed(method: str, drops: list[float], milliseconds: list[float], **given: object) -> list[samples.Row]:
    """A curve of 1,000, 2,000 ... bytes, encoded in the given milliseconds and decoded in twice as many."""
    sizes = [1000.0 * (i + 1) for i in range(len(drops))]
    rows = samples.curve(sizes, [76.0 - drop for drop in drops], method=method, **given)
    return [row | {"encode_ms": ms, "decode_ms": 2 * ms} for row, ms in zip(rows, milliseconds, strict=True)]


def test_bytes_at_equal_accuracy_against_coding_time(tmp_path):
    rows = [
        *timed("quantize-rle", [5.0, 1.0, 0.0], [1.0, 2.0, 4.0]),
        *timed("quantize-entropy", [2.0, 0.0, 0.0], [3.0, 5.0, 7.0]),
        *timed("quantize-context", [0.5, 0.0, 0.0], [11.0, 12.0, 13.0]),
        *timed("raw", [0.0], [0.1]),
        *timed("feature-image", [9.0, 8.0, 7.0], [1.0, 1.0, 1.0]),
        *timed("image", [0.0], [2.0], split="input"),
    ]
    (figure,) = [figure for figure in drawn_from(tmp_path, rows) if "against coding time" in texts(figure)]
    (axes,) = figure.axes
    shown = {tuple(line.get_xydata()[0].round(3).tolist()) for line in axes.lines if len(line.get_xydata()) == 1}
    # Measured at the drop; between two rate points, at the time of the larger; at most; and the picture's.
    assert shown == {(6.0, 2000.0), (15.0, 1414.214), (33.0, 1000.0), (6.0, 1000.0)}
    assert "lose more: feature-image" in texts(figure)
    assert "at most: loses less at its lowest rate" in texts(figure)
    assert faults(figure) == []


def test_coding_time_is_not_drawn_of_two_curves_nor_without_times(tmp_path):
    some = [row for name in ("a", "b") for row in timed(name, [2.0, 0.5], [1.0, 2.0])]
    without = [row for name in ("a", "b", "c") for row in samples.curve([1000, 2000], [70, 75], method=name)]
    for rows in (some, without):
        assert not any("against coding time" in texts(figure) for figure in drawn_from(tmp_path, rows))
