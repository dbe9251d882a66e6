"""What a run has measured of passes that have not ended: shards and descriptions, so that a killed run loses seconds.

    <run>/unfinished/<pass>/pass.json            the keys of its cells, and how many images are run at once
    <run>/unfinished/<pass>/description.json     costs of every cell
    <run>/unfinished/<pass>/<first>-<last>.npz   the records of these batches

A cell's key covers all that its records follow from, so that what is found under it can be used. All is removed when
the pass's cells are stored; where the whole pass broke, it serves the next run.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitbench.bench.evaluation import Description, Shard, ShardError, joined
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import read_json, write_whole

FOLDER = "unfinished"


@dataclass(frozen=True)
class Unfinished:
    """One pass's folder. What is read from it is about the cells of these keys only."""

    folder: Path
    keys: frozenset[str]

    @classmethod
    def of(cls, run: Path, keys: Collection[str], batch: int, taken: Collection[Path] = ()) -> "Unfinished":
        """The folder that has these cells, with batches of that size, already; else a new one.

        A folder that is one of ``taken`` is another pass's by now. Raises UserError where none can be made.
        """
        wanted = frozenset(keys)
        for folder, content in _passes(run):
            if wanted <= set(content["keys"]) and content["batch"] == batch and folder not in taken:
                return cls(folder, wanted)
        about = {"batch": batch, "keys": sorted(wanted)}
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:20]
        one = cls(run / FOLDER / digest, wanted)
        one._write("pass.json", json.dumps(about).encode())
        return one

    def of_cells(self, keys: Iterable[str]) -> "Unfinished":
        """The same of these cells only."""
        return Unfinished(self.folder, frozenset(keys))

    def put(self, shard: Shard) -> None:
        """Store a shard. Raises UserError where it cannot be written."""
        self._write(f"{shard.first:08}-{shard.last:08}.npz", shard.to_bytes())

    def put_descriptions(self, descriptions: dict[str, Description], circumstances: dict[str, Any]) -> None:
        """Store the descriptions, and what is told of the process that made them."""
        content = {"cells": {key: asdict(one) for key, one in descriptions.items()}, "circumstances": circumstances}
        self._write("description.json", json.dumps(content).encode())

    def descriptions(self) -> tuple[dict[str, Description], dict[str, Any]] | None:
        """What :meth:`put_descriptions` stored; None where that is missing or damaged."""
        content = read_json(self.folder / "description.json")
        try:
            cells = {key: Description(**content["cells"][key]) for key in self.keys}
            return cells, dict(content["circumstances"])
        except (ValueError, LookupError, TypeError):
            return None

    def shards(self) -> list[Shard]:
        """All shards that fit together, in order; damaged ones and those of other batches are passed over."""
        found: list[Shard] = []
        for path in sorted(self.folder.glob("*-*.npz")):
            try:
                shard = Shard.from_bytes(path.read_bytes())
            except (OSError, ShardError):
                continue
            met = found[-1].last if found else 0
            if shard.names >= self.keys and shard.first >= met and (not found or shard.total == found[0].total):
                found.append(shard.only(self.keys))
        return found

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges of batches among ``first`` up to ``last`` that no shard has."""
        at = first
        for shard in self.shards():
            if shard.last > at and shard.first < last:
                if shard.first > at:
                    yield at, shard.first
                at = shard.last
        if at < last:
            yield at, last

    def whole(self) -> Shard:
        """All shards as one. Raises ShardError where batches are missing."""
        return joined(self.shards())

    def end(self, stored: Callable[[str], bool]) -> None:
        """Remove the folder. Where not all its cells are stored, but these are, keep what serves the others."""
        about = next((content for folder, content in _passes(self.folder.parents[1]) if folder == self.folder), None)
        if about is None or all(map(stored, about["keys"])):
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        # What failed is tried again by the next run, and must not be found here.
        (self.folder / "description.json").unlink(missing_ok=True)
        for path in self.folder.glob("*-*.npz"):
            with suppress(OSError, ShardError, UserError):
                shard = Shard.from_bytes(path.read_bytes())
                if shard.refused is not None:
                    path.unlink()
                elif failed := shard.failed.keys() & self.keys:
                    self._write(path.name, shard.only(shard.names - failed).to_bytes())

    def _write(self, name: str, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / name, content)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.folder} ({error.strerror}): make room and run again; what is there stays valid"
            ) from None


def _passes(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((run / FOLDER).glob("*/pass.json")):
        content = read_json(path)
        try:
            set(content["keys"]), content["batch"]
        except (LookupError, TypeError):
            continue
        yield path.parent, content


def forget(run: Path, keys: Collection[str]) -> None:
    """Remove all that is left of an earlier try of any of these cells."""
    for folder, content in _passes(run):
        if not set(keys).isdisjoint(content["keys"]):
            shutil.rmtree(folder, ignore_errors=True)


def tidy(run: Path, stored: Callable[[str], bool]) -> None:
    """Remove the folders whose cells are all stored, and that of all passes where nothing is left.

    A folder that does not tell its cells is what a run left that was killed while it made or removed it.
    """
    passes = {folder: content["keys"] for folder, content in _passes(run)}
    for folder in (run / FOLDER).glob("*"):
        if all(map(stored, passes.get(folder, ()))):
            shutil.rmtree(folder, ignore_errors=True)
    if (run / FOLDER).is_dir() and not any((run / FOLDER).iterdir()):
        (run / FOLDER).rmdir()
