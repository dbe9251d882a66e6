"""What became of several seeds, in words."""

import pandas as pd

from splitbench.bench.results.table import CURVE, over_seeds, points

_MEANING = (
    "intervals of means over seeds reach from the lowest end of a seed's 95 % interval to the highest: they hold the "
    "mean over these seeds, on other images, with 95 % or more, and tell nothing of other seeds; paired tests are of "
    "the lowest seed alone"
)


def told_of_seeds(frame: pd.DataFrame) -> list[str]:
    """Sentences on whose numbers are means over seeds, how far these lie apart, and what intervals then are.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
    """
    lines = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        if not over_seeds(rows):
            continue
        several = rows[rows["seeds"] > 1].groupby("method", sort=True)
        cells = frame[(frame["dataset"] == dataset) & (frame["backbone"] == backbone) & (frame["status"] == "ok")]
        told = [f"{method}: {over_seeds(own)}, {_apart(cells[cells['method'] == method])}" for method, own in several]
        single = sorted(set(rows["method"]) - set(several.groups))
        told += [f"{', '.join(single)}: one run for each rate point"] * bool(single)
        lines.append(f"{backbone} on {dataset}: {'; '.join(told)}")
    return [*lines, _MEANING] if lines else []


def _apart(cells: pd.DataFrame) -> str:
    """How far the accuracies of a method's seeds lie apart at most."""
    accuracy = cells.groupby([*CURVE, "knob", "value"], dropna=False)["accuracy"]
    most = (accuracy.max() - accuracy.min()).max()
    return f"accuracies up to {most:.2f} points apart" if most > 0 else "all of the same accuracy"
