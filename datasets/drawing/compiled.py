"""One way to compile a kernel: numba's, typed, cached on disk and free of the interpreter lock.

Numba's disk cache looks only at the file that holds a kernel, so a kernel uses no kernel and no constant of
another file: else a change there would go unnoticed, and the drawings would silently stay the old ones.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a function of integers and arrays to machine code at its first call."""
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither this folder nor the user's cache can be written to: compile in every process
        return cast(Kernel, numba.njit(nogil=True)(function))
