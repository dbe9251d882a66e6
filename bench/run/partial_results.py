"""What a run has measured of passes that have not ended: shards and descriptions, so that a killed run loses seconds.

    <run>/unfinished/<pass>/pass.json            the keys of its cells, and how many images are run at once
    <run>/unfinished/<pass>/description.json     costs of every cell
    <run>/unfinished/<pass>/<first>-<last>.npz   the records of these batches

A cell's key covers everything that its records follow from, so whatever is found under it can be used. A folder is
removed when the cells of its pass are stored; if the whole pass failed, it serves the next run.
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
from splitbench.bench.utils.files import read_json, write_file

FOLDER = "unfinished"


@dataclass(frozen=True)
class PartialResults:
    """One pass's folder; what is read from it is restricted to the cells of these keys."""

    folder: Path
    keys: frozenset[str]

    @classmethod
    def find_or_create(
        cls, run: Path, keys: Collection[str], batch: int, taken: Collection[Path] = (), *, order: str = ""
    ) -> "PartialResults":
        """Return the partial results that hold these cells already, or new ones.

        Args:
            run: The run's folder.
            keys: The keys of the cells.
            batch: Images that are run at once: batches of another size do not fit.
            taken: Folders of other passes of this run.
            order: A digest of the order in which images are read; empty for the dataset's. Batches of another do not
                fit.

        Raises:
            UserError: The folder cannot be made.
        """
        wanted = frozenset(keys)
        for folder, content in _passes(run):
            same_batches = content["batch"] == batch and content.get("order", "") == order
            if wanted <= set(content["keys"]) and same_batches and folder not in taken:
                return cls(folder, wanted)
        content = {"batch": batch, "keys": sorted(wanted)} | ({"order": order} if order else {})
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
        created = cls(run / FOLDER / digest, wanted)
        created._write("pass.json", json.dumps(content).encode())
        return created

    def of_cells(self, keys: Iterable[str]) -> "PartialResults":
        """Return the same, restricted to fewer cells."""
        return PartialResults(self.folder, frozenset(keys))

    def put(self, shard: Shard) -> None:
        """Store a shard. Raises UserError if it cannot be written."""
        self._write(f"{shard.first:08}-{shard.last:08}.npz", shard.to_bytes())

    def put_descriptions(self, descriptions: dict[str, Description], provenance: dict[str, Any]) -> None:
        """Store the descriptions, and the provenance columns of the process that made them."""
        cells = {key: asdict(description) for key, description in descriptions.items()}
        self._write("description.json", json.dumps({"cells": cells, "circumstances": provenance}).encode())

    def descriptions(self) -> tuple[dict[str, Description], dict[str, Any]] | None:
        """Return what :meth:`put_descriptions` stored; None if it is missing or damaged."""
        content = read_json(self.folder / "description.json")
        try:
            cells = {key: Description(**content["cells"][key]) for key in self.keys}
            return cells, dict(content["circumstances"])
        except (ValueError, LookupError, TypeError):
            return None

    def shards(self) -> list[Shard]:
        """Return all shards that fit together, in order, without damaged ones and those of other batches."""
        fitting: list[Shard] = []
        for path in sorted(self.folder.glob("*-*.npz")):
            try:
                shard = Shard.from_bytes(path.read_bytes())
            except (OSError, ShardError):
                continue
            end = fitting[-1].last if fitting else 0
            same_pass = not fitting or shard.total == fitting[0].total
            if shard.keys >= self.keys and shard.first >= end and same_pass:
                fitting.append(shard.only(self.keys))
        return fitting

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of batches from number ``first`` up to ``last`` that no shard holds."""
        at = first
        for shard in self.shards():
            if shard.last > at and shard.first < last:
                if shard.first > at:
                    yield at, shard.first
                at = shard.last
        if at < last:
            yield at, last

    def whole(self) -> Shard:
        """Return all shards joined. Raises ShardError if batches are missing."""
        return joined(self.shards())

    def end(self, stored: Callable[[str], bool]) -> None:
        """Remove the folder when these cells are stored; keep what serves cells that are not.

        Args:
            stored: Whether the cell of a key is stored, or not wanted any more.
        """
        content = next((content for folder, content in _passes(self.folder.parents[1]) if folder == self.folder), None)
        if content is None or all(map(stored, content["keys"])):
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
                    self._write(path.name, shard.only(shard.keys - failed).to_bytes())

    def _write(self, name: str, content: bytes) -> None:
        write_file(self.folder / name, content, advice="make room and run again; what is stored stays valid")


def _passes(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((run / FOLDER).glob("*/pass.json")):
        content = read_json(path)
        try:
            set(content["keys"]), content["batch"]
        except (LookupError, TypeError):
            continue
        yield path.parent, content


def discard(run: Path, keys: Collection[str]) -> None:
    """Remove the partial results of any of these cells, which are measured anew."""
    for folder, content in _passes(run):
        if not set(keys).isdisjoint(content["keys"]):
            shutil.rmtree(folder, ignore_errors=True)


def clean_up(run: Path, stored: Callable[[str], bool]) -> None:
    """Remove the folders whose cells are all stored, and the folder of all passes if it is empty then.

    A folder without a list of its cells is the rest of a run that was killed while it made or removed it.
    """
    passes = {folder: content["keys"] for folder, content in _passes(run)}
    for folder in (run / FOLDER).glob("*"):
        if all(map(stored, passes.get(folder, ()))):
            shutil.rmtree(folder, ignore_errors=True)
    if (run / FOLDER).is_dir() and not any((run / FOLDER).iterdir()):
        (run / FOLDER).rmdir()
