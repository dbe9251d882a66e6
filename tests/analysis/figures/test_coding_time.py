"""The figure of bytes at equal accuracy against coding time."""

from tests.helpers import csv_samples as samples
from tests.helpers.figure_layout import faults
from tests.helpers.figure_samples import drawn_from, texts


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
