"""A folder of what was read of datasets' files: arrays by path, for runs and processes to share.

A file per container and kind, replaced as a whole: nothing is locked, since network disks often cannot, and of two
processes that write one at a time the later wins, at the price of reading again what the other had. What is damaged
counts as missing. A folder that is full or cannot be written is a warning, once.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARIABLE = "SPLITBENCH_CACHE"
_FORMAT = 1


class CacheWarning(UserWarning):
    """Something about the cache that a user should know."""


def default_folder() -> Path:
    """Return the folder that the environment names, or the one in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "splitbench"


@dataclass(frozen=True)
class Cache:
    """Arrays in a folder, by kind and path.

    Attributes:
        folder: The folder.
        anew: Whether lists of what archives hold are made anew, whatever is stored.
    """

    folder: Path = field(default_factory=default_folder)
    anew: bool = False

    def load(self, kind: str, path: Path) -> dict[str, Any] | None:
        """Return the arrays; None where they are missing or damaged."""
        try:
            with np.load(self._file(kind, path), allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception:  # a damaged file makes a dozen kinds of error
            return None

    def listing(self, kind: str, path: Path, now: NDArray[np.int64]) -> dict[str, Any] | None:
        """Return the list of an archive of the identity ``now``; None where it is another's, or to be made anew."""
        arrays = None if self.anew else self.load(kind, path)
        return arrays if arrays is not None and np.array_equal(arrays.get("identity", ()), now) else None

    def store(self, kind: str, path: Path, arrays: Mapping[str, Any]) -> None:
        """Store arrays in place of those before; warn where that is impossible."""
        file, temporary = self._file(kind, path), None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as stream:
                temporary = Path(stream.name)
                np.savez(stream, **arrays)
            temporary.replace(file)
        except OSError as error:
            warnings.warn(
                f"digests of images cannot be kept in {self.folder} ({error.strerror or error}), so that the next run "
                f"reads them again: make room, or name another folder by --cache or {VARIABLE}",
                CacheWarning,
                stacklevel=1,
            )
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    def _file(self, kind: str, path: Path) -> Path:
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
        return self.folder / f"{kind}-{_FORMAT}" / f"{name}.npz"


def packed(texts: "list[str]") -> Any:
    """Return texts as an array of bytes; none of them holds a zero."""
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), np.uint8)


def unpacked(array: Any) -> list[str]:
    """Return the texts of :func:`packed`."""
    return bytes(array).decode("utf-8", "surrogateescape").split("\0")
