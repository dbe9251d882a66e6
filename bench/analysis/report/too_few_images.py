"""A warning, in sentences, of results over too few images."""

import pandas as pd

from splitbench.bench.results.table import points

_SMALL = 1.0
"""The difference of accuracies, in points, that should show."""


def too_few_images(frame: pd.DataFrame) -> list[str]:
    """Warn of datasets with so few images that a difference of a point cannot show; args as :func:`points`."""
    good = points(frame)
    half = (good["accuracy_high"] - good["accuracy_low"]) / 2
    lines = []
    for dataset, rows in good.assign(half=half).groupby("dataset", sort=True):
        wide = rows.groupby("backbone")["half"].median()
        wide = wide[wide > _SMALL]
        if len(wide):
            reach = " to ".join(dict.fromkeys(f"{end:.1f}" for end in (wide.min(), wide.max())))
            lines.append(
                f"over the {rows['images'].max():,.0f} images of {dataset} an accuracy is known to ± {reach} points "
                "only (95 %, median); differences of a point need more images or a paired test"
            )
    return lines
