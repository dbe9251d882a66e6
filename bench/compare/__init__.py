"""Compares methods from runs' CSVs alone: fronts, bytes for a drop, accuracy for bytes, BD-rate, costs, a summary."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.compare.bd import bd_table
from splitbench.bench.compare.costs import costs
from splitbench.bench.compare.curves import BUDGETS, DROPS, accuracy_at_budgets, bytes_at_drops
from splitbench.bench.compare.front import front_over_all, front_per_backbone, front_per_split
from splitbench.bench.compare.summary import deep_splits, on_device, summary
from splitbench.bench.compare.write import as_latex, as_markdown, as_text, save
from splitbench.bench.table import failures, points, read

__all__ = [
    "BUDGETS",
    "DROPS",
    "Comparison",
    "accuracy_at_budgets",
    "bd_table",
    "bytes_at_drops",
    "compare",
    "costs",
    "front_over_all",
    "front_per_backbone",
    "front_per_split",
    "summary",
]


class Comparison(NamedTuple):
    """What :func:`compare` found: the text to print, the tables by name, and the files written."""

    text: str
    tables: dict[str, pd.DataFrame]
    files: list[Path]


def compare(paths: Iterable[Path | str], out: Path, anchor: str | None = None, allow_mixed: bool = False) -> Comparison:
    """Compares the methods of one or more runs and writes what it finds into ``out``.

    Written are ``comparison.txt`` (what :attr:`Comparison.text` holds), ``comparison.md`` and ``comparison.tex`` with
    all tables, and each table as ``NAME.csv`` in full precision.

    Args:
        paths: runs' folders or their ``cells.csv``.
        out: folder to write into; made where it is missing.
        anchor: the method that BD-rate is against; see :func:`splitbench.bench.compare.bd.bd_table`.
        allow_mixed: compare results over different images all the same.

    Raises:
        UserError: as :func:`splitbench.bench.table.read`, for an unknown anchor, or where ``out`` cannot be written.
    """
    frame = read(paths, allow_mixed)
    tables = {
        "summary": summary(frame),
        "front-per-split": front_per_split(frame),
        "front-per-backbone": front_per_backbone(frame),
        "front-over-all": front_over_all(frame),
        "bytes-at-drop": bytes_at_drops(frame),
        "accuracy-at-bytes": accuracy_at_budgets(frame),
        "bd": bd_table(frame, anchor),
        "costs": costs(frame),
    }
    text = _text(frame, tables)
    files = [save(out / "comparison.txt", text)]
    files += [
        save(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n")) for name, table in tables.items()
    ]
    titled = [(_TITLES[name], table) for name, table in tables.items() if len(table)]
    notes = _remarks(frame)
    markdown = [f"## {title}\n\n{as_markdown(_readable(table))}" for title, table in titled]
    files.append(save(out / "comparison.md", "\n\n".join(["# Comparison", *markdown, *_listed(notes)])))
    files.append(
        save(out / "comparison.tex", "\n\n".join(as_latex(_readable(table), title) for title, table in titled))
    )
    return Comparison(text, tables, files)


_TITLES = {
    "summary": "Best method per question (clear: the 95 % intervals of best and next best do not overlap)",
    "front-per-split": "Pareto front per split: bytes and accuracy",
    "front-per-backbone": "Pareto front per backbone: bytes, accuracy and device MACs",
    "front-over-all": "Pareto front over all backbones of a dataset: bytes, accuracy and device MACs",
    "bytes-at-drop": "Bytes per image for a tolerated drop, in points",
    "accuracy-at-bytes": "Accuracy (%) within a budget of bytes per image",
    "bd": "BD-rate (%, negative: fewer bytes) and BD-accuracy (points) against the anchor, at drops up to 10 points",
    "costs": "Costs beside bytes",
}


def _text(frame: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> str:
    blocks = []
    for (dataset, backbone), rows in points(frame).groupby(["dataset", "backbone"], sort=True):
        first = rows.iloc[0]
        head = f"{backbone} on {dataset}: {first['images']:.0f} images, baseline {first['baseline']:.2f} %"
        head += f" {first['metric']}" if first["metric"] else ""
        asked = tables["summary"]
        asked = asked[(asked["dataset"] == dataset) & (asked["backbone"] == backbone)].drop(
            columns=["dataset", "backbone"]
        )
        bd = tables["bd"]
        bd = bd[(bd["dataset"] == dataset) & (bd["backbone"] == backbone)]
        blocks.append(f"{head}\n{'=' * len(head)}\n\n{as_text(_readable(asked))}")
        if len(bd):
            shown = bd[["at_split", "method", "variant", "bd_rate", "bd_accuracy", "reason"]]
            blocks.append(f"Against {bd['anchor'].iloc[0]}, at drops up to 10 points\n\n{as_text(_readable(shown))}")
    return "\n\n".join([*blocks, *_listed(_remarks(frame))])


def _remarks(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {
        "What else to know": [*on_device(frame), *deep_splits(frame), *frame.attrs["notes"]],
        "Failed cells, left out above": failures(frame),
    }


def _listed(remarks: dict[str, list[str]]) -> list[str]:
    return [f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in remarks.items() if lines]


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Column names as words, and no column that is empty throughout."""
    full = table.dropna(axis="columns", how="all")
    full = full[[name for name in full if not (full[name] == "").all()]]
    return full.rename(columns=lambda name: str(name).replace("_", " "))
