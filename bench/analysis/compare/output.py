"""A comparison as text for the terminal, and the files that it is written to."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.compare.findings import Findings
from splitbench.bench.analysis.table_formats import as_csv, as_latex, as_markdown, as_text, readable
from splitbench.bench.results.table import over_seeds, points
from splitbench.bench.utils.files import write_text
from splitbench.bench.utils.text import format_count

_MOST_TESTS = 12
"""Paired tests in the text; the CSV has all."""


class Comparison(NamedTuple):
    """What :func:`write` returns: the text to print, the tables by name, and the files written."""

    text: str
    tables: dict[str, pd.DataFrame]
    files: list[Path]


FIRST_LINE = "# Comparison"
"""How comparison.md begins."""


def file_names(findings: Findings) -> list[str]:
    """Return the names of what :func:`write` writes, the one with :data:`FIRST_LINE` first."""
    return [*(f"comparison.{kind}" for kind in ("md", "txt", "tex")), *(f"{name}.csv" for name in findings.tables)]


def write(findings: Findings, out: Path) -> Comparison:
    """Write a comparison into a folder.

    Written are ``comparison.txt`` (what :attr:`Comparison.text` holds), ``comparison.md`` and ``comparison.tex`` with
    all tables, and each table as ``NAME.csv`` in full precision.

    Raises:
        UserError: ``out`` cannot be written.
    """
    text = as_terminal_text(findings)
    files = [write_text(out / "comparison.txt", text)]
    files += [write_text(out / f"{name}.csv", as_csv(table)) for name, table in findings.tables.items()]
    titled = [(findings.title(name), readable(table)) for name, table in findings.tables.items() if len(table)]
    markdown = [f"## {title}\n\n{as_markdown(table)}" for title, table in titled]
    latex = [as_latex(table, title) for title, table in titled]
    remarks = format_remarks(
        {title: [line.replace("<", "&lt;") for line in lines] for title, lines in findings.remarks.items()}
    )
    files.append(write_text(out / "comparison.md", "\n\n".join([FIRST_LINE, *markdown, *remarks])))
    files.append(write_text(out / "comparison.tex", "\n\n".join(latex)))
    return Comparison(text, findings.tables, files)


def as_terminal_text(findings: Findings) -> str:
    """Format per dataset and backbone the summary, BD-rates and the clearest paired tests, then all remarks."""
    blocks = []
    for place, rows in points(findings.frame).groupby(["dataset", "backbone"], sort=True):
        summary, bd, tests = (_at(findings.tables[name], place) for name in ("summary", "bd", "paired-tests"))
        heading = _heading(rows)
        table = as_text(readable(summary.drop(columns=["dataset", "backbone"])))
        blocks.append(f"{heading}\n{'=' * len(heading)}\n\n{table}")
        if len(bd):
            blocks.append(_bd_text(bd))
        if len(clear := tests[tests["better"] != "neither"]):
            blocks.append(_tests_text(clear))
    return "\n\n".join([*blocks, *format_remarks(findings.remarks)])


def format_remarks(remarks: dict[str, list[str]]) -> list[str]:
    """Format each heading with its remarks as a list; headings without remarks are left out."""
    return [f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in remarks.items() if lines]


def _at(table: pd.DataFrame, place: tuple[object, ...]) -> pd.DataFrame:
    dataset, backbone = place
    return table[(table["dataset"] == dataset) & (table["backbone"] == backbone)]


def _heading(rows: pd.DataFrame) -> str:
    first, seeds = rows.iloc[0], over_seeds(rows)
    heading = f"{first['backbone']} on {first['dataset']}: {first['images']:.0f} images, "
    heading += f"baseline {first['baseline']:.2f} % {first['metric']}".rstrip()
    return f"{heading}, {seeds}" if seeds else heading


def _bd_text(bd: pd.DataFrame) -> str:
    """Format the BD-rates that are known, and say how many are not."""
    known = bd[bd["bd_rate"].notna() | bd["bd_accuracy"].notna()]
    anchor = next((f"against {name}, " for name in bd["anchor"] if name), "")
    text = f"BD-rate (%) and BD-accuracy (points) {anchor}at drops up to 10 points"
    if len(known):
        text += f"\n\n{as_text(readable(known[['at_split', 'method', 'variant', 'bd_rate', 'bd_accuracy', 'reason']]))}"
    if unknown := len(bd) - len(known):
        reasons = bd.loc[~bd.index.isin(known.index), "reason"].value_counts()
        why = f": {reasons.index[0]}" if len(reasons) == 1 else "; bd.csv says why"
        text += f"\n\n{format_count(unknown, 'curve')} cannot be compared so{why}"
    return text


def _tests_text(clear: pd.DataFrame) -> str:
    first = clear.sort_values("p", kind="stable").head(_MOST_TESTS)
    columns = ["at_split", "a", "b", "a_bytes", "b_bytes", "difference", "difference_low", "difference_high"]
    which = f"the clearest {len(first)} of the {len(clear)}" if len(first) < len(clear) else "all"
    return (
        f"Significant differences at nearly the same bytes, by paired tests ({which}; a - b, in points)\n\n"
        f"{as_text(readable(first[columns]))}"
    )
