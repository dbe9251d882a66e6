"""Kills a sweep by SIGKILL at random moments, goes on each time, and compares the end with a run left in peace.

    python -m tests.torture.kills COUNT FOLDER [SEED]

The sweep trains two units (checkpoints after every epoch), evaluates in many shards and stores a dozen cells. Each life
is a fork of one process that has imported everything (and computed nothing: torch may abort in the fork of a process
that has), and runs the sweep anew in the same folder; it is killed after a random time, at most what an undisturbed run
takes. Where a sweep has ended before all kills are done, its folder is compared and the next begins in a fresh one. The
last line printed is the counts as JSON.
"""

import faulthandler
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from tests.helpers.results_samples import difference

SWEEP = Sweep.model_validate(
    {
        "datasets": [{"name": "synthetic", "limit": 60, "train": {"limit": 48}, "calibration": {"limit": 8}}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer2", "layer3"]}],
        "methods": [
            {"name": "quantize-rle", "bits": [2, 4]},
            {"name": "quantize-entropy", "bits": [3]},
            {
                "name": "bottleneck",
                "lmbda": [0.3, 1],
                "epochs": 4,
                "restore_epochs": 1,
                "start": "neighbour",
                "next_epochs": 3,
                "batch_size": 16,
            },
        ],
        "batch": 4,
    }
)


def _run(out: Path) -> None:
    options = runner.RunOptions(shard_seconds=0.05)  # a shard every few batches, so that kills meet many of them
    result = runner.run(SWEEP, Sources(), Store(out), options)
    if result.failed:
        raise AssertionError(result.failed)


def _log(out: Path) -> Path:
    return out.with_suffix(".log")


def _life(out: Path) -> int:
    """A process that runs the sweep; its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with _log(out).open("w") as log:  # progress bars, and last words
                os.dup2(log.fileno(), 2)
                faulthandler.enable()
                _run(out)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def torture(count: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Kill ``count`` times; what was going on at these moments, and how many sweeps were compared.

    Raises:
        AssertionError: a life ended by itself with an error, or results differ from the undisturbed run's.
    """
    rng = random.Random(seed)
    undisturbed = folder / "undisturbed"
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    _, status = os.waitpid(_life(undisturbed), 0)
    if status != 0:
        raise AssertionError("the undisturbed run failed")
    whole = time.perf_counter() - begun
    counts = {"kills": 0, "in training": 0, "in evaluation": 0, "between": 0, "sweeps": 0}
    out = folder / "killed-0"
    while counts["kills"] < count:
        child = _life(out)
        end = time.perf_counter() + rng.uniform(0, 0.7 * whole)
        ended = 0
        while ended == 0 and time.perf_counter() < end:
            time.sleep(0.002)
            ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _compare(out, undisturbed, status, counts)
            out = folder / f"killed-{counts['sweeps']}"
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        counts["kills"] += 1
        training = bool(list(out.glob("trainings/*.checkpoint")))
        measuring = bool(list(out.glob("unfinished/*/*.npz"))) and not training
        counts["in training" if training else "in evaluation" if measuring else "between"] += 1
    _, status = os.waitpid(_life(out), 0)
    _compare(out, undisturbed, status, counts)
    return counts


def _compare(out: Path, undisturbed: Path, status: int, counts: dict[str, int]) -> None:
    if status != 0:
        printed = _log(out).read_text(errors="replace").replace("\r", "\n").splitlines()[-80:]
        raise AssertionError("\n".join([*printed, f"a life in {out.name} ended by itself with {status}"]))
    results = difference(out, undisturbed)
    left = [
        str(path) for path in out.rglob("*") if path.suffix in (".checkpoint", ".part") or path.name == "unfinished"
    ]
    if results or left:
        raise AssertionError(f"{out} differs from the undisturbed run: {results[:5]}; left behind: {left[:5]}")
    counts["sweeps"] += 1


def main(count: int, folder: Path, seed: int) -> None:
    """Kill, and print the counts."""
    torch.set_num_threads(1)
    print(json.dumps(torture(count, folder, seed)))  # noqa: T201 - what this process is for


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
