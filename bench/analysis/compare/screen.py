"""How a run ended, on one screen: what is best for a tolerated drop, in words and in one short table."""

import re
from collections.abc import Iterator
from typing import cast

import pandas as pd

from splitbench.bench.analysis.compare.curves.interpolation import DROPS
from splitbench.bench.analysis.compare.findings import Findings
from splitbench.bench.analysis.compare.ranking import EVERY_SPLIT
from splitbench.bench.analysis.compare.summary import fewest_bytes_question
from splitbench.bench.analysis.table_formats import as_text
from splitbench.bench.results.names import Row
from splitbench.bench.results.table import points
from splitbench.bench.utils.text import format_count

_DROP = 1.0
"""The tolerated drop of the sentences, in points."""

_MOST_ROWS = 15
_MOST_SENTENCES = 4


def as_screen_text(findings: Findings) -> str:
    """Format what is best for a drop of a point, one table of all splits and drops, and how many remarks there are."""
    summary = findings.tables["summary"]
    places = list(points(findings.frame).groupby(["dataset", "backbone"], sort=True))
    sentences = [_sentence(summary, dataset, backbone, rows) for (dataset, backbone), rows in places]
    rows = [row for (dataset, backbone), _ in places for row in _rows(summary, dataset, backbone)]
    table = pd.DataFrame(rows)
    table = table.drop(columns=[name for name in ("backbone", "dataset") if table[name].nunique() == 1])
    left_out = [f"({format_count(len(rows) - _MOST_ROWS, 'more row')} in the report)"] * (len(rows) > _MOST_ROWS)
    more = [f"({format_count(len(places) - _MOST_SENTENCES, 'more backbone')} in the report)"]
    remarks = sum(map(len, findings.remarks.values()))
    return "\n".join(
        [
            *sentences[:_MOST_SENTENCES],
            *more * (len(places) > _MOST_SENTENCES),
            *_on_device(findings.frame),
            "",
            "Fewest bytes per image for a tolerated drop, in points (~: the next best may be as good)",
            as_text(table.head(_MOST_ROWS)),
            *left_out,
            *[f"{format_count(remarks, 'remark')} on these results in the comparison and the report"] * bool(remarks),
        ]
    )


def _sentence(summary: pd.DataFrame, dataset: object, backbone: object, measured: pd.DataFrame) -> str:
    """Say which method and split needs the fewest bytes for the drop of :data:`_DROP`."""
    first = measured.iloc[0]
    heading = f"{backbone} on {dataset} ({first['images']:.0f} images, {first['baseline']:.1f} % {first['metric']})"
    asked = _asked(summary, dataset, backbone, _DROP)
    reached = asked[asked["best"] != "none"]
    if reached.empty:
        return f"{heading}: nothing that was measured loses {_DROP:g} point or less."
    sizes = _sizes(reached)
    best = reached.iloc[sizes.index(min(sizes))]
    place = "" if best["at_split"] in (EVERY_SPLIT, "input") else f" after {best['at_split']}"
    sentence = (
        f"{heading}:\n  {best['best']}{place} needs the fewest bytes, {best['answer']}, for a drop of {_DROP:g} point"
    )
    if best["next_best"] == "none reaches it":
        return f"{sentence};\n  nothing else there loses so little."
    sure = {"yes": "clear", "no": "not clear on these images"}.get(str(best["clear"]), "")
    behind = ", ".join(filter(None, (str(best["difference"]), sure)))
    return f"{sentence};\n  next there is {best['next_best']}" + f" ({behind})." if behind else "."


def _on_device(frame: pd.DataFrame) -> Iterator[str]:
    """Say what is sent where the device runs the whole network, which no compressor competes with."""
    answers = points(frame)
    answers = answers[(answers["split"] == "output") & (answers["drop"] <= _DROP)]
    if len(answers):
        least = answers.iloc[answers["bytes_mean"].argmin()]
        yield f"A device that can run the whole network sends {least['bytes_mean']:,.0f} bytes ({least['method']})."


def _rows(summary: pd.DataFrame, dataset: object, backbone: object) -> Iterator[dict[str, str]]:
    """Yield a row per split: the best method and its bytes for each of the tolerated drops."""
    asked = {drop: _asked(summary, dataset, backbone, drop).set_index("at_split") for drop in DROPS}
    splits = dict.fromkeys(split for rows in asked.values() for split in rows.index)
    for split in splits:
        place = {"backbone": str(backbone).rpartition("/")[2], "dataset": str(dataset)}
        yield place | {"split": str(split)} | {f"≤ {drop:g}": _cell(rows, split) for drop, rows in asked.items()}


def _cell(rows: pd.DataFrame, split: str) -> str:
    if split not in rows.index:
        return "as for every split" if EVERY_SPLIT in rows.index else ""
    row = cast(Row, rows.loc[split])
    if row["best"] == "none":
        return "none"
    return f"{row['best']} {str(row['answer']).removesuffix(' bytes')}{' ~' * (row['clear'] == 'no')}"


def _asked(summary: pd.DataFrame, dataset: object, backbone: object, drop: float) -> pd.DataFrame:
    here = (summary["dataset"] == dataset) & (summary["backbone"] == backbone)
    return summary[here & (summary["question"] == fewest_bytes_question(drop))]


def _sizes(rows: pd.DataFrame) -> list[float]:
    """Return the bytes that answers name."""
    return [float(re.sub(r"[^\d.]", "", answer)) for answer in rows["answer"]]
