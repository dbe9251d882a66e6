"""Figures come out for every shape of results, the same bytes each time, with whole texts apart from each other."""

import numpy as np
import pytest

from splitbench.bench.analysis.figures import draw_all, pages
from splitbench.bench.analysis.figures.panels.page import COLUMN, lay_out
from splitbench.bench.analysis.figures.style import _SPARE, drawing
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.figure_layout import faults
from tests.helpers.figure_samples import ONE, drawn_from, table, texts, with_sizes


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
    spare = {marker for _, marker in _SPARE}
    for axes in drawn["accuracy-device-macs"].panels:
        floor = axes.get_ylim()[0]
        drawn_points = [line for line in axes.lines if line.get_marker() in spare]  # of a method not known here
        assert any(np.asarray(line.get_ydata()).max() > floor for line in drawn_points)


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


def test_figures_of_means_over_seeds_say_so(tmp_path):
    costs = {"macs_head": 1e9, "macs_encoder": 0, "storage_device_bytes": 1e6}
    rows = [row for s in (0, 1) for row in samples.curve([1000, 2000], [70.0 + s, 75.0], seed=s, **costs)]
    for figure in drawn_from(tmp_path, rows):
        assert "650 images, means over 2 seeds" in texts(figure)
        assert "95 % intervals, all seeds together" in texts(figure)
    for figure in drawn_from(tmp_path / "one", rows[:2]):
        assert "seed" not in texts(figure) and "95 % interval" in texts(figure)


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


@pytest.mark.parametrize("shape", LAYOUTS)
def test_texts_lie_on_the_page_and_apart_and_markers_are_whole(tmp_path, shape):
    rows = with_sizes(tmp_path, LAYOUTS[shape])
    with drawing():
        for page in pages(table(tmp_path, rows), print):
            lay_out(page.figure)
            assert faults(page.figure) == []
