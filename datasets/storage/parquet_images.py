"""Images in Hugging Face's parquet files: a row per image, with its file's bytes, its path and a label.

A row group is read whole, and the last few are kept: rows are read fastest in their order.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.base import DataError, ImageError
from splitbench.datasets.storage.cache import Cache, packed, unpacked
from splitbench.datasets.storage.stored_images import identity

_KIND = "parquet"
_KEPT_BYTES = 2**29
_KEPT_GROUPS = 2  # that many at least, however large they are


@dataclass(frozen=True)
class RowGroups:
    """The row groups that were read last, of all files of a subset; for several threads."""

    groups: "OrderedDict[tuple[Path, int], Any]" = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def images(self, path: Path, group: int) -> Any:
        """Return the column of the image files' bytes in a row group. Raises ImageError."""
        with self.lock:
            column = self.groups.pop((path, group), None)
            self.groups[path, group] = column = _read_images(path, group) if column is None else column
            while len(self.groups) > _KEPT_GROUPS and sum(kept.nbytes for kept in self.groups.values()) > _KEPT_BYTES:
                self.groups.popitem(last=False)
            return column


@dataclass(frozen=True)
class ParquetImages:
    """A parquet file; an image's name is the number of its row.

    Attributes:
        path: The file.
        paths: The path of each image file, as the file names it; may be empty.
        labels: The class index of each image.
        starts: The first row of each row group, and the number of rows, (G + 1,).
        kept: The row groups that were read last.
    """

    path: Path
    paths: list[str]
    labels: list[int]
    starts: NDArray[np.int64]
    kept: RowGroups
    sequential: ClassVar[bool] = True

    @classmethod
    def open(cls, path: Path, cache: Cache, kept: RowGroups) -> "ParquetImages":
        """List a file, or take the list from the cache. Raises DataError for one that is damaged or of another kind."""
        now = np.array(identity(path), np.int64)
        arrays = cache.listing(_KIND, path, now)
        if arrays is None:
            paths, labels, starts = _list(path)
            arrays = {"identity": now, "paths": packed(paths), "labels": np.array(labels, np.int64), "starts": starts}
            cache.store(_KIND, path, arrays)
        pyarrow_parquet()
        return cls(path, unpacked(arrays["paths"]), arrays["labels"].tolist(), arrays["starts"], kept)

    def read(self, name: str) -> bytes:
        """Return an image file's bytes."""
        row = int(name)
        group = int(np.searchsorted(self.starts, row, "right")) - 1
        data = self.kept.images(self.path, group)[row - int(self.starts[group])].as_py()
        if data is None:
            raise ImageError(f"{self.path}: row {row} holds no image")
        return bytes(data)

    def identities(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The file's."""
        return np.tile(np.array(identity(self.path), np.int64), (len(names), 1))

    def sizes(self, names: Sequence[str]) -> list[int]:
        """An equal share of the file each: only reading would show more."""
        return [identity(self.path)[0] // int(self.starts[-1])] * len(names)

    def positions(self, names: Sequence[str]) -> Sequence[int]:
        """The rows."""
        return [int(name) for name in names]


def pyarrow_parquet() -> Any:
    """Return pyarrow's module for parquet files. Raises DataError where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f'parquet files are read by pyarrow, which cannot be imported ({error}): pip install "splitbench[parquet]"'
        ) from None
    return pyarrow.parquet


def _list(path: Path) -> tuple[list[str], list[int], NDArray[np.int64]]:
    """Return the image files' paths, their labels, and where row groups begin; reads no image."""
    parquet = pyarrow_parquet()
    try:
        with parquet.ParquetFile(path) as file:
            columns = {file.metadata.schema.column(i).path for i in range(file.metadata.num_columns)}
            if not {"image.bytes", "label"} <= columns:
                raise DataError(
                    f"{path} has the columns {', '.join(sorted(columns))}: expected image.bytes, image.path and label, "
                    "as Hugging Face's datasets of images have them"
                )
            table = file.read(columns=["label", *({"image.path"} & columns)])
            counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors are of these
        raise DataError(f"{path} is no whole parquet file ({error}): is it still being copied?") from None
    labels = table.column("label").to_pylist()
    wrong = [row for row, label in enumerate(labels) if not isinstance(label, int) or label < 0]
    if wrong:
        raise DataError(f"{path}: {len(wrong)} rows have no class index as their label, such as row {wrong[0]}")
    images = table.column("image").to_pylist() if "image" in table.column_names else [None] * len(labels)
    paths = [(image or {}).get("path") or "" for image in images]
    return paths, labels, np.cumsum([0, *counts]).astype(np.int64)


def _read_images(path: Path, group: int) -> Any:
    try:
        with pyarrow_parquet().ParquetFile(path) as file:
            table = file.read_row_group(group, columns=["image.bytes"])
    except (OSError, ValueError, IndexError, NotImplementedError) as error:
        raise ImageError(f"{path} is damaged: its row group {group} cannot be read ({error})") from None
    return table.column("image").combine_chunks().field("bytes")
