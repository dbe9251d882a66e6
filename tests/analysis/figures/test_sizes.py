"""The figure of how bytes spread over images."""

import itertools

import numpy as np

from splitbench.bench.analysis.figures import draw_all, sizes
from splitbench.bench.results.table import points
from tests.helpers import csv_samples as samples
from tests.helpers.figure_samples import drawn_from, table, texts, with_sizes


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


def test_sizes_that_are_the_same_for_all_images_are_drawn_or_named(tmp_path):
    rows = samples.curve([1000, 4000], [70, 75]) + samples.curve([2000], [74], method="raw")
    rows += [samples.point(2, 76, split="output", method="label-only", knob="k", value=1)]
    spread = drawn_from(tmp_path, with_sizes(tmp_path, rows))[-1]
    (axes,) = spread.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (bits)", "raw (bits)"]
    assert "beyond the axis: label-only 2 B" in texts(spread)
    assert "all images of one size" in texts(spread)


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
