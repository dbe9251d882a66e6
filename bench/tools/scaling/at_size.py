"""How long each stage of a sweep takes with so many images, and how much memory: from listing them to the report.

``python -m splitbench.bench.tools.scaling.at_size 10000 FOLDER`` makes an ImageNet of tiny pictures in ``FOLDER/data``
(10,000 to train on, and 1,000 to evaluate on), unless it is there, and runs every stage as a process of its own. The
network has a thousandth of a common one's parameters, so that what is measured is everything else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from splitbench.bench.tools.scaling.stand_in import subset_sizes
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_text

_SWEEP = """\
datasets:
  - {name: imagenet, calibration: {limit: 256}}
backbones:
  - {name: "splitbench.bench.tools.scaling.small_network:SmallNetwork", weights: none, splits: [first]}
methods:
  - {name: quantize-rle, bits: [2, 4], range: [calibrated]}
  - {name: bottleneck, lmbda: [0.1], epochs: 1, distortion: distill}
"""


class StageCost(NamedTuple):
    """What a stage took: seconds by the clock and of all cores, and the peak of its memory in MiB."""

    stage: str
    seconds: float
    core_seconds: float
    memory: float

    def __str__(self) -> str:
        return f"| {self.stage} | {self.seconds:.1f} | {self.core_seconds:.1f} | {self.memory:,.0f} |"


def measure_stages(training: int, folder: Path, memory: float) -> Iterator[StageCost]:
    """Yield what each stage takes, as soon as it has ended; results and digests of an earlier call are removed.

    Args:
        training: How many images to train on.
        folder: Where images and results go.
        memory: GiB in which training may keep images.

    Raises:
        UserError: A stage fails.
    """
    data, run = folder / "data", folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    sweep = write_text(folder / "at_size.yaml", _SWEEP)
    inputs = [str(sweep), "--data", str(data), "--cache", str(folder / "cache"), "--device", "cpu"]
    bench = "splitbench.bench"
    yield _cost("writing the files", f"{bench}.tools.scaling.stand_in", str(training), str(data))
    kept, out = ["--memory", f"{memory:g}"], ["--out", str(run)]
    yield _cost("plan, every image read", bench, "run", *inputs, *out, "--dry-run")
    yield _cost("plan, with the digests", bench, "run", *inputs, *out, "--dry-run")
    yield _cost(
        "plan and training, three epochs to restore the cut and one of the loss", bench, "train", *inputs, *out, *kept
    )
    yield _cost("plan, evaluation of 3 cells and scoring", bench, "run", *inputs, *out, *kept, "--quiet")
    yield _cost("comparison", bench, "compare", str(run))
    yield _cost("report", bench, "report", str(run))


def _cost(stage: str, module: str, *arguments: str) -> StageCost:
    started = time.monotonic()
    # This process has to stay small: on Linux, the peak of one begins with that of the process that starts it.
    command = [sys.executable, "-m", module, *arguments]
    trusting = os.environ | {"SPLITBENCH_TRUST": "splitbench"}  # the sweep names a network of this package
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": trusting}
    with subprocess.Popen(command, **piped) as process:  # noqa: S603 - our own module
        output = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise UserError(f"{' '.join(arguments)} failed: {output.strip()[-500:]}")
    memory = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return StageCost(stage, time.monotonic() - started, used.ru_utime + used.ru_stime, memory)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=int, help="images to train on")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--memory", type=float, default=0, help="GiB in which training may keep images")
    given = parser.parse_args()
    sizes = subset_sizes(given.training)
    sys.stdout.write(
        f"{sizes['train']:,} images to train on, {sizes['val']:,} to evaluate on; load {os.getloadavg()[0]:.1f}\n\n"
        "| stage | seconds | core seconds | peak memory (MiB) |\n|---|---|---|---|\n"
    )
    for cost in measure_stages(given.training, given.folder, given.memory):
        sys.stdout.write(f"{cost}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
