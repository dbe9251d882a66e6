"""A training run's state in a file, so that a killed run goes on as if nothing had happened.

The file is written at the start and after every epoch, under a temporary name, and moved into place: a kill at any
moment leaves the last one or the one before. It is read without executing anything in it, and only by the training it
was made by.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from splitbench.bench.training import distributed
from splitbench.bench.training.errors import TrainingError
from splitbench.bench.training.recipe import Recipe
from splitbench.bench.utils import weight_files

_FORMAT = "splitbench checkpoint 1"

Facts = dict[str, str]
"""What must be the same for a checkpoint to fit, by name."""


def facts(
    model: nn.Module, images: int, held_out: int, recipe: Recipe, device: torch.device, identity: Mapping[str, Any]
) -> Facts:
    """What a training run is told by: its recipe, model, data, processes, and what its caller says of it."""
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
        "number of processes": str(distributed.world()),
        "kind of device": device.type,
    }


def write(path: Path, here: Facts, state: Mapping[str, Any]) -> None:
    """Save a state, complete or not at all. One training at a time may use ``path``.

    Raises:
        TrainingError: the file cannot be written, the disk being full, say; the last checkpoint is as it was.
    """
    # A fixed name: what a kill left is written over, and does not pile up.
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            torch.save({"format": _FORMAT, "facts": here, "state": dict(state)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps what it meets while writing
        with suppress(OSError):
            part.unlink()
        cause = next((e for e in (error, error.__context__) if isinstance(e, OSError)), error)
        reason = getattr(cause, "strerror", None) or _first_line(cause)
        kept = "the last one is intact" if path.is_file() else "there was none yet"
        raise TrainingError(
            f"cannot save the checkpoint {path}: {reason}; {kept}. Free space and run again to go on from it"
        ) from None


def read(path: Path, here: Facts) -> dict[str, Any] | None:
    """The state that ``path`` holds, on the CPU, or None where there is no file.

    Raises:
        TrainingError: a damaged file, or the checkpoint of another training.
    """
    if not path.is_file():
        return None
    advice = "remove it to begin anew, or name another file"
    try:
        content = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for damaged files
        raise TrainingError(f"{path} is damaged or no checkpoint ({_first_line(error)}); {advice}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TrainingError(f"{path} is no checkpoint of this version of splitbench; {advice}")
    there: Facts = content["facts"]
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    if names:
        other = ", ".join(
            f"its {name} is {there.get(name, 'not told')}, not {here.get(name, 'told')}" for name in names
        )
        raise TrainingError(f"{path} is the checkpoint of another training: {other}; {advice}")
    state: dict[str, Any] = content["state"]
    return state


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
