"""What must be true of every figure's layout: texts within the page and apart, markers whole."""

import itertools
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def faults(figure: Figure) -> list[str]:
    """Return one line for everything that is wrong with the layout of a figure that is laid out."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]
    result = [f"beyond the page: {text!r}" for text, box in boxes if not _within(box, figure.bbox, 0.5)]
    for (item, first), (other, second) in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(first, second)
        if overlap is not None and overlap.width > 1 and overlap.height > 1:
            result.append(f"over one another: {item!r} and {other!r}")
    result += [fault for axes in figure.axes for fault in _cut_markers(axes)]
    return result


def texts(figure: Figure) -> Iterator[Text]:
    """Yield all texts that are seen."""
    candidates = list(figure.texts)  # with the page's heading
    for box in figure.legends:
        candidates += [box.get_title(), *box.get_texts()]
    for axes in figure.axes:
        candidates += [*(child for child in axes.get_children() if isinstance(child, Text))]
        for axis in (axes.xaxis, axes.yaxis):
            candidates += [axis.label, *_tick_labels(axis)]
    yield from (text for text in dict.fromkeys(candidates) if text.get_visible() and text.get_text().strip())


def _tick_labels(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high:
            yield from (label for label in (tick.label1, tick.label2) if label.get_visible())


def _cut_markers(axes: Axes) -> Iterator[str]:
    for line in axes.lines:
        if line.get_marker() in ("None", "", " ", None, "_") or not line.get_clip_on():
            continue
        reach = (line.get_markersize() + line.get_markeredgewidth()) / 2 * axes.figure.dpi / 72
        for x, y in line.get_transform().transform(line.get_xydata()):
            near = axes.bbox.padded(reach).contains(x, y)
            if near and not _within(Bbox([[x - reach, y - reach], [x + reach, y + reach]]), axes.bbox, 0.5):
                yield f"cut by the axes: {line.get_label()} at {x:.0f}, {y:.0f} of {axes.bbox}"


def _within(box: Bbox, page: Bbox, room: float) -> bool:
    return (
        page.xmin - room <= box.xmin
        and box.xmax <= page.xmax + room
        and page.ymin - room <= box.ymin
        and box.ymax <= page.ymax + room
    )
