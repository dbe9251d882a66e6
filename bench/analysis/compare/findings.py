"""What a comparison finds: its tables by name, and sentences on what else to know."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.compare.bd import bd_table
from splitbench.bench.analysis.compare.costs import costs
from splitbench.bench.analysis.compare.curves import accuracy_at_budgets, bytes_at_drops
from splitbench.bench.analysis.compare.front import front_over_all, front_per_backbone, front_per_split
from splitbench.bench.analysis.compare.paired import paired_tests, told_apart
from splitbench.bench.analysis.compare.pairs import FACTOR
from splitbench.bench.analysis.compare.seeds import told_of_seeds
from splitbench.bench.analysis.compare.summary import deep_splits, on_device, summary
from splitbench.bench.results.table import failures, over_seeds, points, read

TITLES = {
    "summary": "Best method per question (clear: the 95 % intervals of best and next best do not overlap)",
    "front-per-split": "Pareto front per split: bytes and accuracy",
    "front-per-backbone": "Pareto front per backbone: bytes, accuracy and device MACs",
    "front-over-all": "Pareto front over all backbones of a dataset: bytes, accuracy and device MACs",
    "bytes-at-drop": "Bytes per image for a tolerated drop, in points, and for the ends of the drop's 95 % interval "
    "(at most: a bound, as the smallest rate point already loses less)",
    "accuracy-at-bytes": "Accuracy (%) within a budget of bytes per image",
    "bd": "BD-rate (%, negative: fewer bytes) and BD-accuracy (points) against the anchor, at drops up to 10 points",
    "paired-tests": "Rate points of nearly the same bytes, tested on the same images: a - b in points, with its paired "
    "95 % bootstrap interval, and p-values with Holm's correction over all rows",
    "costs": "Costs beside bytes",
}
"""What each table shows."""


class Findings(NamedTuple):
    """The merged table of all cells, what was made of it, and sentences under their headings."""

    frame: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    remarks: dict[str, list[str]]

    def title(self, name: str) -> str:
        """A table's title; where seeds were put together it says so."""
        seeds = over_seeds(points(self.frame))
        if not seeds:
            return TITLES[name]
        return f"{TITLES[name]}; {'of several seeds the lowest is tested' if name == 'paired-tests' else seeds}"


def examine(
    paths: Iterable[Path | str],
    anchor: str | None = None,
    allow_mixed: bool = False,
    all_pairs: bool = False,
    factor: float = FACTOR,
) -> Findings:
    """Compare the methods of one or more runs; see :func:`splitbench.bench.analysis.compare.compare` for arguments."""
    frame = read(paths, allow_mixed)
    tables = {
        "summary": summary(frame),
        "front-per-split": front_per_split(frame),
        "front-per-backbone": front_per_backbone(frame),
        "front-over-all": front_over_all(frame),
        "bytes-at-drop": bytes_at_drops(frame),
        "accuracy-at-bytes": accuracy_at_budgets(frame),
        "bd": bd_table(frame, anchor),
        "paired-tests": paired_tests(frame, anchor, all_pairs, factor),
        "costs": costs(frame),
    }
    return Findings(frame, tables, _remarks(frame, tables["paired-tests"], factor))


def _remarks(frame: pd.DataFrame, tested: pd.DataFrame, factor: float) -> dict[str, list[str]]:
    known = [*told_of_seeds(frame), *on_device(frame), *deep_splits(frame)]
    return {
        "What else to know": [*known, *told_apart(tested, factor), *tested.attrs["untested"], *frame.attrs["notes"]],
        "Failed cells, left out above": failures(frame),
    }
