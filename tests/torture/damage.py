"""Mutated bitstreams into a decoder: each must be refused by BitstreamError or decode to tensors of the right shape.

    python -m tests.torture.damage NAME COUNT [SEED]

runs COUNT mutations over the settings of one method (or ``coding``, the coders by themselves) in a process of its own,
whose address space is limited: a decoder that hangs or takes memory without bounds ends it. The last line printed
is the counts as JSON.
"""

import faulthandler
import json
import random
import resource
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from splitbench.bench.tools.conformance.mutations import mutate
from tests.torture.decoders import DecoderTarget, targets

_MORE = 2**30  # bytes of address space beyond what is in use once all is imported
_GROWTH = 256 * 2**20  # bytes of memory that all mutations together may add
_PATIENCE = 60  # seconds for _AT_ONCE decodings
_AT_ONCE = 50


def torture(found: Sequence[DecoderTarget], count: int, seed: int = 0) -> dict[str, int]:
    """``count`` mutations over the targets in turn: how many were tried, refused, accepted.

    Raises:
        AssertionError: a decoder raised something else than BitstreamError, or gave other shapes; with the bytes.
    """
    rng = random.Random(seed)
    refused = 0
    for number in range(count):
        target = found[number % len(found)]
        data = mutate(target.streams, rng)
        try:
            refused += not target.accepts(data)
        except BaseException as error:
            raise AssertionError(f"{target.name}: {error!r} for {data.hex()}") from error
    return {"decoders": len(found), "mutations": count, "refused": refused, "decoded": count - refused}


def main(name: str, count: int, seed: int) -> None:
    """Torture with limits on time and memory, and print the counts."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
    found = targets(name)
    torture(found, 10 * len(found), seed + 1)  # compiles and allocates what is kept
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MORE, used + _MORE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total: dict[str, int] = {}
    for part, start in enumerate(range(0, count, _AT_ONCE)):
        faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        counts = torture(_turned(found, start), min(_AT_ONCE, count - start), seed + 2 + part)
        total = {name: total.get(name, 0) + value for name, value in counts.items()}
    faulthandler.cancel_dump_traceback_later()
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if growth > _GROWTH:
        raise AssertionError(f"{name}: decoding took {growth} bytes of memory more")
    print(json.dumps(total | {"decoders": len(found)}))  # noqa: T201 - what this process is for


def _turned(found: Sequence[DecoderTarget], start: int) -> list[DecoderTarget]:
    """The targets from another one on, so that small portions come to all of them."""
    place = start % len(found)
    return [*found[place:], *found[:place]]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
