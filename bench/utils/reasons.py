"""An error as one line for the results; its traceback goes into the run's log."""

from splitbench.bench.utils.errors import UserError, format_error
from splitbench.bench.utils.log import LOG
from splitbench.datasets.base import DataError
from splitbench.methods.base import MethodError

_EXPECTED = (MethodError, DataError, UserError)


def reason_of(error: BaseException, about: str) -> str:
    """The message; of an error that nobody expected also its type, and the line of code that it came from.

    ``about`` tells the log what failed.
    """
    LOG.error("%s failed:", about, exc_info=error)
    return " ".join(str(error).split()) if isinstance(error, _EXPECTED) else format_error(error)
