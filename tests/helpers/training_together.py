"""What each of several processes does in the test of data-parallel training; torchrun starts it.

torchrun --nproc-per-node 2 -m tests.helpers.training_together FOLDER     writes FOLDER/<rank>.pt
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from splitbench.bench import training
from splitbench.bench.training import TrainingError, distributed
from splitbench.bench.utils import progress
from tests.helpers.training_samples import blobs, fit, full_disk, jitter, network

IMAGES = 257
"""Four batches of 64 and one image, so that one process of two has none in the last step."""


def exact(batch_size: int, model: Any = None) -> Any:
    """A training that is the same in any number of processes: its norms hold no statistics."""
    return fit(
        model or network(norm=False), images=IMAGES, batch_size=batch_size, ema=0.9, options={"show": progress.bar}
    )


def drawn(path: Path | None, step: Any = None) -> Any:
    """A training with everything that a process has for itself: dropout, augmentation and statistics."""
    return fit(network(dropout=0.2), step, batch_size=16, options={"augment": jitter, "checkpoint": path})


def failing(at: int, how: Any) -> Any:
    """A classifier's step that fails after so many training steps."""
    left = [at]

    def step(net: Any, batch: Any) -> Any:
        measures = training.classify()(net, batch)
        if net.training:
            left[0] -= 1
            if left[0] == 0:
                measures = how(measures)
        return measures

    return step


def interrupt(measures: Any) -> Any:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


def explode(measures: Any) -> Any:
    """In this process only."""
    return measures | {"loss": measures["loss"] * torch.inf}


def raised(call: Any, *args: Any) -> str:
    """The message of the TrainingError."""
    try:
        call(*args)
    except TrainingError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    """All that is tested, in one start of the processes."""
    with distributed.process_group() as device:
        rank = distributed.rank()
        result: dict[str, Any] = {"rank": rank, "world": distributed.world_size(), "device": str(device)}
        model = network(norm=False)
        with torch.no_grad():
            next(model.parameters()).add_(rank)  # the first process's weights count
        model, report = exact(32, model)
        result["exact"], result["report"] = model.state_dict(), report.history

        whole, report = drawn(None)
        result["whole"], result["whole report"] = whole.state_dict(), report.history
        try:
            drawn(folder / "state.pt", failing(12, interrupt))
        except KeyboardInterrupt:
            resumed, report = drawn(folder / "state.pt")
            result["resumed"], result["resumed report"] = resumed.state_dict(), report.history

        step = failing(10, explode) if rank == 1 else None
        result["exploded"] = raised(drawn, None, step)

        with full_disk(2000) if rank == 0 else nullcontext():
            result["full"] = raised(drawn, folder / "full.pt")

        result["apart"] = raised(drawn, folder / ("state.pt" if rank == 0 else "elsewhere.pt"))
        result["alone"] = (
            training.validate(whole, training.classify(), blobs(seed=1), batch_size=32) if rank == 0 else None
        )
        torch.save(result, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
