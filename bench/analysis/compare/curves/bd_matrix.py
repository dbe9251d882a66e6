"""BD-rate and BD-accuracy between every two methods, each with all its variants as one curve."""

from itertools import permutations

import pandas as pd

from splitbench.bench.analysis.compare.curves.bd import Outcome, compare_curves, curve_near_baseline
from splitbench.bench.analysis.compare.curves.front import beside_every_split
from splitbench.bench.results.table import compressors, points

PLACE = ["dataset", "backbone", "at_split"]
COLUMNS = [*PLACE, "method", "anchor", "bd_rate", "bd_rate_overlap", "bd_accuracy", "bd_accuracy_overlap", "reason"]


def bd_matrix(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare every two methods at every split, with the rate points of all variants of a method as its curve.

    Where a method has several variants its front is the best of them at each size, chosen on the images that it is
    compared on; ``bd.csv`` compares variants one by one.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.

    Returns:
        Two rows per pair of methods, either against the other: BD-rate in % and BD-accuracy in points as in
        :func:`splitbench.bench.analysis.compare.curves.bd.bd_table`, or the reason why there is none.
    """
    rows = []
    good = beside_every_split(compressors(points(frame)))
    for place, here in good.groupby(PLACE, sort=False):
        curves = {
            str(method): curve_near_baseline(of_method) for method, of_method in here.groupby("method", sort=True)
        }
        for method, anchor in permutations(curves, 2):
            outcome: Outcome = compare_curves(curves[anchor], curves[method])
            names = dict(zip(PLACE, place, strict=True)) | {"method": method, "anchor": anchor}
            rows.append(names | {name: getattr(outcome, name) for name in COLUMNS[5:]})
    return pd.DataFrame(rows, columns=COLUMNS)


def as_matrix(pairs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Arrange one split's rows of :func:`bd_matrix` as a matrix: a row per method, a column per anchor."""
    return pairs.pivot_table(index="method", columns="anchor", values=value, dropna=False)
