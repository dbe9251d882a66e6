"""Atomic writes, and careful reads of files that are untrusted input."""

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from splitbench.bench.utils.errors import UserError, close_names, did_you_mean

_BEGINNING = 2000  # characters
_FORMULA = tuple("=+-@\t\r\n")


def write_file(
    path: Path,
    content: bytes | str,
    advice: str = "make room, or choose another folder",
    error_type: type[Exception] = UserError,
) -> Path:
    """Write a file so that it is there whole or not at all: under a temporary name first, then moved into place.

    Args:
        path: The file; its folder is made.
        content: Text is written in UTF-8; bytes in names that are not UTF-8 are escaped.
        advice: What the user can do if it cannot be written.
        error_type: What is raised then.

    Returns:
        ``path``.

    Raises:
        UserError: The file cannot be written; one that was there is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
    except OSError as error:
        raise error_type(f"cannot write {path} ({error.strerror or error}): {advice}") from None
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as :func:`write_file` does, but into a folder that exists. Raises OSError."""
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


def write_text(path: Path, text: str) -> Path:
    """Write a text file by :func:`write_file`, with a newline at its end."""
    return write_file(path, text if text.endswith("\n") else text + "\n")


def remove(path: Path) -> None:
    """Remove a file where there is one. Raises UserError where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot remove {path}: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, of any shape; None if the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def file_word(word: str) -> str:
    """Spell a word as a part of a path; different words stay different, unless one spells the escape of a sign.

    In ASCII, as there are machines whose file names can be nothing else.

    >>> file_word("torchvision/resnet50"), file_word("channels=32 stride=1"), file_word("a:b"), file_word("..")
    ('torchvision--resnet50', 'channels=32+stride=1', 'a-3a-b', '-2e--2e-')
    """
    kept = "_-=" if set(word) <= {"."} else "._-="
    signs = {"/": "--", " ": "+"}
    return "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in kept else signs.get(letter, f"-{ord(letter):x}-")
        for letter in word
    )


def missing_path(path: Path, what: str) -> str:
    """Return what to tell the user of a folder, or of a file or folder, that is not there: what else is there.

    Args:
        path: What was given.
        what: What it should be, such as ``weights folder``.
    """
    if path.is_file():
        return f"{path} is a file, and a {what} is wanted: did you mean {path.parent}?"
    present = next((folder for folder in path.parents if folder.is_dir()), Path())
    lacking = present / path.relative_to(present).parts[0]
    try:
        names = [entry.name for entry in present.iterdir() if entry.is_dir() or not what.endswith("folder")]
    except OSError:
        names = []
    others = [str(present / name) for name in close_names(lacking.name, names)]
    return f"{what} not found: {path}{did_you_mean(others) or f' (there is no {lacking})' * (lacking != path)}"


def folder_for(path: Path, option: str) -> Path:
    """Return ``path``, given by an option, if it is a folder or can become one, with a ``~`` at its start expanded.

    Raises UserError otherwise.
    """
    path = path.expanduser()
    existing = next((place for place in (path, *path.parents) if place.exists()), path)
    if not existing.is_dir():
        raise UserError(f"{existing} is a file: {option} takes a folder")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{existing} cannot be written: give another folder by {option}")
    return path


def file_for(path: Path, option: str, example: str) -> Path:
    """Return ``path``, given by an option, if it is a file or can become one, with a ``~`` at its start expanded.

    Raises UserError otherwise.
    """
    path = path.expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: {option} takes a file, as in {path / example}")
    folder_for(path.parent, option)
    return path


def check_replaceable(files: Iterable[Path], mark: str) -> None:
    """Raise UserError if one of these files is there, unless the beginning of the first says that it is ours.

    Args:
        files: What a command writes, one of its texts first: an earlier one stands for all files beside it.
        mark: What stands at its beginning.
    """
    first, *others = files
    present = next((file for file in (first, *others) if file.exists()), None)
    with suppress(OSError, UnicodeDecodeError), first.open(encoding="utf-8") as stream:
        if mark in stream.read(_BEGINNING):
            return
    if present is not None:
        raise UserError(
            f"{present} is there already, and nothing says that this command wrote it: name another place by --out, or "
            "replace it by --force"
        )


def no_formula(text: str) -> str:
    """Put an apostrophe before text for a CSV that a spreadsheet would take for a formula, and run.

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
