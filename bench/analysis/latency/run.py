"""Answers a what-if from runs' CSVs, and writes the answer: tables and figures."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.figures.link import draw_links
from splitbench.bench.analysis.latency.question import Found, Question, answered
from splitbench.bench.analysis.latency.words import shown, shown_per_split
from splitbench.bench.analysis.table_formats import as_csv, as_latex, as_markdown, as_text
from splitbench.bench.results.table import read
from splitbench.bench.utils.files import remove, write_text

_ASKED = "by-split"


class WhatIf(NamedTuple):
    """What :func:`what_if` found: the text to print, and the files written."""

    text: str
    files: list[Path]


def what_if(
    paths: Iterable[Path | str],
    out: Path,
    question: Question,
    allow_mixed: bool = False,
    report: Callable[[str], None] = lambda reason: None,
) -> WhatIf:
    """Finds the rate point with the least end-to-end latency for each link, and draws where which wins.

    Written are ``what-if.txt``, ``what-if.md`` and ``what-if.tex`` with the ranges of speeds, these and the table over
    speeds in full precision as ``regions.csv`` and ``by-speed.csv``, and the figures. Where speeds were asked for, the
    texts have the best of every split at each, and ``by-split.csv`` all of that.

    Args:
        paths: runs' folders or their ``cells.csv``.
        out: folder to write into; made where it is missing.
        question: links, devices and rate points.
        allow_mixed: put results over different images side by side all the same.
        report: called with one sentence for each figure that is left out.

    Raises:
        UserError: as :func:`splitbench.bench.results.table.read`, where no rate point's times are known, or where
            ``out`` cannot be written.
    """
    frame = read(paths, allow_mixed)
    found = answered(frame, question)
    notes = [*found.notes, *frame.attrs["notes"]]
    listed = "\n".join(f"- {note}" for note in notes)
    tables = {"regions": found.regions, "by-speed": found.by_speed}
    tables |= {_ASKED: found.by_split} if question.mbps else {}
    text = "\n\n".join([*_blocks(found), listed])
    if not question.mbps:
        remove(out / f"{_ASKED}.csv")  # of an earlier question
    told = shown(found.regions)
    asked = [(f"{place}: {title}", table) for place, title, table in _asked(found)]
    parts = [as_markdown(told), *(f"## {title}\n\n{as_markdown(table)}" for title, table in asked), listed]
    captioned = [(f"The least latency by link speed: {notes[0]}", told), *asked]
    files = [
        write_text(out / "what-if.txt", text),
        write_text(out / "what-if.md", "\n\n".join(["# What if the link were another", *parts])),
        write_text(out / "what-if.tex", "\n\n".join(as_latex(table, title) for title, table in captioned)),
        *(write_text(out / f"{name}.csv", as_csv(table)) for name, table in tables.items()),
    ]
    files += draw_links(frame, found.rows, out, question, report)
    return WhatIf(text, files)


def _asked(found: Found) -> list[tuple[str, str, pd.DataFrame]]:
    """For each speed that was asked for: of what, what, and the best of every split there."""
    place = ["dataset", "backbone", "tolerated_drop", "rtt_ms", "mbps"]
    return [
        (
            f"{backbone} on {dataset}",
            f"the best of every split at {mbps:g} Mbit/s, drop ≤ {drop:g}, round trip {rtt:g} ms",
            shown_per_split(here),
        )
        for (dataset, backbone, drop, rtt, mbps), here in found.by_split.groupby(place, sort=False)
    ]


def _blocks(found: Found) -> list[str]:
    blocks = []
    asked = _asked(found)
    for (dataset, backbone), _ in found.rows.groupby(["dataset", "backbone"], sort=True):
        here = found.regions[(found.regions["dataset"] == dataset) & (found.regions["backbone"] == backbone)]
        head = f"{backbone} on {dataset}: the least latency by link speed"
        told = as_text(shown(here.drop(columns=["dataset", "backbone"])))
        blocks.append(f"{head}\n{'=' * len(head)}\n\n{told if len(here) else 'no rate point loses so little'}")
        of_it = [(title, table) for place, title, table in asked if place == f"{backbone} on {dataset}"]
        blocks += [f"{title[0].upper()}{title[1:]}\n\n{as_text(table)}" for title, table in of_it]
    return blocks
