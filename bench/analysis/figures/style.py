"""Colour and marker of every method, the same in every figure; shade, line style and fill of its variants.

Colours are those of Okabe and Ito, and three of Tol's, which the colour-blind can distinguish; markers, line styles and
fills do so again for print in grey.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import product
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

_FIXED = {
    "raw": ("#000000", "P"),
    "image": ("#009E73", "^"),
    "label-only": ("#CC79A7", "X"),
    "boxes": ("#CC79A7", "X"),  # detection's label-only
    "quantize-rle": ("#0072B2", "o"),
    "quantize-entropy": ("#56B4E9", "v"),
    "quantize-context": ("#332288", "<"),
    "quantize-layers": ("#8066FF", "$\u25e2$"),
    "quantize-lossless": ("#661100", "p"),
    "feature-image": ("#DDCC77", ">"),
    "learned-image": ("#EE99AA", "H"),
    "bottleneck": ("#D55E00", "s"),
    "retrained": ("#E69F00", "D"),
    "low-rank": ("#0011FF", "8"),
    "bottleneck-variable": ("#AA9955", "h"),
    "retrained-variable": ("#773377", "d"),
    "entropic-student": ("#5500BB", "$\u2726$"),
    "channel-reduction": ("#443333", "$\u25a4$"),
}
# For methods that are not known here: colours of Tol's and ColorBrewer's that differ from one another and from the
# known ones for the red- and green-blind, too, with markers that no known method has.
_SPARE = list(product(("#882255", "#999933", "#B2182B", "#40004B"), ("*", "$\u2660$", "$\u2663$", "$\u2665$")))
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (4, 1.5),
    (1, 1.2),
    (5, 1.2, 1, 1.2),
    (2, 0.9),
    (5, 1.2, 1, 1.2, 1, 1.2),
)
_DARKER = (1.0, 0.65, 0.42)
_Fill = Literal["full", "none", "left", "bottom"]
_FILLS: tuple[_Fill, ...] = ("full", "none", "left", "bottom")
_POINTS = ("raw", "label-only")

GREY = "#6b6b6b"
"""The colour of what is not measured here: the baseline's label, published points, remarks."""

BASELINE: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": (0, (6, 3))}
"""The line at the accuracy of the uncompressed backbone."""

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "figure.titlesize": 8.5,
    "legend.fontsize": 6.8,
    "legend.title_fontsize": 6.8,
    "xtick.labelsize": 6.8,
    "ytick.labelsize": 6.8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
    "savefig.dpi": 200,
    # Text as outlines and a fixed salt for ids: the same table gives the same bytes on every machine.
    "svg.fonttype": "path",
    "svg.hashsalt": "splitbench",
    # Names are text, dollar signs and all.
    "text.parse_math": False,
}
"""Settings that every figure is drawn with; sizes are for print at the figure's own width, in a two-column paper."""


class Style(NamedTuple):
    """How a curve is drawn.

    ``joined`` says whether a line between its rate points means something; ``band`` is the colour of its interval.
    """

    colour: str
    marker: str
    dashes: tuple[float, ...]
    fill: _Fill
    joined: bool
    band: str

    @property
    def line(self) -> dict[str, Any]:
        """The keyword arguments of a matplotlib line."""
        with mpl.rc_context({"text.parse_math": True}):  # or else a glyph keeps the dollars around it
            marker = MarkerStyle(self.marker, self.fill)
        return {
            "color": self.colour,
            "marker": marker,
            "linestyle": "none" if not self.joined else (0, self.dashes) if self.dashes else "-",
            "fillstyle": self.fill,
            "markerfacecoloralt": "white",
            "markeredgewidth": 0.8,
        }


Looks = dict[tuple[str, str], Style]
"""The style of every (method, variant)."""


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's defaults and :data:`RC` whatever the user's matplotlibrc, and restore it afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in RC.items():
            mpl.rcParams[name] = value
        yield


def styles(frame: pd.DataFrame) -> Looks:
    """Return the style of every (method, variant) in a table; the same whatever part of the table a figure shows."""
    pairs = sorted({(str(method), str(variant)) for method, variant in frame[["method", "variant"]].to_numpy()})
    shapes = _colours_and_markers(method for method, _ in pairs)
    chosen: Looks = {}
    for method, (colour, marker) in shapes.items():
        for order, variant in enumerate(variant for name, variant in pairs if name == method):
            # Dashes and fills turn together, so that neighbours differ in both; 6 and 4 meet again after 12.
            lap = order // 12
            dashes, fill = _DASHES[order % len(_DASHES)], _FILLS[(order + lap) % len(_FILLS)]
            red, green, blue = (part * _DARKER[order % len(_DARKER)] for part in to_rgb(colour))
            shade = to_hex((red, green, blue))
            chosen[method, variant] = Style(shade, marker, dashes, fill, method not in _POINTS, colour)
    return chosen


def _colours_and_markers(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return each method's colour and marker: fixed for known ones, for others by a hash of the name.

    They are made unique in the table, first of all in colour, as some figures show nothing else.
    """
    chosen: dict[str, tuple[str, str]] = {}
    for method in dict.fromkeys(methods):
        if method in _FIXED:
            chosen[method] = _FIXED[method]
            continue
        first = int.from_bytes(sha256(method.encode()).digest()[:4], "big")
        spare = [_SPARE[(first + step) % len(_SPARE)] for step in range(len(_SPARE))]
        taken = list(chosen.values())
        colours, markers = [colour for colour, _ in taken], [marker for _, marker in taken]
        chosen[method] = min(
            spare, key=lambda look: (taken.count(look), colours.count(look[0]), markers.count(look[1]))
        )
    return chosen


def arrow(degrees: float, colour: str) -> dict[str, Any]:
    """Return the keyword arguments of a matplotlib line that marks what lies beyond an axis by an arrow.

    Args:
        degrees: the direction: 0 to the right, 180 to the left, 270 down.
        colour: the arrow's colour.
    """
    path = Path([(-1, 0), (1, 0), (0.2, 0.6), (1, 0), (0.2, -0.6)], [1, 2, 1, 2, 2])
    return {
        "linestyle": "none",
        "marker": path.transformed(Affine2D().rotate_deg(degrees)),
        "markersize": 6.5,
        "markerfacecolor": "none",
        "markeredgecolor": colour,
        "markeredgewidth": 1.1,
    }
