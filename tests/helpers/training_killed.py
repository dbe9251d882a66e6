"""Trains in processes that are killed by SIGKILL, one after the other, until one gets to the end.

    python -m tests.helpers.training_killed FOLDER    writes FOLDER/weights.pt and FOLDER/lives.json, the epochs stored
    at each

A process of its own: children that are forked before anything is computed start in a moment.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from splitbench.bench import training
from tests.helpers.training_samples import fit, jitter, network

MOMENTS = [
    ("saving", 1),  # before there is a checkpoint
    ("training", 3),  # in the first epoch
    ("saving", 1),  # written but not yet in place
    ("validating", 13),  # after the second epoch: one batch is tried at the start, 8 make an epoch
    ("saved", 1),
    ("validating", 13),
    ("saving", 1),
    ("training", 13),  # in the second epoch since it went on
]
"""What each life is doing when it is killed, and the how-many-th time it is."""


def run(checkpoint: Path | None, at: Any = lambda what: None) -> Any:
    """The training, with all that must be restored: order, augmentation, dropout, statistics and average."""

    def step(net: Any, batch: Any) -> Any:
        at("training" if net.training else "validating")
        return training.classify()(net, batch)

    options = {"checkpoint": checkpoint, "augment": jitter}
    return fit(network(dropout=0.2), step, epochs=6, ema=0.9, options=options)


def live(folder: Path, moment: tuple[str, int] | None, pipe: int) -> None:
    """Train until the moment, write to the pipe, and wait for the end; or get to the end and leave the weights."""
    count = 0

    def at(what: str) -> None:
        nonlocal count
        if moment is not None and what == moment[0]:
            count += 1
            if count == moment[1]:
                os.write(pipe, b"!")
                time.sleep(60)

    fsync, replace = os.fsync, Path.replace

    def saving(handle: int) -> None:
        fsync(handle)
        at("saving")

    def saved(self: Path, target: Path) -> Path:
        result = replace(self, target)
        at("saved")
        return result

    os.fsync, Path.replace = saving, saved  # type: ignore[assignment,method-assign]
    model, report = run(folder / "state.pt", at)
    torch.save({"weights": model.state_dict(), "history": report.history, "best": report.best_epoch}, folder / "end.pt")
    os.write(pipe, b"end")


def main(folder: Path) -> None:
    """Live and die."""
    torch.set_num_threads(1)  # a fork of a process with threads may hang
    # A first step imports much, which every child would do anew.
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    torch.optim.AdamW([parameter]).step()
    lives = []
    for moment in [*MOMENTS, None]:
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            live(folder, moment, theirs)
            os._exit(0)
        os.close(theirs)
        messages = os.read(ours, 3)
        os.close(ours)
        os.kill(child, signal.SIGKILL if moment else 0)
        _, status = os.waitpid(child, 0)
        if messages != (b"!" if moment else b"end"):
            sys.exit(f"the life to be killed while {moment} ended by itself: {messages!r}, {status}")
        lives.append(sorted(file.name for file in folder.iterdir()))
    (folder / "lives.json").write_text(json.dumps(lives))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
