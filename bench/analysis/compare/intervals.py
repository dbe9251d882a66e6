"""Intervals of bytes read off curves, in words, and whether two of them lie apart."""

import numpy as np

from splitbench.bench.results.table import Row


def told(row: Row) -> str:
    """Format the interval of a row of :func:`~splitbench.bench.analysis.compare.curves.bytes_at_drops`, if it has one.

    An end that is a bound only is told as one: ``≤ 30 to 102``.
    """
    if np.isnan(row["bytes_low"]):
        return ""
    bound = row["how_low"] == "at most"
    low = f"{'≤ ' * bound}{row['bytes_low']:,.0f}"
    if row["how_high"] == "at most":
        return low
    if np.isnan(row["bytes_high"]):
        return f"{low} to more than measured" if bound else f"{low} or more"
    return f"{low} to {row['bytes_high']:,.0f}"


def apart(one: Row, other: Row) -> bool:
    """Whether the interval of ``one`` ends below where that of ``other``, which needs more bytes, is known to begin."""
    return bool(one["bytes_high"] < other["bytes_low"] and other["how_low"] != "at most")
