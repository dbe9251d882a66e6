"""Decoded pictures kept on disk, so that another sweep over the same images decodes none of them again.

    <folder>/<key>/<first>.pixels     32 pictures, as the network takes them: uint8, resized and cropped

The key covers what the pixels follow from: the images' contents, resizing and cropping, and the decoder's version.
Every file tells its checksum; one that does not fit is made again. Pictures are read by memory mapping. One that could
not be read is tried again each time: the fault may have passed.
"""

import hashlib
import json
import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.utils import provenance
from splitbench.bench.utils.decode_threads import threads
from splitbench.bench.utils.files import write_whole
from splitbench.datasets.base import Dataset, ImageError

FORMAT = 2
_TOGETHER = 32  # pictures per file
_HEADER = struct.Struct("<Q")
_AFTER_PIXELS = ("mean", "std")  # of a recipe: applied on the device


@dataclass
class _File:
    """A file's pictures: their shapes, None for what could not be read, and where in the file they begin.

    ``identity`` tells the file from another that somebody puts into its place.
    """

    path: Path
    identity: tuple[int, ...]
    shapes: list[list[int] | None]
    starts: list[int]

    def picture(self, place: int) -> Tensor | None:
        """None where the file has none, or is gone or another."""
        shape = self.shapes[place]
        if shape is None:
            return None
        try:  # mapped for this picture only: a process may have fewer files open than a dataset makes
            with self.path.open("rb") as stream:
                if _identity(stream) != self.identity:
                    return None
                return torch.from_numpy(np.array(np.memmap(stream, np.uint8, "r", self.starts[place], tuple(shape))))
        except (OSError, ValueError):
            return None


@dataclass
class KeptPictures:
    """Pictures of one dataset, as one kind of preprocessing leaves them.

    ``fingerprint`` is the dataset's. At most ``limit`` bytes are kept under ``folder``: what is beyond is decoded each
    time, and so is all where nothing can be written.
    """

    folder: Path
    fingerprint: str
    limit: int
    _files: dict[Path, _File] = field(default_factory=dict)
    _locks: dict[Path, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _room: int | None = None

    def of(self, dataset: Dataset, backbone: Backbone) -> Callable[[int], Tensor]:
        """Gives an image's pixels, as ``backbone.pixels`` makes them; raises ImageError as the dataset does."""
        recipe = {name: value for name, value in backbone.recipe.items() if name not in _AFTER_PIXELS}
        about = [FORMAT, self.fingerprint, recipe, provenance.image_decoder()]
        place = self.folder / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:20]

        def decode(index: int) -> Tensor:
            return backbone.pixels(dataset.image(index))

        def pixels(index: int) -> Tensor:
            first = index - index % _TOGETHER
            file = self._file(place / f"{first:08}.pixels", range(first, min(first + _TOGETHER, len(dataset))), decode)
            kept = None if file is None else file.picture(index - first)
            return decode(index) if kept is None else kept

        return pixels

    def _file(self, path: Path, indices: range, decode: Callable[[int], Tensor]) -> _File | None:
        with self._lock:
            lock = self._locks.setdefault(path, threading.Lock())
        with lock:
            if path not in self._files:
                file = _opened(path, len(indices)) or self._made(path, indices, decode)
                if file is None:
                    return None
                self._files[path] = file
            return self._files[path]

    def _made(self, path: Path, indices: range, decode: Callable[[int], Tensor]) -> _File | None:
        if self._left() <= 0:
            return None
        content = _content(indices, decode)
        with self._lock:
            self._room = (self._room or 0) - len(content)
        if self._left() < 0:
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError:
            self._room = 0
            return None
        return _opened(path, len(indices))

    def _left(self) -> int:
        with self._lock:
            if self._room is None:
                kept = sum(path.stat().st_size for path in self.folder.glob("*/*.pixels"))
                self._room = self.limit - kept
            return self._room


def _content(indices: range, decode: Callable[[int], Tensor]) -> bytes:
    def tried(index: int) -> Tensor | None:
        try:
            return decode(index)
        except ImageError:
            return None

    with ThreadPoolExecutor(threads()) as pool:
        found = list(pool.map(tried, indices))
    shapes = [None if pixels is None else list(pixels.shape) for pixels in found]
    data = b"".join(pixels.contiguous().numpy().tobytes() for pixels in found if pixels is not None)
    header = json.dumps({"shapes": shapes, "sha256": _checksum(shapes, data)}).encode()
    return _HEADER.pack(len(header)) + header + data


def _opened(path: Path, count: int) -> _File | None:
    """A file's pictures, or None where it is missing, damaged or another's."""
    try:
        with path.open("rb") as stream:
            identity = _identity(stream)
            (length,) = _HEADER.unpack(stream.read(_HEADER.size))
            header = json.loads(stream.read(length)) if length <= os.fstat(stream.fileno()).st_size else {}
            shapes, start = header["shapes"], _HEADER.size + length
            empty = os.fstat(stream.fileno()).st_size == start
            data = np.zeros(0, np.uint8) if empty else np.memmap(stream, np.uint8, "r", start)
        sizes = [0 if shape is None else int(np.prod(shape)) for shape in shapes]
        if header["sha256"] != _checksum(shapes, data) or sum(sizes) != len(data) or len(sizes) != count:
            return None
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return None
    return _File(path, identity, shapes, [start, *(start + np.cumsum(sizes)[:-1]).tolist()])


def _identity(stream: BinaryIO) -> tuple[int, ...]:
    about = os.fstat(stream.fileno())
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _checksum(shapes: list[list[int] | None], data: Any) -> str:
    digest = hashlib.sha256(json.dumps(shapes).encode())
    digest.update(data)
    return digest.hexdigest()
