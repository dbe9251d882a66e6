"""A run's folder: one JSON and one .npz file per cell, each written under a temporary name and moved into place.

    results/<run>/
        cells/<key>.json      settings, columns, what is stored on each side, status
        records/<key>.npz     per image: bytes and its parts, what the task keeps of the answer (a prediction and hits;
                              boxes and what they were matched to), and the same of the uncompressed backbone; for
                              detection also average precision in bootstrap samples of the images
        images/<fingerprint>.txt   the ids of the images; the record `image` holds indices into it
        sweep.yaml            the sweep that ran last, with what was set on the command line
        plan.json             the keys of the sweep that ran last, in its order, and behind them those of earlier sweeps
        runs.json             for every run that ended, its duration and number of workers
        cells.csv             derived from the above; can be rebuilt at any time
        unfinished/           partial results of passes that have not ended
        lock, running-*.json  held by the run that writes here, and its process

The CSV holds the plan's cells. Nothing is ever appended to a file that two processes could share.
"""

import csv
import io
import json
import math
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from splitbench.bench.metrics import ledger
from splitbench.bench.metrics.records import Records
from splitbench.bench.results import provenance
from splitbench.bench.results.columns import NAMES
from splitbench.bench.results.validation import is_plan, is_result
from splitbench.bench.results.warnings_text import join_warnings, split_warnings
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import no_formula, read_json, write_file

_CURVE = ("dataset", "backbone", "split", "method", "variant", "seed")


@dataclass(frozen=True)
class Store:
    """The results in one folder, which may begin with ``~``."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder.expanduser())

    def open(self) -> None:
        """Create the folder and make sure that it can be written. Raises UserError if it cannot."""
        self._write(self.folder / ".writable", b"")
        (self.folder / ".writable").unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[Path]:
        """Lock the folder against other runs; a killed run holds no lock.

        Yields:
            A file in the folder that exists as long as the lock is held.

        Raises:
            UserError: Another run holds the lock, or the file system has none.
        """
        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"another run writes to {self.folder}{self._holder()}: wait for it, stop it, or choose another folder "
                "by --out"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise UserError(
                f"cannot lock {self.folder} ({error}): choose a folder by --out where files can be locked"
            ) from None
        running = self.folder / f"running-{uuid.uuid4().hex}.json"
        try:
            for stale in self.folder.glob("running-*.json"):
                stale.unlink(missing_ok=True)
            about = {"process": os.getpid(), "machine": socket.gethostname(), "since": provenance.now()}
            self._write(running, json.dumps(about).encode())
            yield running
        finally:
            running.unlink(missing_ok=True)
            lock.release()

    def _holder(self) -> str:
        for path in self.folder.glob("running-*.json"):
            about = read_json(path)
            with suppress(LookupError, TypeError):
                return f" (process {about['process']} on {about['machine']}, since {about['since']})"
        return ""

    def status(self, key: str) -> str | None:
        """Return ``ok`` or ``failed``, or None if no valid result of the cell is stored."""
        cell = self.cell(key)
        return None if cell is None else str(cell["columns"]["status"])

    def cell(self, key: str) -> dict[str, Any] | None:
        """Return what is stored of a cell, or None."""
        content = read_json(self.folder / "cells" / f"{key}.json")
        return content if is_result(content) else None

    def damaged(self) -> list[str]:
        """Return the keys of the plan's cells whose files hold no result: they are left out of tables."""
        keys = (entry["key"] for entry in self._plan() or ())
        return [key for key in keys if (self.folder / "cells" / f"{key}.json").exists() and self.cell(key) is None]

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield all stored results, of any sweep."""
        for path in sorted((self.folder / "cells").glob("*.json")):
            cell = self.cell(path.stem)
            if cell is not None:
                yield cell

    def put(
        self,
        key: str,
        settings: Mapping[str, Any],
        columns: Mapping[str, Any],
        *,
        stored: Mapping[str, Any],
        records: Records,
    ) -> None:
        """Store a cell's result.

        Args:
            key: The cell's key.
            settings: The ingredients of the key.
            columns: The cell's row.
            stored: Bytes that each side stores.
            records: Per-image records; written first, so that no result is ever there without them.
        """
        if records:
            self._put_records(key, records)
        content = {"key": key, "settings": settings, "columns": columns, "stored": stored}
        self._write(self.folder / "cells" / f"{key}.json", json.dumps(content, indent=1).encode())

    def _put_records(self, key: str, records: Records) -> None:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: _smallest(values) for name, values in records.items()}
        np.savez_compressed(buffer, **arrays)
        self._write(self.folder / "records" / f"{key}.npz", buffer.getvalue())

    def put_images(self, fingerprint: str, ids: Sequence[str]) -> None:
        """Store the ids of the evaluation images."""
        self._write(self.folder / "images" / f"{fingerprint}.txt", "".join(f"{name}\n" for name in ids).encode())

    def put_sweep(self, text: str) -> None:
        """Store the sweep that runs, as YAML, for those who get the results."""
        self._write(self.folder / "sweep.yaml", text.encode())

    def put_run(self, statistics: Mapping[str, Any]) -> None:
        """Add the statistics of a run that has ended: its workers, cells and seconds."""
        self._write(self.folder / "runs.json", json.dumps([*self.runs(), dict(statistics)], indent=1).encode())

    def runs(self) -> list[dict[str, Any]]:
        """Return what :meth:`put_run` was given, run by run."""
        content = read_json(self.folder / "runs.json")
        return [run for run in content if isinstance(run, dict)] if isinstance(content, list) else []

    def put_plan(self, rows: Sequence[Mapping[str, Any]], keep_others: bool = False) -> None:
        """Store the sweep's keys with the labels that the tables use.

        Cells of earlier sweeps leave the table and stay stored, with their labels. With ``keep_others``, those of other
        backbones and methods stay in the table.
        """
        before = self._plan() or []
        if keep_others:
            renewed = {(row["backbone"], row.get("method")) for row in rows}
            others = [row for row in before if (row["backbone"], row.get("method")) not in renewed]
            rows = list({_identity(row): row for row in (*filter(_is_shown, others), *rows)}.values())
        identities = {_identity(row) for row in rows}
        earlier = [row | {"earlier": True} for row in before if _identity(row) not in identities]
        self.replace_plan([*rows, *earlier])

    def replace_plan(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store these rows as the whole plan, earlier sweeps' included."""
        self._write(self.folder / "plan.json", json.dumps(list(rows), indent=1).encode())

    def table_keys(self) -> set[str]:
        """Return the keys of the table's cells, stored or not."""
        return {entry["key"] for entry in filter(_is_shown, self._plan() or [])}

    def left_out(self) -> int:
        """Return how many cells of earlier sweeps are stored and not in the table."""
        others = {entry["key"] for entry in self._plan() or []} - self.table_keys()
        return sum(self.status(key) == "ok" for key in others)

    def collect(self, every: bool = False) -> Path:
        """Rebuild ``cells.csv`` from the plan's cells that are stored, and return its path.

        Args:
            every: Whether to take in the cells of earlier sweeps, too.

        Raises:
            UserError: The folder holds no run.
        """
        plan = self._plan()
        if plan is None:
            raise UserError(f"{self.folder} holds no run: plan.json is missing or damaged")
        rows, stored = [], []
        for entry in plan if every else filter(_is_shown, plan):
            cell = self.cell(entry["key"])
            if cell is not None:
                warnings = (split_warnings(source.get("warnings")) for source in (entry, cell["columns"]))
                rows.append(cell["columns"] | entry | {"warnings": join_warnings(*warnings)})
                stored.append(cell["stored"])
        curves: dict[tuple[Any, ...], list[int]] = {}
        for index, row in enumerate(rows):
            if row["status"] == "ok":
                curves.setdefault(tuple(row[name] for name in _CURVE), []).append(index)
        for indices in curves.values():
            costs = ledger.over_rate_points([stored[index] for index in indices])
            for index in indices:
                rows[index] |= costs
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(row.get(name)) for name in NAMES} for row in rows)
        path = self.folder / "cells.csv"
        self._write(path, buffer.getvalue().encode())
        return path

    def _plan(self) -> list[dict[str, Any]] | None:
        content = read_json(self.folder / "plan.json")
        return content if is_plan(content) else None

    def _write(self, path: Path, content: bytes) -> None:
        advice = "choose another folder by --out or make room; what is already stored stays valid"
        write_file(path, content, advice)


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a row of a plan: a cell may have several labels."""
    return row["key"], row.get("dataset"), row["backbone"]


def _is_shown(row: Mapping[str, Any]) -> bool:
    return not row.get("earlier")


def _smallest(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return integers in the smallest type that holds them all."""
    if values.dtype.kind != "i" or values.size == 0:
        return values
    return values.astype(np.result_type(np.min_scalar_type(int(values.min())), np.min_scalar_type(int(values.max()))))


def _text(value: Any) -> str:
    """Format a CSV cell: empty for what does not apply, numbers with seven significant digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7g}" if math.isfinite(value) else ""
    return no_formula(str(value))
