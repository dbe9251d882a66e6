"""The report's section on links: which rate point is fastest from image to answer, on the machine that measured."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.latency.link_figure import draw_links
from splitbench.bench.analysis.latency.question import Question, always_on_device, answer, answer_without_device
from splitbench.bench.analysis.latency.what_if import WITHOUT_DEVICE, readable_regions
from splitbench.bench.analysis.report.elements import EmbeddedPicture, Table, make_pictures, make_table
from splitbench.bench.utils.errors import UserError


class LinkSection(NamedTuple):
    """The notes of a what-if, tables of who wins at which speed, a remark on the figures, and these."""

    notes: list[str]
    tables: list[Table]
    remark: str
    pictures: list[EmbeddedPicture]


def link_section(frame: pd.DataFrame, folder: Path, notes: list[str]) -> LinkSection | None:
    """Answer the default what-if; None, with a note that says why, where no times were measured.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        folder: the folder to draw figures into.
        notes: a sentence on whatever is left out is added here.
    """
    try:
        result = answer(frame, Question())
    except UserError as error:
        notes.append(f"no latencies over links: {error}")
        return None
    tables, remark = [_regions_table(result.regions, "Least latency from image to answer, by link speed")], ""
    sent = answer_without_device(frame, Question(), result)
    if sent is not None:
        tables.append(_regions_table(sent.regions, WITHOUT_DEVICE))
        remark = "Running everything on the device always wins; the map is without it." * always_on_device(result)
    files = draw_links(frame, result, Question(), folder, sent=sent, report=notes.append)
    return LinkSection(result.notes, tables, remark, make_pictures(files))


def _regions_table(regions: pd.DataFrame, title: str) -> Table:
    return make_table(readable_regions(regions), title)
