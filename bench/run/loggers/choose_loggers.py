"""Loggers by the names that users choose them by."""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from splitbench.bench.run.loggers.logger import Logger, Loggers
from splitbench.bench.utils.errors import UserError, format_error, nearest

LOGGERS = ("tensorboard", "wandb", "mlflow")
"""The tools, each a file beside this one that opens its logger, and an extra of the same name that installs it."""


def check_loggers(names: Iterable[str]) -> None:
    """Check names before anything is done or loaded.

    Raises:
        UserError: A name is unknown, or its package is not installed.
    """
    for name in names:
        if name not in LOGGERS:
            raise UserError(f"--log-to has no {name!r}{nearest(name, LOGGERS)}: it has {', '.join(LOGGERS)}")
        if find_spec(name) is None:
            raise UserError(f"--log-to {name} needs a package that is not installed: pip install 'splitbench[{name}]'")


def open_loggers(names: Iterable[str], folder: Path, sweep: str, warn: Callable[[str], None]) -> Loggers:
    """Open the loggers of a run.

    Args:
        names: Of :data:`LOGGERS`; one that is named twice is opened once.
        folder: The run's folder; without other settings of the user's, tools write below it.
        sweep: The sweep as YAML, for the tools to show.
        warn: Called with a sentence for each logger that fails later.

    Raises:
        UserError: As :func:`check_loggers`, or a tool cannot be opened.
    """
    chosen = list(dict.fromkeys(names))
    check_loggers(chosen)
    loggers: dict[str, Logger] = {}
    for name in chosen:
        try:
            loggers[name] = import_module(f"splitbench.bench.run.loggers.{name}").open_logger(folder, sweep)
        except Exception as error:
            raise UserError(f"--log-to {name} cannot be opened: {format_error(error)}") from None
    return Loggers(loggers, warn)
