"""One sentence for the user instead of a traceback, and names close to a mistyped one."""

import difflib
import os
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what to do. Ends the command with code 2."""


def told(error: BaseException) -> str:
    """What was raised in code of the user's: type, message, and the line, the last one that is the user's own.

    Where none is, it is the last one that is not PyTorch's.
    """
    frames = traceback.extract_tb(error.__traceback__)
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not frames or isinstance(error, SyntaxError):  # it comes from another process, or tells the place itself
        return text
    own = [frame for frame in frames if not _packaged(Path(frame.filename))]
    others = [frame for frame in frames if "torch" not in Path(frame.filename).parts]
    last = (own or others or frames)[-1]
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"


def _packaged(file: Path) -> bool:
    """Whether a file is Python's, an installed package's or splitbench's."""
    ours = Path(__file__).resolve().parents[2]
    places = (Path(os.__file__).resolve().parent, *(ours / folder for folder in ("bench", "datasets", "methods")))
    return "site-packages" in file.parts or any(file.resolve().is_relative_to(place) for place in places)


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean a, b or c?`` from the valid names closest to ``name``, or nothing where none is close.

    >>> nearest("layer22", ["layer1", "layer2", "avgpool"])
    '; did you mean layer2 or layer1?'
    """
    close = difflib.get_close_matches(name, list(valid), cutoff=0.4)
    if not close:
        return ""
    words = close[0] if len(close) == 1 else f"{', '.join(close[:-1])} or {close[-1]}"
    return f"; did you mean {words}?"
