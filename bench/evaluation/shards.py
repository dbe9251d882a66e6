"""A shard: what was measured of some consecutive batches of a pass. Shards are stored, and joined exactly."""

import io
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from splitbench.bench.metrics.records import Records, concatenated
from splitbench.bench.utils.failure import Failure

_ABOUT = "about"
_REFERENCE = "reference"
_CELLS = "cells"
FORMAT = 2


class ShardError(Exception):
    """Bytes that hold no shard, or shards that do not fit together."""


@dataclass(frozen=True)
class Shard:
    """Batches ``first`` up to ``last``, the latter not among them, of a pass of ``total`` batches.

    ``names`` are the cells that it is about. ``batch`` is how many images were run at once, ``seconds`` what it took.
    ``reference`` are the uncompressed backbone's records, ``cells`` each cell's own by the cell's name, in the order of
    the batches; a cell that failed is in ``failed`` only. ``unreadable`` are messages of images that could not be read;
    ``refused`` is the number of the first batch with one where that fails the pass: none after it was measured.
    """

    first: int
    last: int
    total: int
    names: frozenset[str]
    batch: int
    seconds: float
    reference: Records
    cells: Mapping[str, Records]
    failed: Mapping[str, Failure] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    refused: int | None = None

    def only(self, names: Iterable[str]) -> "Shard":
        """The same of these cells only."""
        kept = frozenset(names)
        return replace(
            self,
            names=self.names & kept,
            cells={name: records for name, records in self.cells.items() if name in kept},
            failed={name: failure for name, failure in self.failed.items() if name in kept},
        )

    def to_bytes(self) -> bytes:
        """As an .npz file: one JSON text, and arrays; what many cells have alike, an array for each record, is one."""
        measured = list(self.cells)
        arrays = {f"{_REFERENCE}/{record}": values for record, values in self.reference.items()}
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, name in enumerate(measured):
            for record, values in self.cells[name].items():
                alike.setdefault((record, values.dtype, values.shape), []).append(number)
        stacks = []
        for number, ((record, *_), cells) in enumerate(alike.items()):
            arrays[f"{_CELLS}/{number}"] = np.stack([self.cells[measured[cell]][record] for cell in cells])
            stacks.append((record, cells))
        about = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("first", "last", "total", "batch", "seconds", "refused")},
            "names": sorted(self.names),
            "cells": measured,
            "stacks": stacks,
            "failed": {name: [failure.batch, failure.reason] for name, failure in self.failed.items()},
            "unreadable": list(self.unreadable),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}, **arrays)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> "Shard":
        """What :meth:`to_bytes` wrote. Raises ShardError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                about = json.loads(bytes(arrays[_ABOUT]))
                if about.pop("format") != FORMAT:
                    raise ShardError("a shard of another version of splitbench")
                cells: dict[str, Records] = {name: {} for name in about["cells"]}
                for number, (record, owners) in enumerate(about.pop("stacks")):
                    for owner, values in zip(owners, arrays[f"{_CELLS}/{number}"], strict=True):
                        cells[about["cells"][owner]][record] = values
                about["cells"] = cells
                about["names"] = frozenset(about["names"])
                about["failed"] = {name: Failure(reason, batch) for name, (batch, reason) in about["failed"].items()}
                about["unreadable"] = tuple(about["unreadable"])
                start = f"{_REFERENCE}/"
                reference = {path.removeprefix(start): arrays[path] for path in arrays.files if path.startswith(start)}
                return Shard(reference=reference, **about)
        except ShardError:
            raise
        except Exception as error:  # zip files, JSON and arrays break in many ways
            raise ShardError(f"damaged shard ({type(error).__name__}: {error})") from None


def joined(shards: Iterable[Shard]) -> Shard:
    """Shards of one pass, in any order, as one: the same as if their batches had been measured in one go.

    A cell fails where it failed in any of them, for the reason of the earliest batch.

    Raises:
        ShardError: they overlap or leave batches out between them, or are about different cells or passes.
    """
    ordered = sorted(shards, key=lambda shard: (shard.first, shard.last))
    if not ordered:
        raise ShardError("no shards to join")
    for one, other in itertools.pairwise(ordered):
        if one.last != other.first:
            raise ShardError(f"batches up to {one.last} and from {other.first} on do not meet")
        if one.names != other.names or one.total != other.total:
            raise ShardError("shards of different cells or passes")
    failed: dict[str, Failure] = {}
    for shard in ordered:
        for name, failure in shard.failed.items():
            if name not in failed or failure.batch < failed[name].batch:
                failed[name] = failure
    refusals = [shard.refused for shard in ordered if shard.refused is not None]
    measured = [shard for shard in ordered if shard.reference]
    return Shard(
        first=ordered[0].first,
        last=ordered[-1].last,
        total=ordered[0].total,
        names=ordered[0].names,
        batch=min(shard.batch for shard in ordered),
        seconds=sum(shard.seconds for shard in ordered),
        reference=concatenated([shard.reference for shard in measured]),
        cells={
            name: concatenated([shard.cells[name] for shard in measured])
            for name in (measured[0].cells if measured else ())
            if name not in failed
        },
        failed=failed,
        unreadable=tuple(message for shard in ordered for message in shard.unreadable),
        refused=min(refusals, default=None),
    )
