"""What becomes of an error: one cell's reason, never another's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils import devices
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.time_limit import limited

_NO_ROOM = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine",
)
"""What libraries that allocate beside PyTorch say. The third and the last have other causes, too, seldom."""


def lacks_memory(error: BaseException) -> bool:
    """Whether a device's memory ran out."""
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_ROOM)
    return told or isinstance(error, torch.OutOfMemoryError)


@contextmanager
def isolated(
    failed: dict[str, str], cells: Mapping[str, Cell], device: torch.device, spare_memory: bool = False
) -> Iterator[None]:
    """What goes wrong within, or takes too long, is the failure of these cells, by name, and no others'.

    With ``spare_memory``, lack of a device's memory goes on as ``torch.OutOfMemoryError``.

    Raises:
        UserError: the GPU computes nothing any more, so that all that comes would fail.
    """
    try:
        with limited():
            yield
    except (Exception, SystemExit) as error:  # sys.exit() in a method of one's own is its failure, too
        if spare_memory and lacks_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        reason = Failure.from_error(error, ", ".join(f"{cell} ({name})" for name, cell in cells.items())).reason
        devices.refuse_stopped(device, f"{next(iter(cells.values()))}: {reason}")
        failed.update(dict.fromkeys(cells, reason))
