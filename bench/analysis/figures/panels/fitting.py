"""Text that fits: its width as it is drawn, and lines that fit into the room there is."""

import re
from collections.abc import Sequence
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from splitbench.bench.analysis.figures.style import RC

_SAFE = 0.96
"""The share of the room that is used: drawn letters are hinted, and some per cent wider than their outlines."""


@cache
def width(text: str, points: float) -> float:
    """Return how many inches a line of text is wide in letters of so many points."""
    font = FontProperties(family=RC["font.family"], size=points)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def fit(text: str, inches: float, points: float) -> list[str]:
    """Break text into lines of at most ``inches``: between words, else after a sign within one, else anywhere.

    Line breaks in the text stay.
    """
    return [line for given in text.split("\n") for line in _fit_line(given, _SAFE * inches, points)]


def join_and_fit(parts: Sequence[str], inches: float, points: float) -> list[str]:
    """Join remarks to lines of at most ``inches``; one is broken only where it alone is too wide."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines else ""
        if joined and width(joined, points) <= _SAFE * inches:
            lines[-1] = joined
        else:
            lines += fit(part, inches, points)
    return lines


def _fit_line(text: str, inches: float, points: float) -> list[str]:
    lines, rest = [], text
    while width(rest, points) > inches and len(rest) > 1:
        ends = [end for end in range(1, len(rest)) if width(rest[:end].rstrip(), points) <= inches] or [1]
        longest = rest[: ends[-1] + 1] if rest[ends[-1]] == " " else rest[: ends[-1]]
        breaks = [found.end() for found in re.finditer(r" +", longest)] or [
            found.end() for found in re.finditer(r"[/._+=:-]", longest)
        ]
        end = breaks[-1] if breaks else ends[-1]
        lines.append(rest[:end].rstrip())
        rest = rest[end:]
    return [*lines, rest]
