"""A comparison of runs: its tables by name, and remarks."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.compare.cost_table import cost_table
from splitbench.bench.analysis.compare.curves.bd import bd_table
from splitbench.bench.analysis.compare.curves.bd_matrix import bd_matrix
from splitbench.bench.analysis.compare.curves.front import front_over_all, front_per_backbone, front_per_split
from splitbench.bench.analysis.compare.curves.interpolation import accuracy_at_budgets, bytes_at_drops
from splitbench.bench.analysis.compare.paired.paired_tests import paired_tests
from splitbench.bench.analysis.compare.paired.pairs import FACTOR
from splitbench.bench.analysis.compare.remarks import remarks_on, row_warnings
from splitbench.bench.analysis.compare.summary import summary
from splitbench.bench.results.table import failures, over_seeds, points, read

TITLES = {
    "summary": "Best method per question (clear: at 95 %, by the same images for both where their records are there, "
    "else by whether their intervals overlap)",
    "front-per-split": "Pareto front per split: bytes and accuracy",
    "front-per-backbone": "Pareto front per backbone: bytes, accuracy and device MACs",
    "front-over-all": "Pareto front over all backbones of a dataset: bytes, accuracy and device MACs",
    "bytes-at-drop": "Bytes per image for a tolerated drop, in points, and for the ends of the drop's 95 % interval "
    "(at most: a bound, as the smallest rate point already loses less)",
    "accuracy-at-bytes": "Accuracy (%) within a budget of bytes per image",
    "bd": "BD-rate (%, negative: fewer bytes) and BD-accuracy (points) against the anchor, at drops up to 10 points",
    "bd-matrix": "BD-rate (%) and BD-accuracy (points) of every method against every other one, with all variants of "
    "either as its curve",
    "paired-tests": "Rate points of nearly the same bytes, tested on the same images: a - b in points, with its paired "
    "95 % bootstrap interval, and p-values with Holm's correction over the rows of the same two methods",
    "costs": "Costs beside bytes",
}
"""The title of each table."""


WARNINGS = "Warnings: what may mislead about these rows"
"""The heading of the rows' own warnings among the remarks."""


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How runs are compared.

    Attributes:
        anchor: the method that BD-rate is against, see
            :func:`splitbench.bench.analysis.compare.curves.bd.bd_table`; if given, paired tests are against it alone,
            too, and else between every two methods.
        allow_mixed: compare results over different images all the same.
        all_pairs: test every two curves, variants of one method included; see
            :func:`splitbench.bench.analysis.compare.paired.paired_tests.paired_tests`.
        factor: the largest ratio of the bytes of two rate points that are tested against each other.
    """

    anchor: str | None = None
    allow_mixed: bool = False
    all_pairs: bool = False
    factor: float = FACTOR


@dataclass(frozen=True)
class Findings:
    """The merged table of all cells, the tables made from it by name, and remarks under their headings."""

    frame: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    remarks: dict[str, list[str]]

    def title(self, name: str) -> str:
        """Return a table's title, which says so where numbers are means over seeds."""
        seeds = over_seeds(points(self.frame))
        if not seeds:
            return TITLES[name]
        return f"{TITLES[name]}; {'of several seeds the lowest is tested' if name == 'paired-tests' else seeds}"


def examine(paths: Iterable[Path | str], options: ComparisonOptions | None = None) -> Findings:
    """Compare the methods of one or more runs.

    Args:
        paths: runs' folders or their ``cells.csv``.
        options: how to compare; by default as :class:`ComparisonOptions` says.

    Raises:
        UserError: as :func:`splitbench.bench.results.table.read`, or for an unknown anchor.
    """
    return examine_table(read(paths, (options or ComparisonOptions()).allow_mixed), options)


def examine_table(frame: pd.DataFrame, options: ComparisonOptions | None = None) -> Findings:
    """Compare the methods of a table.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it, or some of its rows.
        options: how to compare; by default as :class:`ComparisonOptions` says.

    Raises:
        UserError: the anchor is not in the table.
    """
    options = options or ComparisonOptions()
    anchor = frame.attrs.get("import_paths", {}).get(options.anchor, options.anchor)
    tests = paired_tests(frame, anchor, options.all_pairs, options.factor)
    tables = {
        "summary": summary(frame),
        "front-per-split": front_per_split(frame),
        "front-per-backbone": front_per_backbone(frame),
        "front-over-all": front_over_all(frame),
        "bytes-at-drop": bytes_at_drops(frame),
        "accuracy-at-bytes": accuracy_at_budgets(frame),
        "bd": bd_table(frame, anchor),
        "bd-matrix": bd_matrix(frame),
        "paired-tests": tests,
        "costs": cost_table(frame),
    }
    remarks = {
        WARNINGS: row_warnings(frame),
        "What else to know": [*remarks_on(frame, tests, options.factor), *frame.attrs.get("notes", [])],
        "Failed cells, left out above": failures(frame),
    }
    return Findings(frame, tables, remarks)
