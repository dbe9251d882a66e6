"""Tables as aligned text, Markdown, LaTeX and CSV, and numbers as they stand in them."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from tabulate import LATEX_ESCAPE_RULES, tabulate

from splitbench.bench.utils.files import no_formula

_LATEX_MATHS = str.maketrans({"≤": r"$\leq$", "≥": r"$\geq$", "±": r"$\pm$"})


def as_text(table: pd.DataFrame) -> str:
    """Format a table in aligned columns, numbers to the right."""
    return "\n".join(line.rstrip() for line in _format(table, "simple").splitlines())


def as_markdown(table: pd.DataFrame) -> str:
    """Format a table as GitHub-flavoured Markdown, with HTML in its cells escaped."""
    return _format(table, "pipe", lambda cell: cell.replace("<", "&lt;").replace("|", "\\|"))


def as_latex(table: pd.DataFrame, caption: str) -> str:
    r"""Format a table as a LaTeX ``table*`` with a caption; it needs ``\usepackage{booktabs}``."""
    escaped = "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in caption)
    lines = [
        r"\begin{table*}",
        rf"\caption{{{escaped}}}",
        r"\centering\footnotesize",
        _format(table, "latex_booktabs"),
        r"\end{table*}",
    ]
    return "\n".join(lines).translate(_LATEX_MATHS)


def as_csv(table: pd.DataFrame) -> str:
    """Format a table as comma-separated values, with text that a spreadsheet would run as a formula marked as text."""
    plain = table.apply(lambda column: column.map(lambda value: no_formula(value) if isinstance(value, str) else value))
    return str(plain.to_csv(index=False, lineterminator="\n"))


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON has them: null for what is not a number."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write column names as words, and drop columns that are empty or say of every row that it is of one seed."""
    full = table.dropna(axis="columns", how="all")
    full = full[[name for name in full if not (full[name] == (1 if name == "seeds" else "")).all()]]
    return full.rename(columns=lambda name: str(name).replace("_", " "))


def format_number(number: float) -> str:
    """Format a number with about four digits and thousands separated; empty where it is not a number.

    >>> [format_number(x) for x in (1234567.0, 71.8812, 0.5, 0.00123, float("nan"))]
    ['1,234,567', '71.88', '0.50', '0.0012', '']
    """
    if np.isnan(number):
        return ""
    if 0 < abs(number) < 0.01:
        return f"{number:.2g}"
    if number == int(number) and abs(number) < 1000:
        return f"{number:.0f}"
    return f"{number:,.2f}" if abs(number) < 1000 else f"{number:,.0f}"


def format_percent(share: float) -> str:
    """Format a share in percent; less than the whole is never rounded up to 100 %.

    >>> [format_percent(x) for x in (0.951, 0.9996, 1.0)]
    ['95 %', 'more than 99 %', '100 %']
    """
    return "more than 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def is_numeric(table: pd.DataFrame) -> list[bool]:
    """Return for each column whether it holds numbers, which stand to the right."""
    return [bool(pd.api.types.is_numeric_dtype(table[name])) for name in table]


def _format(table: pd.DataFrame, style: str, escape: Callable[[str], str] = str) -> str:
    numeric = is_numeric(table)
    columns = [
        [format_number(float(value)) if number else escape(" ".join(str(value).split())) for value in table[name]]
        for name, number in zip(table, numeric, strict=True)
    ]
    return tabulate(
        list(zip(*columns, strict=True)),
        headers=[str(name) for name in table],
        tablefmt=style,
        colalign=["right" if number else "left" for number in numeric],
        disable_numparse=True,
    )
