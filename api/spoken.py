"""Messages for Python: they name the function's parameters where those of commands name options."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import DataError

P = ParamSpec("P")
T = TypeVar("T")

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def in_python(function: Callable[P, T]) -> Callable[P, T]:
    """Let ``function`` speak of its parameters: ``--allow-mixed``, of commands, is its ``allow_mixed=True``.

    An option that it has no parameter for stays an option, of ``splitbench run``.
    """
    parameters = inspect.signature(function).parameters

    def word(option: re.Match[str]) -> str:
        name = option[1].replace("-", "_")
        if name not in parameters:
            return f"{option[0]} (of `splitbench run`)"
        return f"{name}=True" if isinstance(parameters[name].default, bool) else name

    @functools.wraps(function)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (UserError, DataError) as error:
            text = str(error)
            if (spoken := _OPTION.sub(word, text)) == text:
                raise
            raise (UserError if isinstance(error, UserError) else DataError)(spoken) from None

    return speaking
