"""Compares methods from runs' CSVs: fronts, bytes for a drop, accuracy for bytes, BD-rate, costs, a summary.

Paired tests need the per-image records beside the CSV, too; all else is made from the CSV alone.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.compare.bd import bd_table
from splitbench.bench.analysis.compare.costs import costs
from splitbench.bench.analysis.compare.curves import BUDGETS, DROPS, accuracy_at_budgets, bytes_at_drops
from splitbench.bench.analysis.compare.findings import TITLES, Findings, examine
from splitbench.bench.analysis.compare.front import front_over_all, front_per_backbone, front_per_split
from splitbench.bench.analysis.compare.paired import paired_tests
from splitbench.bench.analysis.compare.pairs import FACTOR
from splitbench.bench.analysis.compare.summary import summary
from splitbench.bench.analysis.compare.words import as_words, listed, readable
from splitbench.bench.analysis.compare.write import as_csv, as_latex, as_markdown
from splitbench.bench.utils.files import write_text

__all__ = [
    "BUDGETS",
    "DROPS",
    "TITLES",
    "Comparison",
    "Findings",
    "accuracy_at_budgets",
    "bd_table",
    "bytes_at_drops",
    "compare",
    "costs",
    "examine",
    "front_over_all",
    "front_per_backbone",
    "front_per_split",
    "paired_tests",
    "readable",
    "summary",
    "write",
]


class Comparison(NamedTuple):
    """What :func:`compare` found: the text to print, the tables by name, and the files written."""

    text: str
    tables: dict[str, pd.DataFrame]
    files: list[Path]


def compare(
    paths: Iterable[Path | str],
    out: Path,
    anchor: str | None = None,
    allow_mixed: bool = False,
    all_pairs: bool = False,
    factor: float = FACTOR,
) -> Comparison:
    """Compares the methods of one or more runs and writes what it finds into ``out``.

    Written are ``comparison.txt`` (what :attr:`Comparison.text` holds), ``comparison.md`` and ``comparison.tex`` with
    all tables, and each table as ``NAME.csv`` in full precision.

    Args:
        paths: runs' folders or their ``cells.csv``.
        out: folder to write into; made where it is missing.
        anchor: the method that BD-rate and tests are against; see
            :func:`splitbench.bench.analysis.compare.bd.bd_table`.
        allow_mixed: compare results over different images all the same.
        all_pairs: test all pairs of curves, as :func:`splitbench.bench.analysis.compare.paired.paired_tests` says.
        factor: how far apart the bytes of two rate points may be that are tested against each other.

    Raises:
        UserError: as :func:`splitbench.bench.results.table.read`, for an unknown anchor, or where ``out`` cannot be
            written.
    """
    return write(examine(paths, anchor, allow_mixed, all_pairs, factor), out)


def write(found: Findings, out: Path) -> Comparison:
    """Writes what was found into ``out``, as :func:`compare` says."""
    text = as_words(found)
    tables = found.tables
    files = [write_text(out / "comparison.txt", text)]
    files += [write_text(out / f"{name}.csv", as_csv(table)) for name, table in tables.items()]
    titled = [(found.title(name), table) for name, table in tables.items() if len(table)]
    markdown = [f"## {title}\n\n{as_markdown(readable(table))}" for title, table in titled]
    files.append(write_text(out / "comparison.md", "\n\n".join(["# Comparison", *markdown, *listed(found.remarks)])))
    files.append(
        write_text(out / "comparison.tex", "\n\n".join(as_latex(readable(table), title) for title, table in titled))
    )
    return Comparison(text, tables, files)
