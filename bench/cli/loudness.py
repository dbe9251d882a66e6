"""How much a command prints: as usual, nothing but failures and the last line, or what goes into the log, too."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.log import LOG


class _BesideProgress(logging.StreamHandler[TextIO]):
    """Prints log records, and moves what is drawn in place out of their way."""

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode():
            super().emit(record)


@dataclass(frozen=True)
class Loudness:
    """What was asked for by ``--quiet``, ``--verbose`` and ``--json``."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UserError("--quiet and --verbose exclude each other: leave one out")

    def say(self, message: str) -> None:
        """Print a message that is not the result; behind the JSON's back, to standard error."""
        if not self.quiet:
            print(message, file=sys.stderr if self.json else sys.stdout, flush=True)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hide progress bars if quiet, and print log records if verbose, in the block."""
        handler = _BesideProgress(sys.stderr)
        if self.verbose:
            LOG.addHandler(handler)
        try:
            with progress.hidden(self.quiet):
                yield
        finally:
            LOG.removeHandler(handler)
