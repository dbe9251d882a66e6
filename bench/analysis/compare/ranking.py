"""What competes at each split, best first, and how much more than the best the others need."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from splitbench.bench.results.names import UNCUT, Row, curve_name

EVERY_SPLIT = "every split"
"""Where one that sends the picture is the best at all splits: its answer is the same at each of them."""


def rank(table: pd.DataFrame, splits: Sequence[str], by: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield splits, each with the rows that compete there, best first; those that send the picture do at every split.

    Where such a one is the best at each of several splits, there is one ranking of all rows, under :data:`EVERY_SPLIT`.

    Args:
        table: rows of one dataset and backbone, for one question, those of running everything on the device left out.
        splits: as :func:`splitbench.bench.analysis.compare.curves.front.splits_in_order` returns them.
        by: ``bytes``, of which fewer are better, or ``accuracy``; of equal accuracies, as far as they are printed, the
            one for fewer bytes is better. Rows in which it is nan are left out.
    """
    known = table.dropna(subset=[by])
    # A bound before an equal number: it may be less.
    worse = [known["bytes"], known["how"] != "at most"]
    keys = worse if by == "bytes" else [-known["accuracy"].round(2), *worse]
    order = known.iloc[np.lexsort([key.to_numpy() for key in reversed(keys)])]
    ranked = [(split, order[order["split"].isin([split, "input"])]) for split in splits]
    if len(ranked) > 1 and all(len(rows) and rows["split"].iloc[0] == "input" for _, rows in ranked):
        yield EVERY_SPLIT, order[order["split"].isin([*splits, "input"])]
    else:
        yield from ranked


def name_at(row: Row, at_split: str) -> str:
    """Return a curve's name for a ranking, with its split where that one is over all of them."""
    name = curve_name(str(row["method"]), str(row["variant"]))
    return f"{name} after {row['split']}" if at_split == EVERY_SPLIT and row["split"] not in UNCUT else name


def times_the_bytes(best: Row, other: Row) -> str:
    """Say how many times the bytes of ``best`` ``other`` needs: ``1.6 times the bytes``; empty where both are bounds.

    Args:
        best: with the columns ``bytes`` and ``how``.
        other: likewise.
    """
    bounds = best["how"] == "at most", other["how"] == "at most"
    sign = {(False, True): "≤ ", (True, False): "≥ "}.get(bounds, "")
    return "" if all(bounds) else f"{sign}{format_times(other['bytes'] / best['bytes'])} the bytes"


def format_times(ratio: float) -> str:
    """Format a ratio: ``1.05 times``, ``7.1 times``, ``1,900 times``.

    >>> [format_times(ratio) for ratio in (1.0, 1.054, 7.083, 42.4, 1900)]
    ['1.00 times', '1.05 times', '7.1 times', '42 times', '1,900 times']
    """
    return f"{ratio:,.{2 if ratio < 1.995 else 1 if ratio < 9.95 else 0}f} times"
