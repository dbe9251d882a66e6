"""Which part of the rate-accuracy plane a figure shows."""

import math

import pandas as pd

from splitbench.bench.results.table import compressors

_DEEPEST = 12.0
"""Points below the baseline that are shown at least. What loses more is of little use; every curve's best is shown."""


def limits(rows: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of bytes and of accuracy (%) in which compressors are told apart.

    Uncompressed tensors, labels and boxes may lie orders of magnitude away from everything else, and a one-bit code may
    lose everything: given axis, they would squeeze the rest into a corner.
    """
    core = compressors(rows)
    base = float(rows["baseline"].iloc[0])
    best = float(core.groupby(["split", "method", "variant"])["accuracy"].max().min())
    floor = max(float(core["accuracy"].min()), min(base - _DEEPEST, best - 3.0))
    shown = core[core["accuracy"] >= floor]
    # Bands may reach below the last point shown, but must not take over the figure.
    bottom = min(floor, float(shown["accuracy_low"].fillna(floor).clip(lower=floor - 3).min()))
    top = max(base, float(shown[["accuracy", "accuracy_high"]].max().max()))
    room = max(0.04 * (top - bottom), 1.0 - (top - bottom) / 2)
    bottom, top = max(bottom - room, -1.0), min(top + room, 102.0)

    seen = core.loc[core["accuracy"] >= bottom, "bytes_mean"]
    low, high = float(seen.min()), float(seen.max())
    # At least a factor of 3, so that a single size has round numbers on both sides.
    pad = max((high / low) ** 0.05, 1.15, math.sqrt(3 * low / high))
    return (low / pad, high * pad), (bottom, top)
