"""The figure of accuracy against bytes."""

from matplotlib.collections import LineCollection, PolyCollection

from tests.helpers import csv_samples as samples
from tests.helpers.figure_samples import drawn_from


def test_points_that_share_their_bytes_have_error_bars_instead_of_a_band(tmp_path):
    for spread, bands in (([1000, 1001, 1002], 1), ([1000, 2000, 4000], 2)):
        rows = samples.curve(spread, [70.0, 74.0, 75.0]) + samples.curve(
            [500, 2000, 8000], [70.0, 73.0, 75.0], method="wide"
        )
        (figure, *_) = drawn_from(tmp_path / str(bands), rows)
        (axes,) = figure.axes
        assert sum(isinstance(item, PolyCollection) for item in axes.collections) == bands
        assert sum(isinstance(item, LineCollection) for item in axes.collections) == 2 - bands


def test_no_line_is_drawn_across_a_gap_between_rate_points(tmp_path):
    rows = samples.curve([100, 200, 2000, 4000, 40_000], [60.0, 65.0, 70.0, 74.0, 75.0])
    (figure, *_) = drawn_from(tmp_path, rows)
    (axes,) = figure.axes
    lengths = [len(line.get_xydata()) for line in axes.lines if line.get_zorder() == 3]
    assert sorted(lengths) == [1, 2, 2]
    assert sum(isinstance(item, PolyCollection) for item in axes.collections) == 2
