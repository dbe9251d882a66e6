"""Why something in a run failed: one type, from the exception to the column ``reason``."""

from dataclasses import dataclass

from splitbench.bench.utils.errors import UserError, format_error
from splitbench.bench.utils.log import LOG
from splitbench.datasets.base import DataError
from splitbench.methods.base import MethodError

_EXPECTED = (MethodError, DataError, UserError)
"""Errors whose message alone says what is wrong."""


@dataclass(frozen=True)
class Failure:
    """Why a cell, a training or a range of batches failed.

    Attributes:
        reason: One line for the results.
        batch: Number of the batch at which a cell failed; -1 before the first batch, and where batches mean nothing.
    """

    reason: str
    batch: int = -1

    @classmethod
    def from_error(cls, error: BaseException, subject: str, batch: int = -1) -> "Failure":
        """Describe an exception in one line, and write its traceback to the run's log.

        Unexpected exceptions are described with their type and the line of user code that raised them.

        Args:
            error: The exception.
            subject: What failed, for the log.
            batch: See the attribute.
        """
        LOG.error("%s failed:", subject, exc_info=error)
        expected = isinstance(error, _EXPECTED)
        return cls(" ".join(str(error).split()) if expected else format_error(error), batch)
