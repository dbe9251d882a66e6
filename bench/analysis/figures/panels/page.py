"""A figure's page: its size and grid of panels, its legends below them, and the files that it is saved to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from splitbench.bench.analysis.figures.panels.fitting import fit
from splitbench.bench.analysis.figures.style import RC
from splitbench.bench.results.names import Row
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word

COLUMN, FULL = 3.3, 7.0
"""Widths in inches of one column and of both in a two-column paper."""

ENDINGS = (".svg", ".png")
"""The endings of the files that every figure is saved to."""

_LABEL = 0.18
_HANDLE = 0.62
"""Inches that a legend's column takes beside the names in it."""
_NAMES = 2.0
"""Inches that names in one of several columns have at least, where they are broken into lines."""


@dataclass(frozen=True)
class Page:
    """A figure, the name of its files without ending, and its panels row by row."""

    name: str
    figure: Figure
    panels: list[Axes]
    columns: int

    @property
    def panel_width(self) -> float:
        """The approximate width of a panel's axes in inches, before anything is laid out."""
        beside = 0.55  # the axis' label and ticks, of the first column's panels
        return (float(self.figure.get_figwidth()) - beside) / self.columns - 0.1 * (self.columns > 1)

    def finish(self, x: str, y: str, legends: Sequence[tuple[str, Sequence[Artist]]]) -> None:
        """Label the axes once for all panels and put the legends, each under its heading, below them.

        The page grows by the legends' height. Each legend gets as many columns as fit.
        """
        figure = self.figure
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
        for axes in self.panels[:: self.columns]:
            axes.set_ylabel(y)
        for box, height in zip(boxes, heights, strict=True):
            box.set_bbox_to_anchor((0.0, below / whole), transform=figure.transFigure)
            below -= height

    def save(self, folder: Path) -> list[Path]:
        """Save the figure as :func:`save` does."""
        return save(self.figure, folder, self.name)


def new_page(kind: str, row: Row, panels: int, *, narrow: bool = False, share_x: bool = True) -> Page:
    """Make a page of a kind of figure for the row's dataset and backbone.

    Args:
        kind: the kind, which the file is named after.
        row: a row of the dataset and backbone.
        panels: how many there are.
        narrow: put them one below the other on a page one column wide, as for a phone; else several share a page two
            columns wide.
        share_x: whether all panels have the same x axis.
    """
    columns = 1 if narrow else {1: 1, 2: 2, 4: 2}.get(panels, 3)
    rows = math.ceil(panels / columns)
    height = {1: 2.5, 2: 2.4, 3: 2.1}[columns]
    figure = Figure(figsize=(COLUMN if columns == 1 else FULL, rows * height + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=True)
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    for place, panel in enumerate(axes[:panels]):
        panel.tick_params(labelbottom=True, left=place % columns == 0)
        panel.yaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
    return Page(_file_name(kind, row), figure, axes[:panels], columns)


def stacked_page(kind: str, row: Row, lines: Sequence[float], inches: float, *, narrow: bool = False) -> Page:
    """Make a page two columns wide with one panel below the other, each as high as its number of lines of text.

    A ``narrow`` page is one column wide.
    """
    heights = [(count + 0.2) * inches for count in lines]
    size = (COLUMN if narrow else FULL, sum(heights) + 0.45 * len(lines) + 0.45)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(lines), 1, squeeze=False, sharex=True, height_ratios=heights)
    panels = list(grid[:, 0])
    for panel in panels:
        panel.tick_params(labelbottom=True)
    return Page(_file_name(kind, row), figure, panels, 1)


def _file_name(kind: str, row: Row) -> str:
    return "_".join(file_word(str(word)) for word in (kind, row["dataset"], row["backbone"]))


def _legend(figure: Figure, heading: str, handles: Sequence[Artist]) -> Legend:
    renderer = _renderer(figure)
    inches, points = figure.get_figwidth(), RC["legend.fontsize"]
    names = [str(handle.get_label()) for handle in handles]
    for columns, wrap in ((4, False), (3, False), (2, False), (2, True), (1, False), (1, True)):
        if columns > max(len(handles), 1):
            continue
        room = inches / columns - _HANDLE
        if wrap and columns > 1 and room < _NAMES:
            continue
        box = figure.legend(
            handles=list(handles),
            labels=["\n".join(fit(name, room, points)) if wrap else name for name in names],
            loc="upper left",
            ncols=columns,
            title="\n".join(fit(heading, inches - 0.2, RC["legend.title_fontsize"])) or None,
            alignment="left",
            handlelength=3.6,
            columnspacing=1.2,
            labelspacing=0.3,
            borderaxespad=0,
        )
        box.set_in_layout(False)
        if box.get_window_extent(renderer).width <= inches * figure.dpi or (columns == 1 and wrap):
            break
        box.remove()
    return box


def _renderer(figure: Figure) -> RendererAgg:
    return cast(RendererAgg, FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Lay a figure out and save it as SVG and PNG, without dates; make the folder, and return the files.

    Args:
        figure: the figure.
        folder: the folder of the files.
        name: the files' name without ending.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    files = [folder / f"{name}{ending}" for ending in ENDINGS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(figure)
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1])
    except OSError as error:
        raise UserError(f"cannot write {folder / name}: {error.strerror}") from None
    return files


def lay_out(figure: Figure) -> None:
    """Fix the positions of the panels, rounded to a millionth of the page.

    The layout's solver orders its terms by their addresses in memory, so that the last digits of what it finds change
    from one call to the next, and with them the ids in an SVG.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def remove_figures(folder: Path, kind: str) -> None:
    """Remove all figures of a kind from a folder. Raises UserError where one cannot be removed."""
    try:
        for ending in ENDINGS:
            for file in folder.glob(f"{file_word(kind)}_*{ending}"):
                file.unlink()
    except OSError as error:
        raise UserError(f"cannot remove an earlier figure from {folder}: {error.strerror}") from None
