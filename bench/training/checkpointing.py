"""A training's state in a file, so that a killed training resumes as if it had never stopped.

The file is written at the start and after every epoch, under a temporary name, and moved into place: a kill at any
moment leaves the last one or the one before. Reading it executes nothing, and only the training that wrote it may.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from splitbench.bench.training import distributed
from splitbench.bench.training.recipe import Recipe
from splitbench.bench.training.report import TrainingError
from splitbench.bench.training.state import TrainingState
from splitbench.bench.training.weights import load_weights
from splitbench.bench.utils import weight_files
from splitbench.bench.utils.log import LOG

_FORMAT = "splitbench checkpoint 2"
_EARLIER_FORMATS = ("splitbench checkpoint 1",)

Facts = dict[str, str]
"""What must be equal for a checkpoint to fit, by name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file of one training, which all its processes see. One training at a time may use it."""

    path: Path
    facts: Facts

    def restore(self, state: TrainingState) -> bool:
        """Continue from the file, in all processes; returns whether there is one.

        Raises:
            TrainingError: the file is damaged or another training's, or not all processes see the same file.
        """
        content = read(self.path, self.facts)
        epochs = -1 if content is None else len(content["report"]["history"])
        if len({int(each) for each in distributed.all_gather(torch.tensor([epochs]))}) > 1:
            raise TrainingError(
                f"not all processes see the same {self.path}: put it on storage that all machines share"
            )
        if content is not None:
            state.load_dict(content)
        return content is not None

    def save(self, state: TrainingState) -> None:
        """Write the state, by process 0; if it cannot, every process raises, so that none waits for the others.

        Raises:
            TrainingError: the file cannot be written; the model then holds the best weights so far.
        """
        content = state.to_dict()
        failure: str | None = None
        if distributed.rank() == 0:
            try:
                write(self.path, self.facts, content)
            except TrainingError as error:
                failure = str(error)
        if distributed.all_reduce(torch.tensor(float(failure is not None))):
            load_weights(state.model, state.best_weights)
            reason = failure or f"process 0 cannot save the checkpoint {self.path}; its message says why"
            raise TrainingError(reason, state.report)


def facts(
    model: nn.Module, recipe: Recipe, *, images: int, held_out: int, device: torch.device, identity: Mapping[str, Any]
) -> Facts:
    """Return what identifies a training: its recipe, model, data, processes, and what its caller says of it."""
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    shapes = "; ".join(f"{name} {value.dtype} {tuple(value.shape)}" for name, value in sorted(weights.items()))
    frozen: dict[str, Tensor] = {
        name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad
    }
    return {
        **{name: str(value) for name, value in identity.items()},
        **{f"recipe's {name}": str(value) for name, value in asdict(recipe).items()},
        "model": f"one of {len(weights)} tensors (digest {weight_files.digest({shapes: torch.zeros(0)})[:8]})",
        "frozen weights": f"{len(frozen)} tensors (digest {weight_files.digest(frozen)[:8]})",
        "number of training images": str(images),
        "number of held-out images": str(held_out),
        "number of processes": str(distributed.world_size()),
        "kind of device": device.type,
    }


def write(path: Path, facts: Facts, state: Mapping[str, Any]) -> None:
    """Save a state, complete or not at all.

    Raises:
        TrainingError: the file cannot be written, the disk being full, say; the last checkpoint is intact.
    """
    # A fixed name: what a kill left is overwritten, and does not pile up.
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            torch.save({"format": _FORMAT, "facts": facts, "state": dict(state)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps the OSErrors that it meets while writing
        with suppress(OSError):
            part.unlink()
        cause = next((e for e in (error, error.__context__) if isinstance(e, OSError)), error)
        reason = getattr(cause, "strerror", None) or _first_line(cause)
        last = "the last one is intact" if path.is_file() else "there was none yet"
        raise TrainingError(
            f"cannot save the checkpoint {path}: {reason}; {last}. Free space and run again to resume from it"
        ) from None


def read(path: Path, facts: Facts) -> dict[str, Any] | None:
    """Return the state that ``path`` holds, on the CPU, or None where there is no file, or one of an earlier version.

    Raises:
        TrainingError: the file is damaged or another training's.
    """
    if not path.is_file():
        return None
    advice = "remove it to begin anew, or name another file"
    try:
        content = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for damaged files
        raise TrainingError(f"{path} is damaged or no checkpoint ({_first_line(error)}); {advice}") from None
    if isinstance(content, dict) and content.get("format") in _EARLIER_FORMATS:
        LOG.warning("%s is of an earlier version of splitbench: the training begins anew", path)
        return None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TrainingError(f"{path} is no checkpoint of this version of splitbench; {advice}")
    stored: Facts = content["facts"]
    different = [name for name in {**facts, **stored} if stored.get(name) != facts.get(name)]
    if different:
        reasons = "; ".join(
            f"{name}: {stored.get(name, 'none')} in the file, {facts.get(name, 'none')} here" for name in different
        )
        raise TrainingError(f"{path} is the checkpoint of another training ({reasons}); {advice}")
    state: dict[str, Any] = content["state"]
    return state


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
