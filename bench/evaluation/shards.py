"""A shard: the records of some consecutive batches of a pass. Shards are stored, and joined exactly."""

import io
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from splitbench.bench.evaluation.failures import note
from splitbench.bench.metrics.records import Records, concatenated
from splitbench.bench.utils.failure import Failure

_ABOUT = "about"
_REFERENCE = "reference"
_CELLS = "cells"
FORMAT = 2


class ShardError(Exception):
    """Bytes are not a shard, or shards do not fit together."""


@dataclass(frozen=True)
class Shard:
    """Batches ``first`` to ``last``, exclusive, of a pass of ``total`` batches.

    Attributes:
        first: Number of the first batch.
        last: Number of the batch after the last one.
        total: How many batches the pass has.
        keys: The cells that it is about.
        batch: How many images were run at once.
        seconds: What measuring took.
        reference: The uncompressed backbone's records.
        cells: Each cell's records by its key, in the order of the batches.
        failed: The cells that failed, which are not in ``cells``.
        unreadable: A message for each image that could not be read.
        refused: Number of the first batch with such an image, where that fails the pass: none after it was measured.
    """

    first: int
    last: int
    total: int
    keys: frozenset[str]
    batch: int
    seconds: float
    reference: Records
    cells: Mapping[str, Records]
    failed: Mapping[str, Failure] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    refused: int | None = None

    def only(self, keys: Iterable[str]) -> "Shard":
        """Return the part that is about these cells."""
        chosen = frozenset(keys)
        return replace(
            self,
            keys=self.keys & chosen,
            cells={key: records for key, records in self.cells.items() if key in chosen},
            failed={key: failure for key, failure in self.failed.items() if key in chosen},
        )

    def to_bytes(self) -> bytes:
        """Serialize as an .npz file: a JSON text and arrays, cells' records of one name and shape stacked into one."""
        keys = list(self.cells)
        arrays = {f"{_REFERENCE}/{record}": values for record, values in self.reference.items()}
        stackable: dict[tuple[Any, ...], list[int]] = {}
        for number, key in enumerate(keys):
            for record, values in self.cells[key].items():
                stackable.setdefault((record, values.dtype, values.shape), []).append(number)
        stacks = []
        for number, ((record, *_), cells) in enumerate(stackable.items()):
            arrays[f"{_CELLS}/{number}"] = np.stack([self.cells[keys[cell]][record] for cell in cells])
            stacks.append((record, cells))
        about = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("first", "last", "total", "batch", "seconds", "refused")},
            "names": sorted(self.keys),
            "cells": keys,
            "stacks": stacks,
            "reference": sorted(self.reference),  # their names lie in the zip file's directory, which has no checksum
            "failed": {key: [failure.batch, failure.reason] for key, failure in self.failed.items()},
            "unreadable": list(self.unreadable),
        }
        buffer = io.BytesIO()
        stored: dict[str, Any] = {_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays}
        np.savez_compressed(buffer, **stored)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> "Shard":
        """Read what :meth:`to_bytes` wrote. Raises ShardError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                about = json.loads(bytes(arrays[_ABOUT]))
                if about.pop("format") != FORMAT:
                    raise ShardError("a shard of another version of splitbench")
                cells: dict[str, Records] = {key: {} for key in about["cells"]}
                for number, (record, owners) in enumerate(about.pop("stacks")):
                    for owner, values in zip(owners, arrays[f"{_CELLS}/{number}"], strict=True):
                        cells[about["cells"][owner]][record] = values
                about["cells"] = cells
                about["keys"] = frozenset(about.pop("names"))
                about["failed"] = {key: Failure(reason, batch) for key, (batch, reason) in about["failed"].items()}
                about["unreadable"] = tuple(about["unreadable"])
                start = f"{_REFERENCE}/"
                reference = {path.removeprefix(start): arrays[path] for path in arrays.files if path.startswith(start)}
                if sorted(reference) != about.pop("reference", sorted(reference)):
                    raise ShardError("damaged shard (its records have other names than it says)")
                return Shard(reference=reference, **about)
        except ShardError:
            raise
        except Exception as error:  # zip files, JSON and arrays break in many ways
            raise ShardError(f"damaged shard ({type(error).__name__}: {error})") from None


def joined(shards: Iterable[Shard]) -> Shard:
    """Join shards of one pass, in any order, into what measuring all their batches in one go would have given.

    A cell fails where it failed in any of them, for the reason of the earliest batch.

    Raises:
        ShardError: They overlap, leave batches out between them, or are about different cells or passes.
    """
    ordered = sorted(shards, key=lambda shard: (shard.first, shard.last))
    if not ordered:
        raise ShardError("no shards to join")
    for before, after in itertools.pairwise(ordered):
        if before.last != after.first:
            raise ShardError(f"batches up to {before.last} and from {after.first} on do not meet")
        if before.keys != after.keys or before.total != after.total:
            raise ShardError("shards of different cells or passes")
    failed: dict[str, Failure] = {}
    for shard in ordered:
        for key, failure in shard.failed.items():
            note(failed, [key], failure)
    refusals = [shard.refused for shard in ordered if shard.refused is not None]
    measured = [shard for shard in ordered if shard.reference]
    return Shard(
        first=ordered[0].first,
        last=ordered[-1].last,
        total=ordered[0].total,
        keys=ordered[0].keys,
        batch=min(shard.batch for shard in ordered),
        seconds=sum(shard.seconds for shard in ordered),
        reference=concatenated([shard.reference for shard in measured]),
        cells={
            key: concatenated([shard.cells[key] for shard in measured])
            for key in (measured[0].cells if measured else ())
            if key not in failed
        },
        failed=failed,
        unreadable=tuple(message for shard in ordered for message in shard.unreadable),
        refused=min(refusals, default=None),
    )
