"""Files that are there whole or not at all, and what is taken from files that may be anybody's."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

_FORMULA = tuple("=+-@\t\r\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside ``path`` and move it into place. Raises OSError, leaving no trace."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """What a JSON file holds, which may be anything; None where it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def no_formula(text: str) -> str:
    """A text for a CSV that no spreadsheet takes for a formula, which it would run: with an apostrophe in front.

    >>> [no_formula(text) for text in ("=1+1", "raw", "-2.5")]
    ["'=1+1", 'raw', '-2.5']
    """
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
