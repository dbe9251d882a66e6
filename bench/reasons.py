"""An error as one line for the results."""

from splitbench.bench.errors import UserError, told
from splitbench.datasets.base import DataError
from splitbench.methods.base import MethodError

_EXPECTED = (MethodError, DataError, UserError)


def reason_of(error: Exception) -> str:
    """The message; of an error that nobody expected also its type, and the line of code that it came from."""
    return " ".join(str(error).split()) if isinstance(error, _EXPECTED) else told(error)
