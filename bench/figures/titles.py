"""What a figure says in words: its heading, its panels' titles and the remarks under them."""

import pandas as pd
from matplotlib.axes import Axes

from splitbench.bench.compare.summary import macs
from splitbench.bench.figures import ticks
from splitbench.bench.figures.page import Page
from splitbench.bench.figures.style import GREY
from splitbench.bench.table import Row

_METRIC = {"top1": "top-1 accuracy", "ap": "box AP"}
_POINTS = 5.6


def metric(row: Row) -> str:
    """The name of what ``accuracy`` is in a row."""
    return _METRIC.get(str(row["metric"]), str(row["metric"]) or "accuracy")


def heading(what: str, row: Row, panels: int) -> str:
    """A figure's heading: what is shown, for which backbone, on which images; in two lines where the page is narrow."""
    where = f"{row['backbone']} on {row['dataset']}"
    if row["images"] == row["images"]:
        where += f" ({row['images']:,.0f} images)"
    whole = f"{what}: {where}"
    return f"{what}\n{where}" if panels == 1 or len(whole) > 95 else whole


def set_titles(page: Page, shown: dict[str, pd.DataFrame]) -> None:
    """Titles each panel by its split, with a remark on its computation and on what lies beyond the axes.

    Args:
        page: its panels have their limits set.
        shown: the points of each panel by split, in the panels' order.
    """
    inches = page.figure.get_figwidth() / page.columns - 0.25
    # DejaVu Sans is about 0.55 of its size wide on average.
    letters = int(inches * 72 / (0.55 * _POINTS))
    remarks = [
        _wrap(_remarks(axes, here, split), letters)
        for axes, (split, here) in zip(page.panels, shown.items(), strict=True)
    ]
    lines = max(len(remark) for remark in remarks)
    for axes, split, remark in zip(page.panels, shown, remarks, strict=True):
        axes.set_title(f"after {split}" if split else "nothing cut", loc="left", pad=(6 if lines else 4) + 7 * lines)
        text = axes.annotate(
            "\n".join(remark),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 2 + 7 * lines),
            textcoords="offset points",
            verticalalignment="top",
            fontsize=_POINTS,
            color=GREY,
        )
        text.set_in_layout(False)


def _remarks(axes: Axes, here: pd.DataFrame, split: str) -> list[str]:
    own = here[here["split"] == split]
    parts = []
    if split and own["macs_head"].notna().any():
        parts.append(f"{macs(float(own['macs_head'].min()))} before it")
    left, right = axes.get_xlim()
    floor = axes.get_ylim()[0]
    below = int((here["accuracy"] < floor).sum())
    here = here[here["accuracy"] >= floor]
    for arrow, beyond in (("←", here[here["bytes_mean"] < left]), ("→", here[here["bytes_mean"] > right])):
        for method, points in beyond.groupby("method", sort=True):
            sizes = [ticks.size(count) for count in sorted(points["bytes_mean"].unique())]
            parts.append(f"{arrow} {method} {', '.join(sizes) if len(sizes) < 3 else f'{sizes[0]} to {sizes[-1]}'}")
    if below:
        parts.append(f"↓ {below} rate point{'s' * (below > 1)} under {floor:.0f} %")
    return parts


def _wrap(parts: list[str], letters: int) -> list[str]:
    """Lines of at most so many letters, broken between remarks only."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= letters:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines
