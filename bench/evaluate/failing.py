"""What becomes of an error: one cell's reason, never another's."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from splitbench.bench.errors import UserError
from splitbench.bench.patience import limited
from splitbench.datasets.base import DataError
from splitbench.methods.base import MethodError


@dataclass(frozen=True)
class Failure:
    """Where a cell failed, as the batch's number (-1 before the first one), and why."""

    batch: int
    reason: str


def reason_of(error: Exception) -> str:
    """An error as one line for the results; errors that nobody expected keep their type's name."""
    text = " ".join(str(error).split())
    expected = (MethodError, DataError, UserError)
    return text if isinstance(error, expected) else f"{type(error).__name__}: {text}"


@contextmanager
def isolated(failed: dict[str, str], names: Iterable[str], spared: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What goes wrong within, or takes too long, is the failure of the cells of these names and no others'.

    Errors of the ``spared`` types go on.
    """
    try:
        with limited():
            yield
    except spared:
        raise
    except Exception as error:
        failed.update(dict.fromkeys(names, reason_of(error)))
