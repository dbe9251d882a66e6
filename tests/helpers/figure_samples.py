"""Figures drawn from made-up tables, and what they say."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from splitbench.bench.analysis.figures import pages
from splitbench.bench.analysis.figures.panels.page import lay_out
from splitbench.bench.analysis.figures.style import drawing
from splitbench.bench.results.table import read
from tests.helpers import csv_samples as samples

ONE = {"layer2": samples.RESNET50["layer2"]}


def table(tmp_path: Path, rows: list[samples.Row]) -> pd.DataFrame:
    return read([samples.save(tmp_path / "cells.csv", rows)])


def drawn_from(tmp_path: Path, rows: list[samples.Row], *, drops: bool = False) -> list[Figure]:
    """All figures of a table but those of drops, or these alone, laid out."""
    with drawing():
        made = pages(table(tmp_path, rows), print)
        drawn = [page.figure for page in made if page.name.startswith("rate-drop") == drops]
        for figure in drawn:
            lay_out(figure)
    assert drawn
    return drawn


def texts(figure: Figure) -> str:
    """All that a figure says beside its ticks, in one line."""
    parts = [figure.get_suptitle()]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
    for box in figure.legends:
        parts += [box.get_title().get_text(), *(text.get_text() for text in box.get_texts())]
    return " ".join(" ".join(parts).split())


def with_sizes(tmp_path: Path, rows: list[samples.Row]) -> list[samples.Row]:
    """Store records of bytes that differ for all rows but those of raw tensors and labels."""
    (tmp_path / "records").mkdir(parents=True)
    sized = []
    for row in rows:
        alike = row["method"] in ("raw", "label-only")
        sizes = np.full(99, row["bytes_mean"]) * (1 if alike else np.linspace(0.8, 1.2, 99))
        sizes = np.maximum(sizes, 1).astype(np.uint32)
        np.savez(tmp_path / "records" / f"{row['key']}.npz", bytes=sizes)
        sized.append(row | {"bytes_mean": sizes.mean()})
    return sized
