"""Faults put into a sweep, one kind at a time: the cells that they hit fail with the reason, the others are as ever.

    python -m tests.torture.injected_faults FOLDER

One method's codec is made to break at some batch: it raises, runs out of memory, gives NaN, hangs, or drops bytes. Then
the disk is full, and what a run left is damaged. The last line printed is the counts as JSON.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.plan import Pass, plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.utils.errors import UserError
from splitbench.methods import quantize_rle
from splitbench.methods.base import Cut
from tests.helpers.results_samples import difference

SWEEP = Sweep.model_validate(
    {
        "datasets": [{"name": "synthetic", "limit": 24, "calibration": {"limit": 8}}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer3"]}],
        "methods": [{"name": "quantize-rle", "bits": [2, 4]}, {"name": "quantize-entropy", "bits": [3]}],
        "batch": 8,
    }
)
TIME_LIMIT = 30.0  # a busy machine must not be taken for a hang


def _raises(cut: Cut) -> Cut:
    raise RuntimeError("it broke")


def _memory(cut: Cut) -> Cut:
    raise MemoryError("no memory left")


def _gpu_memory(cut: Cut) -> Cut:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def _nan(cut: Cut) -> Cut:
    return tuple(x * float("nan") for x in cut)


def _hangs(cut: Cut) -> Cut:
    while True:
        time.sleep(0.01)


def _shape(cut: Cut) -> Cut:
    return tuple(x[:, :-1] for x in cut)


FAULTS: dict[str, tuple[Callable[[Cut], Cut], str]] = {
    "raises": (_raises, "it broke"),
    "runs out of memory": (_memory, "MemoryError"),
    "runs out of the GPU's memory": (_gpu_memory, "OutOfMemoryError"),
    "gives NaN": (_nan, "NaN"),
    "hangs": (_hangs, f"gave up after {TIME_LIMIT:g} s"),
    "gives another shape": (_shape, "the codec decoded"),
}


@contextmanager
def fault(change: Callable[[Cut], Cut], images: int) -> Iterator[None]:
    """Let quantize-rle with 4 bits decode wrongly after so many images."""
    original = quantize_rle._Codec.decode
    seen = 0

    def decode(self: Any, streams: Any, specs: Any) -> Cut:
        nonlocal seen
        seen += len(streams) if self.settings.bits == 4 else 0
        cut = original(self, streams, specs)
        return change(cut) if self.settings.bits == 4 and seen > images else cut

    quantize_rle._Codec.decode = decode  # type: ignore[method-assign]
    try:
        yield
    finally:
        quantize_rle._Codec.decode = original  # type: ignore[method-assign]


@cache
def _opened() -> tuple[Pass, ...]:
    """Data and backbone, opened once for all runs: nothing is broken there."""
    return tuple(plan_passes(SWEEP, Sources()))


def run(out: Path, time_limit: float = 0) -> runner.Result:
    """The sweep as it is run everywhere here."""
    with mock.patch.object(runner, "plan_passes", lambda *_: _opened()):
        return runner.run(SWEEP, Sources(), Store(out), runner.RunOptions(time_limit=time_limit))


def cell_fails(name: str, out: Path, undisturbed: Path) -> None:
    """One cell fails for the right reason, two are as ever; without the fault the same command mends it.

    Raises:
        AssertionError: otherwise.
    """
    change, reason = FAULTS[name]
    for images in (0, 40):  # at the first decoding, and in the middle of the pass
        with fault(change, images):
            result = run(out / str(images), TIME_LIMIT if change is _hangs else 0)
        if [bool(reason in why) and "bits=4" in cell for cell, why in result.failed] != [True] or result.done != 3:
            raise AssertionError(f"a codec that {name}: {result}")
        mended = run(out / str(images))
        if (mended.done, mended.kept, mended.failed) != (1, 2, ()):
            raise AssertionError(f"after a codec that {name}: {mended}")
        if results := difference(out / str(images), undisturbed):
            raise AssertionError(f"after a codec that {name}: {results[:5]}")


def full_disk(out: Path, undisturbed: Path) -> int:
    """The disk is full from the n-th write on, for every n there is; each time one sentence, and the next run goes on.

    Raises:
        AssertionError: otherwise.
    """
    original, count = os.fsync, 0
    left = [0]

    def fsync(fd: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(fd)

    while True:
        left[0] = count
        os.fsync = fsync
        try:
            run(out / str(count))
        except UserError as error:
            if "No space left on device" not in str(error):
                raise AssertionError(f"a full disk is reported as: {error}") from error
        else:
            return count
        finally:
            os.fsync = original
        run(out / str(count))
        if results := difference(out / str(count), undisturbed):
            raise AssertionError(f"after a full disk at write {count}: {results[:5]}")
        count += 1


def damaged_files(out: Path, undisturbed: Path) -> int:
    """Every file of a run cut short, one by one: the next run mends it, or reads nothing of it.

    Raises:
        AssertionError: otherwise.
    """
    run(out)
    files = sorted(path for path in out.rglob("*") if path.suffix in (".json", ".txt", ".csv") and path.stat().st_size)
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        run(out)
        if results := difference(out, undisturbed):
            raise AssertionError(f"after half of {path}: {results[:5]}")
    return len(files)


def main(folder: Path) -> None:
    """All faults, and their counts."""
    torch.set_num_threads(1)
    undisturbed = folder / "undisturbed"
    run(undisturbed)
    for name in FAULTS:
        cell_fails(name, folder / name.replace(" ", "-"), undisturbed)
    counts = {"failing codecs": 2 * len(FAULTS)}
    counts["full disks"] = full_disk(folder / "full", undisturbed)
    counts["damaged files"] = damaged_files(folder / "damaged", undisturbed)
    print(json.dumps(counts))  # noqa: T201 - what this process is for


if __name__ == "__main__":
    main(Path(sys.argv[1]))
