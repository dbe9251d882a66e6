"""The report: findings in sentences, figures, tables, what was run, what failed; all in one HTML file."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from splitbench.bench.analysis.compare import Findings
from splitbench.bench.analysis.compare.curves.bd_matrix import PLACE, as_matrix
from splitbench.bench.analysis.compare.curves.interpolation import DROPS
from splitbench.bench.analysis.compare.findings import WARNINGS
from splitbench.bench.analysis.figures import draw_all, draw_learning, draw_narrow, published
from splitbench.bench.analysis.report.answers import answers
from splitbench.bench.analysis.report.elements import Table, make_pictures, make_table
from splitbench.bench.analysis.report.links import link_section
from splitbench.bench.analysis.report.too_few_images import too_few_images
from splitbench.bench.analysis.table_formats import readable
from splitbench.bench.results.table import failures, over_seeds, points
from splitbench.bench.utils.files import write_text

MOST_CELLS = 2000
"""Rate points that the report lists; the CSV has all."""

_CELLS = [
    *("dataset", "backbone", "split", "method", "variant", "knob", "value", "images"),
    *("bytes_mean", "bytes_p95", "bits_per_pixel", "accuracy", "accuracy_low", "accuracy_high"),
    *("drop", "drop_low", "drop_high", "seeds", "device_macs", "head_ms", "encode_ms", "decode_ms", "tail_ms"),
]
_PUBLISHED = ["system", "split", "bytes", "accuracy", "drop", "baseline", "dataset", "by", "source"]
_PROVENANCE = {
    "fingerprint": "images' digest",
    "weights": "weights' digest",
    "seed": "seed",
    "precision": "precision",
    "device": "device",
    "batch": "batch",
    "image_decoder": "image decoder",
    "commit": "commit",
    "versions": "versions",
}

_TITLE = "Split computing compared"
MARK = f"<title>{_TITLE}"
"""It stands at the beginning of each report."""


def write_report(findings: Findings, file: Path, figures: Sequence[Path] | None = None) -> Path:
    """Write the report of a comparison.

    Args:
        findings: as :func:`splitbench.bench.analysis.compare.examine` returns them.
        file: the file to write.
        figures: existing figures of the same runs; None to draw them for the report alone.

    Returns:
        ``file``.

    Raises:
        UserError: the file cannot be written.
    """
    notes = list(findings.frame.attrs.get("notes", []))
    with tempfile.TemporaryDirectory() as folder:
        if figures is None:
            figures = _draw(findings.frame, Path(folder), notes)
        draw_narrow(findings.frame, Path(folder) / "narrow")
        contents = gather(findings, figures, Path(folder) / "narrow")
        contents["links"] = link_section(findings.frame, Path(folder), notes)
    return write_text(file, environment().get_template("report.html.j2").render(contents, notes=notes))


def environment() -> Environment:
    """Return the environment of the report's templates, which escapes whatever a table holds."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_keep_units,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )


def _keep_units(value: object) -> object:
    """Keep percent signs, and what compares, on the line of their numbers."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return value.replace(" %", "\u00a0%").replace("≤ ", "≤\u00a0").replace("≥ ", "≥\u00a0")


def _draw(frame: pd.DataFrame, folder: Path, notes: list[str]) -> list[Path]:
    files = draw_all(frame, folder, notes.append)
    for source in sorted(set(frame["source"])):
        files += draw_learning(Path(source), folder)
    return files


def gather(findings: Findings, figures: Sequence[Path], narrow: Path) -> dict[str, Any]:
    """Return the template's variables, all but those on links and the notes.

    Args:
        findings: as :func:`splitbench.bench.analysis.compare.examine` returns them.
        figures: the figures' files.
        narrow: the folder of those for phones.
    """
    frame, tables = findings.frame, findings.tables
    cells, runs = points(frame), runs_table(frame)
    alike = [name for name in runs if runs[name].nunique() == 1]
    all_or_first = f"the first {MOST_CELLS:,} of {len(cells):,}; the CSV has all" if len(cells) > MOST_CELLS else "all"
    notes = frame.attrs.get("notes", [])
    return {
        "title": _title(cells),
        "source": _source(frame),
        "drops": [f"{drop:g}" for drop in DROPS],
        "answers": answers(frame, tables["summary"]),
        "warnings": [*findings.remarks[WARNINGS], *too_few_images(frame)],
        "remarks": [line for line in findings.remarks["What else to know"] if line not in notes],
        "summary_title": findings.title("summary"),
        "summaries": list(_summaries(tables["summary"])),
        "matrices": list(_matrices(tables["bd-matrix"])),
        "pictures": make_pictures((file for file in figures if not _is_learning(file)), narrow),
        "published": list(_published(frame)),
        "learning": make_pictures(filter(_is_learning, figures)),
        "tables": [
            make_table(readable(table), findings.title(name))
            for name, table in tables.items()
            if name != "summary" and len(table)
        ],
        "cells_title": f"Rate points ({all_or_first})",
        "cells": make_table(readable(cells[_CELLS].head(MOST_CELLS)), "Rate points"),
        "runs": make_table(runs.drop(columns=alike), "Runs") if len(runs) > 1 else None,
        "common": [(name, runs[name].iloc[0]) for name in alike if runs[name].iloc[0] != ""],
        "failed": failures(frame),
    }


def _summaries(summary: pd.DataFrame) -> Iterator[Table]:
    """Yield per backbone and dataset the best method for each question, in as few columns as fit a page."""
    for (dataset, backbone), rows in summary.groupby(["dataset", "backbone"], sort=True):
        intervals = rows["interval"].map(lambda text: f" [{text}]" * bool(text))
        ways = rows["by"].map(lambda text: f" ({text})" * bool(text))
        short = rows.assign(answer=rows["answer"] + intervals, clear=rows["clear"] + ways)
        yield make_table(readable(short.drop(columns=["interval", "by"])), f"{backbone} on {dataset}")


def _matrices(pairs: pd.DataFrame) -> Iterator[Table]:
    """Yield per split the BD-rates between all methods for which there is any."""
    for (dataset, backbone, split), rows in pairs.groupby(PLACE, sort=False):
        if rows["bd_rate"].notna().any():
            title = f"BD-rate in % of the row's method against the column's, {backbone} on {dataset} at {split}"
            yield make_table(as_matrix(rows, "bd_rate").reset_index(), title)


def _published(frame: pd.DataFrame) -> Iterator[Table]:
    """Yield per backbone and dataset the published points that stand beside it, with their sources."""
    table = published.of_table(frame)
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        others = published.beside(rows, table)
        if len(others):
            shown = others.assign(drop=others["baseline"] - others["accuracy"])[_PUBLISHED]
            yield make_table(readable(shown), f"Published beside {backbone} on {dataset}")


def _is_learning(figure: Path) -> bool:
    return figure.name.startswith("learning_")


def _title(cells: pd.DataFrame) -> str:
    backbones = sorted(set(cells["backbone"]))
    named = ", ".join(backbones) if len(backbones) <= 3 else f"{len(backbones)} backbones"
    return f"{_TITLE}: {cells['method'].nunique()} methods, {named}"


def _source(frame: pd.DataFrame) -> str:
    dates = sorted(date[:10] for date in set(frame["date"]) - {""})
    when = f", measured {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") if dates else ""
    seeds = over_seeds(points(frame))
    return f"from {', '.join(sorted(set(frame['source'])))}{when}" + f"; {seeds}" * bool(seeds)


def runs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the provenance of the cells, a row per run, dataset and backbone; several values are all named."""
    rows = []
    for (source, dataset, backbone), cells in frame.groupby(["source", "dataset", "backbone"], sort=True):
        good = cells[cells["status"] == "ok"]
        dates = sorted(date[:16] for date in set(cells["date"]) - {""})
        row = {"run": source, "dataset": dataset, "backbone": backbone}
        row |= {"cells": len(good), "failed": len(cells) - len(good), "images": _distinct(good["images"])}
        row |= {title: _distinct(cells[name]) for name, title in _PROVENANCE.items()}
        rows.append(row | {"from (UTC)": dates[0] if dates else "", "to (UTC)": dates[-1] if dates else ""})
    return pd.DataFrame(rows)


def _distinct(values: "pd.Series[Any]") -> str:
    texts = (f"{value:g}" if isinstance(value, float) else str(value) for value in values.dropna())
    return ", ".join(sorted(set(texts) - {""}))
