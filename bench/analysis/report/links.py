"""The report's part on links: which rate point is fastest from image to answer, on the machine that measured."""

from pathlib import Path

import pandas as pd

from splitbench.bench.analysis.latency.link_figure import draw_links
from splitbench.bench.analysis.latency.question import Question, answer
from splitbench.bench.analysis.latency.what_if import readable_regions
from splitbench.bench.analysis.report import html
from splitbench.bench.utils.errors import UserError


def links_part(frame: pd.DataFrame, folder: Path, notes: list[str]) -> tuple[str, list[Path]]:
    """Tables as HTML and the figures' files, or nothing, and a note that says why, where no times were measured.

    Args:
        frame: as :func:`splitbench.bench.results.table.read` returns it.
        folder: where figures are drawn.
        notes: what is left out is told here.
    """
    try:
        found = answer(frame, Question())
    except UserError as error:
        notes.append(f"nothing is told of links: {error}")
        return "", []
    parts = [html.paragraph(f"{note}.") for note in found.notes]
    parts.append(_table(found.regions, "Least latency from image to answer, by link speed"))
    files = draw_links(frame, found.rows, Question(), folder, report=notes.append)
    if set(found.rows["split"]) > {"output"}:
        offload = Question(offload=True)
        sent = answer(frame, offload)
        parts.append(_table(sent.regions, "The same without running everything on the device"))
        if set(found.regions["split"]) == {"output"}:
            # A map of one colour tells nothing; who would be next does.
            parts.append(html.paragraph("Running everything on the device always wins; the map is without it."))
            drawn = draw_links(frame, sent.rows, offload, folder / "offload")
            files = [*_without_maps(files), *(file for file in drawn if file not in _without_maps(drawn))]
    return "\n".join(parts), files


def _without_maps(files: list[Path]) -> list[Path]:
    return [file for file in files if not file.name.startswith("least-latency")]


def _table(regions: pd.DataFrame, title: str) -> str:
    return (
        html.table(readable_regions(regions), title)
        if len(regions)
        else html.paragraph(f"{title}: nothing loses so little.")
    )
