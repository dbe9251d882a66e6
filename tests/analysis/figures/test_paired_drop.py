"""The figure of drops with their paired intervals."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from splitbench.bench.analysis.figures import draw_all
from tests.helpers import csv_samples as samples
from tests.helpers.figure_samples import drawn_from, table, texts


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
