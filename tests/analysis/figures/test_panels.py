"""Axes, ticks, marks and headings, as all figures share them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from splitbench.bench.analysis.figures.panels.axes import limits, log_ticks
from splitbench.bench.results.table import points
from tests.helpers import csv_samples as samples
from tests.helpers.figure_samples import ONE, drawn_from, table


def test_a_narrow_pages_heading_fits(tmp_path):
    rows = [row for s in range(3) for row in samples.curve([1000, 2000], [70.0, 75.0], seed=s)]
    (figure,) = drawn_from(tmp_path, rows)
    box = figure.suptitle(figure.get_suptitle()).get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert 0 <= box.xmin < box.xmax <= figure.bbox.xmax


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


def test_the_intervals_of_all_points_that_are_shown_are_within_the_axes(tmp_path):
    rows = samples.curve([1000, 2000, 4000], [66, 73, 76.0], wide=7.0)
    (_, (bottom, top)) = limits(points(table(tmp_path, rows)))
    assert bottom <= 66 - 7 and top >= 76 + 7
    # A chain of ever lower points does not take over the figure: what is cut is marked.
    deep = samples.curve([100 * 2**i for i in range(20)], [76 - 4 * i for i in range(19, -1, -1)], wide=7.0)
    (_, (bottom, _)) = limits(points(table(tmp_path / "deep", deep)))
    assert 50 < bottom < 53


def test_boxes_like_labels_do_not_stretch_the_axis(tmp_path):
    at = {"task": "detection", "metric": "ap", "baseline": 37.0}
    rows = samples.curve([4000, 9000], [33.0, 36.5], **at)
    answers = samples.curve([40, 80], [36.0, 37.0], split="output", method="boxes", **at)
    assert limits(points(table(tmp_path, [*rows, *answers])))[0] == limits(points(table(tmp_path, rows)))[0]


def test_every_rate_point_under_the_axis_has_an_arrow_at_its_bytes(tmp_path):
    rows = samples.curve([100, 200, 400, 1000, 2000], [1, 2, 3, 70, 75]) + samples.curve([100], [72], method="b")
    (drops,), (accuracies, *_) = (drawn_from(tmp_path, rows, drops=only) for only in (True, False))
    for figure, under in ((drops, [100, 200, 400, 1000]), (accuracies, [100, 200, 400])):
        (axes,) = figure.axes
        arrows = [line for line in axes.lines if not line.get_clip_on() and set(line.get_ydata()) == {0.0}]
        assert sorted(np.concatenate([line.get_xdata() for line in arrows]).tolist()) == under
