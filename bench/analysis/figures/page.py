"""A figure's page: its size and grid of panels, its legend outside them, and the files it ends up in."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from splitbench.bench.analysis.figures.drawing import ENDINGS
from splitbench.bench.analysis.figures.drawing import save as save_figure
from splitbench.bench.analysis.figures.style import RC
from splitbench.bench.results.table import Row
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word

COLUMN, FULL = 3.3, 7.0
"""Widths in inches of one column and of both in a two-column paper."""

_LABEL = 0.18


class Page(NamedTuple):
    """A figure and its panels, row by row; panels that nothing is drawn in are gone."""

    figure: Figure
    panels: list[Axes]
    columns: int


def new(panels: int, share_x: bool = True) -> Page:
    """A page with so many panels, at one column's width for one panel and both columns' for more."""
    columns = {1: 1, 2: 2, 4: 2}.get(panels, 3)
    rows = math.ceil(panels / columns)
    height = {1: 2.5, 2: 2.4, 3: 2.1}[columns]
    figure = Figure(figsize=(COLUMN if panels == 1 else FULL, rows * height + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=True)
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    for place, one in enumerate(axes[:panels]):
        one.tick_params(labelbottom=True, left=place % columns == 0)
        one.yaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
    return Page(figure, axes[:panels], columns)


def stacked(rows: Sequence[float], inches: float) -> Page:
    """A page at both columns' width with one panel below the other, each as high as so many rows of text."""
    heights = [(count + 0.2) * inches for count in rows]
    figure = Figure(figsize=(FULL, sum(heights) + 0.45 * len(rows) + 0.45), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=heights)
    panels = list(grid[:, 0])
    for one in panels:
        one.tick_params(labelbottom=True)
    return Page(figure, panels, 1)


def panel_width(page: Page) -> float:
    """About how many inches a panel's axes are wide, before anything is laid out."""
    return float(page.figure.get_figwidth()) / page.columns - (0.3 if page.columns > 1 else 0.5)


def finish(page: Page, x: str, y: str, legends: Sequence[tuple[str, Sequence[Artist]]]) -> None:
    """Labels the axes once for all panels and puts the legends, each under its heading, below them.

    The page grows by the legends' height. Each legend gets as many columns as fit.
    """
    figure = page.figure
    panels = figure.get_figheight()
    boxes = [_legend(figure, heading, handles) for heading, handles in legends if handles]
    renderer = _renderer(figure)
    heights = [box.get_window_extent(renderer).height / figure.dpi for box in boxes]
    below, whole = sum(heights), panels + sum(heights)
    figure.set_figheight(whole)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        # The layout is kept off the lower part; it would put a common label at the page's edge, under the legends.
        engine.set(rect=(0, (below + _LABEL) / whole, 1, (panels - _LABEL) / whole))
    label = figure.text(0.5, (below + 0.04) / whole, x, ha="center", va="bottom", fontsize=RC["axes.labelsize"])
    label.set_in_layout(False)
    for axes in page.panels[:: page.columns]:
        axes.set_ylabel(y)
    for box, height in zip(boxes, heights, strict=True):
        box.set_bbox_to_anchor((0.0, below / whole), transform=figure.transFigure)
        below -= height


def _legend(figure: Figure, heading: str, handles: Sequence[Artist]) -> Legend:
    renderer = _renderer(figure)
    width = figure.get_figwidth() * figure.dpi
    for columns, wrap in ((4, 0), (3, 0), (2, 0), (2, 48), (1, 0), (1, 52), (1, 40)):
        if columns > max(len(handles), 1):
            continue
        names = [str(handle.get_label()) for handle in handles]
        box = figure.legend(
            handles=list(handles),
            labels=[
                textwrap.fill(name, wrap, break_long_words=False, break_on_hyphens=False) if wrap else name
                for name in names
            ],
            loc="upper left",
            ncols=columns,
            title=textwrap.fill(heading, int(18 * figure.get_figwidth()), break_on_hyphens=False) or None,
            alignment="left",
            handlelength=3.6,
            columnspacing=1.2,
            labelspacing=0.3,
            borderaxespad=0,
        )
        box.set_in_layout(False)
        if box.get_window_extent(renderer).width <= width or wrap == 40:
            break
        box.remove()
    return box


def _renderer(figure: Figure) -> RendererAgg:
    return cast(RendererAgg, FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]


def save(page: Page, folder: Path, kind: str, row: Row) -> list[Path]:
    """Writes a figure as SVG and PNG, without dates, named after its kind, dataset and backbone; returns the files.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    name = "_".join(file_word(str(word)) for word in (kind, row["dataset"], row["backbone"]))
    return save_figure(page.figure, folder, name)


def remove(folder: Path, kind: str) -> None:
    """Removes a kind's figures of earlier. Raises UserError where one cannot be removed."""
    try:
        for ending in ENDINGS:
            for file in folder.glob(f"{file_word(kind)}_*{ending}"):
                file.unlink()
    except OSError as error:
        raise UserError(f"cannot remove an earlier figure from {folder}: {error.strerror}") from None
