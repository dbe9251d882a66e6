"""Keeps an error to the cells that it concerns: they fail, and the others go on."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from splitbench.bench.evaluation.time_limit import limited
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils import devices
from splitbench.bench.utils.errors import UserError, format_error
from splitbench.bench.utils.failure import Failure

_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine",
)
"""Messages of libraries that allocate beside PyTorch. The third and the last seldom have other causes, too."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a device's memory ran out."""
    message = isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    return message or isinstance(error, torch.OutOfMemoryError)


def failure_on(model: nn.Module, pixels: Any, error: BaseException) -> str:
    """Say why a network fails on a batch of pixels, and what to change where its precision may be the cause."""
    height, width = pixels[0].shape[-2:]
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    other = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types - {torch.float32}))
    hint = f"; its weights are {other}, and its input is float32: return it as `model.float()`" if other else ""
    if isinstance(error, UserError):
        return f"{error}{hint}"
    return f"it fails on an image of {height} x {width} pixels: {format_error(error)}{hint}"


def note(failures: dict[str, Failure], keys: Iterable[str], failure: Failure) -> None:
    """Record the failure of these cells; each keeps the one at its earliest batch."""
    for key in keys:
        if key not in failures or failure.batch < failures[key].batch:
            failures[key] = failure


@contextmanager
def isolated(
    failures: dict[str, Failure],
    cells: Mapping[str, Cell],
    device: torch.device,
    *,
    batch: int = -1,
    raise_out_of_memory: bool = False,
) -> Iterator[None]:
    """Turn an error or a time-out in the block into a failure of these cells.

    Args:
        failures: Where it is recorded, by the cells' keys.
        cells: The cells that the block is about, by key.
        device: Where the block computes.
        batch: The batch that the block is about; -1 before the first one.
        raise_out_of_memory: Raise lack of memory on the device as ``torch.OutOfMemoryError`` instead.

    Raises:
        UserError: The GPU stopped working, so that everything else would fail, too.
    """
    try:
        with limited():
            yield
    except (Exception, SystemExit) as error:  # a user's method may call sys.exit()
        if raise_out_of_memory and is_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        failure = Failure.from_error(error, ", ".join(f"{cell} ({key})" for key, cell in cells.items()), batch)
        devices.refuse_stopped(device, f"{next(iter(cells.values()))}: {failure.reason}")
        note(failures, cells, failure)
