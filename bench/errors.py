"""One sentence for the user instead of a traceback, and names close to a mistyped one."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what to do. Ends the command with code 2."""


def told(error: Exception) -> str:
    """What was raised in code of the user's: type, message, and the line, the last one that is not PyTorch's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "torch" not in Path(frame.filename).parts]
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not frames or isinstance(error, SyntaxError):  # it comes from another process, or tells the place itself
        return text
    last = (own or frames)[-1]
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"


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
