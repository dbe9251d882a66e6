"""Tables as aligned text, Markdown, LaTeX and CSV."""

import numpy as np
import pandas as pd

from splitbench.bench.utils.files import no_formula

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
}


def as_text(table: pd.DataFrame) -> str:
    """The table in columns of equal width, numbers to the right, nothing cut off."""
    header, cells, right = _cells(table)
    widths = [max(len(row[i]) for row in [header, *cells]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        for row in [header, ["-" * width for width in widths], *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(table: pd.DataFrame) -> str:
    """The table as GitHub's Markdown renders it."""
    header, cells, right = _cells(table)
    rule = ["---:" if to_right else "---" for to_right in right]
    escaped = [[cell.replace("<", "&lt;").replace("|", "\\|") for cell in row] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *escaped])


def as_latex(table: pd.DataFrame, caption: str) -> str:
    r"""The table as a LaTeX ``table`` with ``booktabs`` rules; needs ``\usepackage{booktabs}``."""
    header, cells, right = _cells(table)
    body = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in cells]
    return "\n".join(
        [
            r"\begin{table*}",
            rf"\caption{{{_tex(caption)}}}",
            r"\centering\footnotesize",
            rf"\begin{{tabular}}{{{''.join('r' if to_right else 'l' for to_right in right)}}}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )


def as_csv(table: pd.DataFrame) -> str:
    """The table as comma-separated values; texts that a spreadsheet would take for formulas are marked as texts."""
    plain = table.apply(lambda column: column.map(lambda value: no_formula(value) if isinstance(value, str) else value))
    return str(plain.to_csv(index=False, lineterminator="\n"))


def short(number: float) -> str:
    """A number for a reader's table: thousands apart, about four digits, empty where there is none.

    >>> [short(x) for x in (1234567.0, 71.8812, 0.5, 0.00123, float("nan"))]
    ['1,234,567', '71.88', '0.50', '0.0012', '']
    """
    if np.isnan(number):
        return ""
    if 0 < abs(number) < 0.01:
        return f"{number:.2g}"
    if number == int(number) and abs(number) < 1000:
        return f"{number:.0f}"
    return f"{number:,.2f}" if abs(number) < 1000 else f"{number:,.0f}"


def percent(share: float) -> str:
    """A share for a reader, which is never all of it where something is left.

    >>> [percent(x) for x in (0.951, 0.9996, 1.0)]
    ['95 %', 'more than 99 %', '100 %']
    """
    return "more than 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    right = [bool(pd.api.types.is_numeric_dtype(table[name])) for name in table]
    columns = [
        [short(float(value)) if to_right else str(value) for value in table[name]]
        for name, to_right in zip(table, right, strict=True)
    ]
    return [str(name) for name in table], [list(row) for row in zip(*columns, strict=True)], right


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
