"""What is wrong with a sweep, collected so that all of it is listed at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count
from splitbench.datasets.base import DataError

Tried = Callable[[str], AbstractContextManager[object]]
"""Encloses a step about an entry of the sweep. It may keep an error, so that the next step is tried; ``nullcontext``
raises it."""


class Faults:
    """Sentences on what is wrong; equal ones are kept once."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}

    @contextmanager
    def collected(self, entry: str) -> Iterator[None]:
        """Keep an error of the block, the sweep's entry in front unless it names that itself, and go on behind it."""
        try:
            yield
        except (UserError, DataError) as error:
            self._sentences[str(error) if entry in str(error) else f"{entry}: {error}"] = None

    def of_cells(self, cells: list[Cell], reason: str) -> None:
        """Keep what is wrong with these cells."""
        more = f" and {format_count(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
        self._sentences[f"{cells[0]}{more}: {reason}"] = None

    def raise_any(self) -> None:
        """Raise a UserError with a line for each sentence, if there are any."""
        if self._sentences:
            raise UserError("\n".join(self._sentences))
