"""The report's section on links: which rate point is fastest from image to answer, on the machine that measured."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from splitbench.bench.analysis.latency.link_figure import draw_links
from splitbench.bench.analysis.latency.question import Question, answer
from splitbench.bench.analysis.latency.what_if import readable_regions
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
    files = draw_links(frame, result.rows, Question(), folder, report=notes.append)
    if set(result.rows["split"]) > {"output"}:
        offload = Question(offload=True)
        sent = answer(frame, offload)
        tables.append(_regions_table(sent.regions, "The same without running everything on the device"))
        if set(result.regions["split"]) == {"output"}:
            # A map of one colour says nothing; the runners-up do.
            remark = "Running everything on the device always wins; the map is without it."
            drawn = draw_links(frame, sent.rows, offload, folder / "offload")
            files = [*(file for file in files if not _is_map(file)), *filter(_is_map, drawn)]
    return LinkSection(result.notes, tables, remark, make_pictures(files))


def _is_map(file: Path) -> bool:
    return file.name.startswith("least-latency")


def _regions_table(regions: pd.DataFrame, title: str) -> Table:
    return make_table(readable_regions(regions), title)
