"""The report: what was found in words, figures, tables, what was run, what failed; all in one HTML file."""

import tempfile
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.compare import Findings
from splitbench.bench.analysis.figures import draw_all, draw_learning
from splitbench.bench.analysis.report import html
from splitbench.bench.analysis.report.links import links_part
from splitbench.bench.analysis.report.provenance import provenance
from splitbench.bench.analysis.report.sentences import sentences, too_few
from splitbench.bench.analysis.table_formats import readable
from splitbench.bench.results.table import failures, over_seeds, points
from splitbench.bench.utils.files import write_text

MOST_CELLS = 2000
"""Rate points that the page lists; the CSV has all."""

_CELLS = (
    *("dataset", "backbone", "split", "method", "variant", "knob", "value", "images"),
    *("bytes_mean", "bytes_p95", "bits_per_pixel", "accuracy", "accuracy_low", "accuracy_high"),
    *("drop", "drop_low", "drop_high", "seeds", "device_macs", "head_ms", "encode_ms", "decode_ms", "tail_ms"),
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(found: Findings, file: Path, figures: Sequence[Path] | None = None) -> Path:
    """Writes the report of a comparison.

    Args:
        found: what :func:`splitbench.bench.analysis.compare.examine` found.
        file: where the report goes.
        figures: figures of the same runs that lie there already; None to draw them for the page alone.

    Returns:
        ``file``.

    Raises:
        UserError: the file cannot be written.
    """
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if figures is None:
            figures = _drawn(found.frame, Path(folder), notes)
        links, link_figures = links_part(found.frame, Path(folder), notes)
        content = _page(found, figures, links, link_figures, notes)
    return write_text(file, content)


def _drawn(frame: pd.DataFrame, folder: Path, notes: list[str]) -> list[Path]:
    files = draw_all(frame, folder, notes.append)
    for source in sorted(set(frame["source"])):
        files += draw_learning(Path(source).parent, folder)
    return files


def _page(
    found: Findings, figures: Sequence[Path], links: str, link_figures: Sequence[Path], notes: Sequence[str]
) -> str:
    frame, tables = found.frame, found.tables
    parts = {
        "In short": _short(found),
        "Best method per question": html.table(readable(tables["summary"]), found.title("summary")),
        "Figures": _figures(figures),
        "Latency at other link speeds": links + _figures(link_figures),
        "Tables": _tables(found),
        "All rate points": _cells(frame),
        "What was run, and on what": html.table(provenance(frame), "Runs"),
        "Failed cells": _failed(frame),
        "Notes": html.listing([*frame.attrs["notes"], *notes]) if [*frame.attrs["notes"], *notes] else "",
    }
    parts = {title: content for title, content in parts.items() if content}
    named = {title: f"part{number}" for number, title in enumerate(parts, 1)}
    contents = "".join(f'<li><a href="#{name}">{html.text(title)}</a></li>' for title, name in named.items())
    body = "\n".join(
        f'<section id="{named[title]}"><h2>{html.text(title)}</h2>\n{content}</section>'
        for title, content in parts.items()
    )
    return _frame(_title(frame), _source(frame), f"<nav><ul>{contents}</ul></nav>\n{body}")


def _title(frame: pd.DataFrame) -> str:
    good = points(frame)
    backbones = sorted(set(good["backbone"]))
    named = ", ".join(backbones) if len(backbones) <= 3 else f"{len(backbones)} backbones"
    return f"Split computing compared: {good['method'].nunique()} methods, {named}"


def _source(frame: pd.DataFrame) -> str:
    dates = sorted(date[:10] for date in set(frame["date"]) - {""})
    when = f", measured {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") if dates else ""
    seeds = over_seeds(points(frame))
    return f"from {', '.join(sorted(set(frame['source'])))}{when}" + f"; {seeds}" * bool(seeds)


def _short(found: Findings) -> str:
    parts = [
        f"<h3>{html.text(name)}</h3>\n{html.listing(lines)}"
        for name, lines in sentences(found.frame, found.tables["bytes-at-drop"]).items()
    ]
    warnings = too_few(found.frame)
    known = [line for line in found.remarks["What else to know"] if line not in found.frame.attrs["notes"]]
    warned = f'<div class="warn">{html.listing(warnings)}</div>' if warnings else ""
    return "\n".join([*parts, warned, "<h3>What else to know</h3>" + html.listing(known) if known else ""])


def _figures(figures: Sequence[Path]) -> str:
    """All pictures; learning curves, of which there are many, folded."""
    svgs = [file for file in figures if file.suffix == ".svg"]
    parts: list[str] = []
    learning: list[str] = []
    for svg in svgs:
        kind, _, what = svg.stem.partition("_")
        shown = html.picture(svg, svg.with_suffix(".png"), f"{kind.replace('-', ' ')}: {what.replace('--', '/')}")
        (learning if svg.stem.startswith("learning_") else parts).append(shown)
    return "\n".join([*parts, html.folded("Learning curves", "\n".join(learning)) if learning else ""]).strip()


def _tables(found: Findings) -> str:
    shown = {found.title(name): table for name, table in found.tables.items() if name != "summary" and len(table)}
    return "\n".join(html.folded(title, html.table(readable(table), title)) for title, table in shown.items())


def _cells(frame: pd.DataFrame) -> str:
    good = points(frame)
    shown = readable(good[list(_CELLS)].head(MOST_CELLS))
    first = f"the first {MOST_CELLS:,} of {len(good):,}; the CSV has all" if len(good) > MOST_CELLS else "all"
    return html.folded(f"Rate points ({first})", html.table(shown, "Rate points"))


def _failed(frame: pd.DataFrame) -> str:
    lines = failures(frame)
    return html.listing(lines) if lines else ""


def _frame(title: str, source: str, body: str) -> str:
    style, script = (resources(__package__).joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{html.text(title)}</title>
<style>
{style}</style>
</head>
<body>
<header><h1>{html.text(title)}</h1>
<p class="from">{html.text(source)}</p></header>
{body}
<script>
{script}</script>
</body>
</html>"""
