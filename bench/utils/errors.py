"""Errors that users can act on, formatted in one sentence, and suggestions for mistyped names."""

import difflib
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path


class UserError(Exception):
    """An error that the user can fix: the message says what is wrong and what to do. Commands exit with code 2."""


class FaultsError(UserError):
    """Several faults, a line each; those that take longer to find are looked for when they are asked for.

    Args:
        lines: Yields them.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        super().__init__()
        self._lines, self._found = lines, list[str]()

    @classmethod
    def of_any(cls, lines: Iterator[str]) -> "FaultsError | None":
        """Return the error that these lines are, the first of which is looked for now; None where there are none."""
        first = next(lines, None)
        return None if first is None else cls(chain([first], lines))

    def lines(self) -> Iterator[str]:
        """Yield each line as it is found, and each once."""
        yield from list(self._found)
        for line in self._lines:
            if line not in self._found:
                self._found.append(line)
                yield line

    def __str__(self) -> str:
        return "\n".join(self.lines())


def format_error(error: BaseException) -> str:
    """Format an exception raised in user code: its type, its message, and the innermost line of user code.

    Where no line is the user's, the innermost one outside PyTorch is named.
    """
    frames = traceback.extract_tb(error.__traceback__)
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not frames or isinstance(error, SyntaxError):  # from another process, or naming its place itself
        return text
    user = [frame for frame in frames if not _packaged(Path(frame.filename))]
    others = [frame for frame in frames if "torch" not in Path(frame.filename).parts]
    last = (user or others or frames)[-1]
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"


def _packaged(file: Path) -> bool:
    """Return whether a file belongs to Python, an installed package or splitbench."""
    ours = Path(__file__).resolve().parents[2]
    places = (Path(os.__file__).resolve().parent, *(ours / folder for folder in ("bench", "datasets", "methods")))
    return "site-packages" in file.parts or any(file.resolve().is_relative_to(place) for place in places)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``; did you mean a, b or c?`` with the valid names closest to ``name``; empty if none is close.

    >>> nearest("layer22", ["layer1", "layer2", "avgpool"])
    '; did you mean layer2 or layer1?'
    """
    return did_you_mean(close_names(name, valid))


def close_names(name: str, valid: Iterable[str]) -> list[str]:
    """Return the valid names that are close to ``name``, the closest first."""
    return difflib.get_close_matches(name, list(valid), cutoff=0.4)


def did_you_mean(close: Sequence[str]) -> str:
    """Return the question whether one of these names is meant; empty for none."""
    if not close:
        return ""
    words = close[0] if len(close) == 1 else f"{', '.join(close[:-1])} or {close[-1]}"
    return f"; did you mean {words}?"
