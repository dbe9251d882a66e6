"""Figures from runs' CSVs: no model, no data, no torch and no screen are needed.

How bytes spread over images is drawn from the per-image records beside a CSV, where there are any. Figures are drawn
with matplotlib by hand-placed panels, labels and ticks, so that the same table yields the same bytes on all machines.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.figures import coding_time, cost, paired_drop, published, rate_accuracy, sizes
from splitbench.bench.analysis.figures.learning_curves import draw_learning
from splitbench.bench.analysis.figures.panels.page import Page
from splitbench.bench.analysis.figures.style import drawing, styles
from splitbench.bench.results.table import points

__all__ = ["draw_all", "draw_learning", "draw_narrow", "pages"]


def draw_all(frame: pd.DataFrame, out: Path, report: Callable[[str], None] = lambda reason: None) -> list[Path]:
    """Draw every figure that a table has the numbers for, as SVG and PNG.

    The same table yields the same SVG, byte for byte.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        out: the folder for the files; made where it is missing.
        report: called with one sentence for each figure that is left out.

    Returns:
        The files written.

    Raises:
        UserError: ``out`` cannot be written.
    """
    with drawing():
        return [file for page in pages(frame, report) for file in page.save(out)]


def draw_narrow(frame: pd.DataFrame, out: Path) -> list[Path]:
    """Draw the figures of :func:`draw_all` one column wide, panels below one another, under the same files' names."""
    with drawing():
        return [file for page in pages(frame, lambda reason: None, narrow=True) for file in page.save(out)]


def pages(frame: pd.DataFrame, report: Callable[[str], None], *, narrow: bool = False) -> Iterator[Page]:
    """Yield every figure of a table, to be saved within :func:`drawing`; arguments as :func:`draw_all`.

    On ``narrow`` pages, of one column's width, all panels stand below one another.
    """
    looks, others = styles(frame), published.of_table(frame)
    for _, rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        if first := paired_drop.draw(rows, looks, report, narrow=narrow):
            yield first
        yield rate_accuracy.draw(rows, looks, others, narrow=narrow)
        if times := coding_time.draw(rows, looks, narrow=narrow):
            yield times
        for draw in (cost.draw_macs, cost.draw_weights, sizes.draw):
            if page := draw(rows, looks, report, narrow=narrow):
                yield page
