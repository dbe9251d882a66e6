"""Figures from runs' CSVs alone: no model, no data and no torch are needed, and no screen."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from splitbench.bench.figures import cost, rate
from splitbench.bench.figures.style import RC, styles
from splitbench.bench.table import points

__all__ = ["draw_all"]


def draw_all(frame: pd.DataFrame, out: Path, report: Callable[[str], None] = lambda reason: None) -> list[Path]:
    """Draws every figure that a table has the numbers for, as SVG and PNG.

    The same table gives the same SVG, byte for byte.

    Args:
        frame: as :func:`splitbench.bench.table.read` returns it.
        out: folder for the files; made where it is missing.
        report: called with one sentence for each figure that is left out.

    Returns:
        The files written.

    Raises:
        UserError: ``out`` cannot be written.
    """
    good, looks = points(frame), styles(frame)
    files: list[Path] = []
    with mpl.rc_context():
        # From the defaults, whatever the user's matplotlibrc says.
        mpl.rcdefaults()
        for name, value in RC.items():
            mpl.rcParams[name] = value
        for _, rows in good.groupby(["dataset", "backbone"], sort=True):
            files += rate.draw(rows, looks, out)
            files += cost.draw_macs(rows, looks, out, report)
            files += cost.draw_weights(rows, looks, out, report)
    return files
