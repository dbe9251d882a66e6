"""CIFAR-10 (Krizhevsky 2009): 60,000 images of 32 x 32 pixels in 10 classes, from any of the forms that it comes in.

In ``root``, by itself or in the folder that the archive unpacks to:

1. ``cifar-10-batches-bin``, the binary version;
2. ``cifar-10-batches-py``, Python's version, which torchvision downloads. It holds pickles, which could execute code:
   everything in them but numpy's arrays is refused.

Or any of the user's files, named in ``test_file`` and ``train_file``:

3. ``.npz`` with ``x``, uint8 (n, 32, 32, 3), and ``y``, integers from 0 to 9;
4. ``.zip`` of images in folders called by class, ``airplane/0000.jpg``; where the archive has folders ``test`` and
   ``train``, those of the one asked for.

Evaluation takes the test images, calibration and training the others.
"""

import hashlib
import io
import pickle
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import DataError, Dataset, Subset, check_ids
from splitbench.datasets.formats.decoding import open_image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
"""Pixels along each side of an image."""
CALIBRATION_IMAGES = 500
"""Calibration takes that many of the training images, where no ``limit`` is given."""
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_BATCHES = {"test": ("test_batch",), "train": tuple(f"data_batch_{number}" for number in range(1, 6))}
_BYTES = SIDE * SIDE * 3


class Options(base.Options):
    """``limit``: a random subset of that many images, the same for the same ``seed``; ``exclude``: ids left out.

    ``root``: the folder; in a sweep, below that of the data. ``test_file`` and ``train_file`` are paths in it.
    """

    root: Path | None = None
    test_file: Path | None = None
    train_file: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    exclude: frozenset[str] = frozenset()


class CifarImage(NamedTuple):
    """A name, a class index, and either the pixels, row by row, or an image file's bytes."""

    id: str
    label: int
    data: bytes


@dataclass(frozen=True)
class CifarImages:
    """Labelled images in memory: ``encoded`` as image files, or as pixels."""

    images: Sequence[CifarImage]
    encoded: bool
    global_ids: bool
    """Whether the ids are positions in the official files."""
    task: str = "classification"
    classes: int = len(CLASSES)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def ids(self) -> Sequence[str]:
        """``test-00042``, the position in the official files or a .npz; ``test/airplane/0042``, the path in a .zip."""
        return tuple(entry.id for entry in self.images)

    def image(self, index: int) -> Image.Image:
        """Return the image as RGB."""
        entry = self.images[index]
        if not self.encoded:
            return Image.frombytes("RGB", (SIDE, SIDE), entry.data)
        return open_image(io.BytesIO(entry.data), entry.id)

    def target(self, index: int) -> int:
        """Return the class index."""
        return self.images[index].label

    def content(self, index: int) -> str:
        """Of the pixels, or of the file's bytes."""
        return hashlib.sha256(self.images[index].data).hexdigest()[:16]

    def digest(self, index: int) -> str:
        """Of the pixels or the file's bytes, and the label."""
        entry = self.images[index]
        return hashlib.sha256(entry.data + f" {entry.label}".encode()).hexdigest()[:16]


class Cifar10:
    """Small images with labels."""

    task: ClassVar[str] = "classification"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> Dataset:
        """Find the form, read the images, take the subset. Raises DataError with what was expected where."""
        if options.root is None:
            raise DataError("the dataset cifar10 needs a folder: name it by --data, or by `root` in the sweep")
        if not options.root.is_dir():
            raise DataError(f"data folder not found: {options.root}")
        part = "test" if subset == "evaluation" else "train"
        file = options.test_file if part == "test" else options.train_file
        if file is not None:
            images = _from_file(options.root / file, part)
        elif options.test_file is not None or options.train_file is not None:
            raise DataError(f"cifar10: no file for {subset}: name one in `{part}_file`")
        else:
            images = _from_official(options.root, part)
        check_ids("exclude", options.exclude, [entry.id for entry in images.images], options.root)
        rows = [entry for entry in images.images if entry.id not in options.exclude]
        limit = CALIBRATION_IMAGES if subset == "calibration" and options.limit is None else options.limit
        if limit is not None and limit < len(rows):
            chosen = random.Random(options.seed).sample(range(len(rows)), limit)
            rows = [rows[index] for index in sorted(chosen)]
        return CifarImages(rows, images.encoded, images.global_ids)


Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
"""(n, 32, 32, 3)."""


def _from_official(root: Path, part: str) -> CifarImages:
    readers: dict[str, tuple[str, Callable[[Path], tuple[Pixels, Labels]]]] = {
        "cifar-10-batches-bin": (".bin", _binary),
        "cifar-10-batches-py": ("", _pickled),
    }
    for name, (suffix, read) in readers.items():
        for folder in (root, root / name):
            files = [folder / f"{batch}{suffix}" for batch in _BATCHES[part]]
            if files[0].is_file():
                missing = [file for file in files if not file.is_file()]
                if missing:
                    raise DataError(f"{missing[0]} is missing: unpack CIFAR-10's archive again")
                pixels, labels = zip(*map(read, files), strict=True)
                return _from_arrays(np.concatenate(pixels), np.concatenate(labels), part, official=True)
    raise DataError(
        f"no CIFAR-10 in {root}: download cifar-10-binary.tar.gz or cifar-10-python.tar.gz from "
        "https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there, or name files in `test_file` and `train_file`"
    )


def _from_file(path: Path, part: str) -> CifarImages:
    if not path.is_file():
        raise DataError(f"{part} file not found: {path}")
    if path.suffix == ".npz":
        return _from_arrays(*_npz(path), part, official=False)
    if path.suffix == ".zip":
        return CifarImages(_zipped(path, part), encoded=True, global_ids=False)
    raise DataError(f"{path}: expected a .npz with x and y, or a .zip of images in folders called by class")


def _from_arrays(pixels: Pixels, labels: Labels, part: str, official: bool) -> CifarImages:
    rows = [
        CifarImage(f"{part}-{index:05d}", int(label), entry.tobytes())
        for index, (entry, label) in enumerate(zip(pixels, labels, strict=True))
    ]
    return CifarImages(rows, encoded=False, global_ids=official)


def _binary(path: Path) -> tuple[Pixels, Labels]:
    """Per image a byte of label, then the red, green and blue planes."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not content.size or content.size % (1 + _BYTES):
        raise DataError(f"{path} is damaged: {content.size} bytes are no multiple of {1 + _BYTES}")
    rows = content.reshape(-1, 1 + _BYTES)
    return _checked(path, _planes_last(rows[:, 1:]), rows[:, 0])


def _pickled(path: Path) -> tuple[Pixels, Labels]:
    try:
        with path.open("rb") as stream:
            content = _ArraysOnly(stream, encoding="latin1").load()
        rows, labels = np.asarray(content["data"]), np.asarray(content["labels"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle makes any kind of error
        raise DataError(f"{path} is not one of CIFAR-10's batches ({error!r})") from None
    if rows.ndim != 2 or rows.shape[1] != _BYTES:
        raise DataError(f"{path} is not one of CIFAR-10's batches: `data` is {rows.shape}, not (n, {_BYTES})")
    return _checked(path, _planes_last(rows), labels)


class _ArraysOnly(pickle.Unpickler):
    """Reads numbers, strings, lists, dicts and numpy's arrays; refuses every other class and function by name."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): lambda text, encoding: str(text).encode(encoding),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise DataError(f"refused, since it asks for {module}.{name}, which is no array and could execute code")
        return self._KNOWN[module, name]


def _npz(path: Path) -> tuple[Pixels, Labels]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return _checked(path, content["x"], content["y"])
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise a dozen kinds for damaged files
        raise DataError(f"{path}: expected arrays x and y ({error})") from None


def _planes_last(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def _checked(path: Path, pixels: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[Pixels, Labels]:
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (SIDE, SIDE, 3):
        raise DataError(f"{path}: expected uint8 (n, {SIDE}, {SIDE}, 3), not {pixels.dtype} {pixels.shape}")
    if labels.shape != pixels.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: expected {len(pixels)} labels, integers, not {labels.dtype} {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise DataError(f"{path}: labels from {labels.min()} to {labels.max()}, not 0 to {len(CLASSES) - 1}")
    return pixels, labels.astype(np.int64)


def _zipped(path: Path, part: str) -> list[CifarImage]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in sorted(archive.namelist())]
            names = [name for name in names if name.suffix.lower() in _SUFFIXES and not name.name.startswith(".")]
            named = {known for known in _BATCHES if any(known in name.parts[:-2] for name in names)}
            names = [name for name in names if not named or part in name.parts[:-2]]
            strange = next((name for name in names if name.parent.name not in CLASSES), None)
            if strange is not None:
                raise DataError(f"{path}: {strange} is in no folder called by one of {', '.join(CLASSES)}")
            if not names:
                raise DataError(f"{path} holds no {part} images in folders called by class")
            return [
                CifarImage(str(name.with_suffix("")), CLASSES.index(name.parent.name), archive.read(str(name)))
                for name in names
            ]
    except DataError:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen kinds for damaged files
        raise DataError(f"{path} cannot be read as a .zip ({error})") from None


DATASET = Cifar10()
