"""Answers a what-if from runs' CSVs, and writes the answer: text, tables and figures."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.figures.panels.axes import format_tick
from splitbench.bench.analysis.latency.link_figure import draw_links
from splitbench.bench.analysis.latency.question import Answer, Question, answer, answer_without_device
from splitbench.bench.analysis.table_formats import as_csv, as_latex, as_markdown, as_text
from splitbench.bench.results.names import CURVE, curve_name
from splitbench.bench.results.table import read
from splitbench.bench.utils.files import remove, write_text

FIRST_LINE = "# What if the link were another"
"""How what-if.md begins."""
_TABLES = ("regions.csv", "by-speed.csv", "regions-without-device.csv", "by-split.csv")
FILES = ("what-if.md", "what-if.txt", "what-if.tex", *_TABLES)
"""The texts and tables that are written, the one with :data:`FIRST_LINE` first."""

_UNCUT = {"input": "send the picture", "output": "all on the device"}


class WhatIf(NamedTuple):
    """What :func:`what_if` returns: the text to print, and the files written."""

    text: str
    files: list[Path]


def what_if(
    paths: Iterable[Path | str],
    question: Question,
    out: Path,
    *,
    allow_mixed: bool = False,
    report: Callable[[str], None] = lambda reason: None,
) -> WhatIf:
    """Find the rate point with the least end-to-end latency for each link, and draw which wins where.

    Written are ``what-if.txt``, ``what-if.md`` and ``what-if.tex`` with the ranges of speeds, these and the table over
    speeds in full precision as ``regions.csv`` and ``by-speed.csv``, and the figures. Where running everything on the
    device takes part, the texts and ``regions-without-device.csv`` also say what wins without. Where the question names
    speeds, the texts have the best of every split at each, and ``by-split.csv`` all of that.

    Args:
        paths: runs' folders or their ``cells.csv``.
        question: links, devices and rate points.
        out: the folder to write into; made where it is missing.
        allow_mixed: put results over different images side by side all the same.
        report: called with one sentence for each figure that is left out.

    Raises:
        UserError: as :func:`splitbench.bench.results.table.read`, where no rate point's times are known, or where
            ``out`` cannot be written.
    """
    frame = read(paths, allow_mixed)
    result = answer(frame, question)
    sent = answer_without_device(frame, question, result)
    notes = [*result.notes, *frame.attrs["notes"]]
    listed = "\n".join(f"- {note}" for note in notes)
    text = "\n\n".join([*_text_blocks(result, sent), listed])
    regions = readable_regions(result.regions)
    per_split = [(f"{place}: {title}", table) for place, title, table in _per_split(result)]
    captioned = [(f"The least latency by link speed: {notes[0]}", regions)]
    markdown = [FIRST_LINE, as_markdown(regions)]
    if sent is not None:
        captioned.append((WITHOUT_DEVICE, readable_regions(sent.regions)))
        markdown.append(f"## {WITHOUT_DEVICE}\n\n{as_markdown(readable_regions(sent.regions))}")
    markdown += [f"## {title}\n\n{as_markdown(table)}" for title, table in per_split]
    captioned += per_split
    files = [
        write_text(out / "what-if.txt", text),
        write_text(out / "what-if.md", "\n\n".join([*markdown, listed])),
        write_text(out / "what-if.tex", "\n\n".join(as_latex(table, title) for title, table in captioned)),
        write_text(out / "regions.csv", as_csv(result.regions)),
        write_text(out / "by-speed.csv", as_csv(result.by_speed)),
    ]
    further = {
        "regions-without-device.csv": None if sent is None else sent.regions,
        "by-split.csv": result.by_split if question.mbps else None,
    }
    for name, table in further.items():
        if table is None:
            remove(out / name)  # of an earlier question
        else:
            files.append(write_text(out / name, as_csv(table)))
    files += draw_links(frame, result, question, out, sent=sent, report=report)
    return WhatIf(text, files)


WITHOUT_DEVICE = "The same without running everything on the device"
"""The heading of the second answer, which says what wins where something is sent."""


def readable_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Return an answer's regions for a reader: one column for the speeds, one for the option, one for the latency."""
    text = table[[name for name in ("dataset", "backbone") if name in table]].copy()
    text["drop ≤"], text["rtt (ms)"] = table["tolerated_drop"], table["rtt_ms"]
    text["link (Mbit/s)"] = _ranges(table["mbps_from"], table["mbps_to"])
    text["split"] = table["split"].replace(_UNCUT)
    text["method"] = _rate_points(table)
    text["bytes"], text["drop"] = table["bytes_mean"], table["drop"]
    text["latency (ms)"] = _ranges(table["latency_ms_from"], table["latency_ms_to"])
    return text


def _readable_splits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the best of each split at one speed for a reader: the option, its latency and the parts of that."""
    text = table[["split"]].replace(_UNCUT)
    text["method"] = _rate_points(table)
    text["bytes"], text["drop"], text["latency (ms)"] = table["bytes_mean"], table["drop"], table["latency_ms"]
    for part in ("head", "encode", "send", "decode", "tail"):
        text[part] = table[f"{part}_ms"]
    return text


def _rate_points(table: pd.DataFrame) -> list[str]:
    return [
        f"{curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"
        for _, row in table.iterrows()
    ]


def _ranges(starts: "pd.Series[float]", ends: "pd.Series[float]") -> list[str]:
    texts = ([format_tick(float(f"{end:.3g}")) for end in pair] for pair in zip(starts, ends, strict=True))
    return [" to ".join(dict.fromkeys(pair)) for pair in texts]


def _per_split(result: Answer) -> list[tuple[str, str, pd.DataFrame]]:
    """Return for each speed of the question the backbone and dataset, a title, and the best of every split there."""
    place = ["dataset", "backbone", "tolerated_drop", "rtt_ms", "mbps"]
    return [
        (
            f"{backbone} on {dataset}",
            f"the best of every split at {mbps:g} Mbit/s, drop ≤ {drop:g}, round trip {rtt:g} ms",
            _readable_splits(here),
        )
        for (dataset, backbone, drop, rtt, mbps), here in result.by_split.groupby(place, sort=False)
    ]


def _text_blocks(result: Answer, sent: Answer | None) -> Iterator[str]:
    per_split = _per_split(result)
    for (dataset, backbone), _ in result.rows.groupby(["dataset", "backbone"], sort=True):
        heading = f"{backbone} on {dataset}: the least latency by link speed"
        yield f"{heading}\n{'=' * len(heading)}\n\n{_regions_text(result, dataset, backbone)}"
        if sent is not None:
            yield f"{WITHOUT_DEVICE}\n\n{_regions_text(sent, dataset, backbone)}"
        for place, title, table_at_speed in per_split:
            if place == f"{backbone} on {dataset}":
                yield f"{title[0].upper()}{title[1:]}\n\n{as_text(table_at_speed)}"


def _regions_text(result: Answer, dataset: object, backbone: object) -> str:
    regions = result.regions
    here = regions[(regions["dataset"] == dataset) & (regions["backbone"] == backbone)]
    return (
        as_text(readable_regions(here.drop(columns=list(CURVE[:2])))) if len(here) else "no rate point loses so little"
    )
