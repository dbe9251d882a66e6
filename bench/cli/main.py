"""The verbs of ``splitbench``: parses and prints, decides nothing. Heavy imports wait until a verb needs them."""

import sys
import warnings
from typing import Annotated

import typer

from splitbench.bench.cli import data as data_commands
from splitbench.bench.cli import info, list_commands, running, upkeep
from splitbench.bench.cli import results as results_commands
from splitbench.bench.cli.console import tolerate_any_encoding
from splitbench.bench.sweep.renamed import RenamedWarning, current
from splitbench.bench.utils.errors import FaultsError, UserError

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(running.app)
app.add_typer(results_commands.app)
app.add_typer(list_commands.app, name="list", rich_help_panel="Look up")
app.add_typer(info.app)
app.add_typer(data_commands.app, name="data", rich_help_panel="Look up")
app.add_typer(upkeep.app)

_INTERRUPTED = 130
_format_warning = warnings.formatwarning


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"splitbench {version('splitbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compares compressors for split computing: rate, accuracy, computation, storage and weight switching.

    Ends with 0 if all went well, 1 if cells failed, 2 if the input was wrong, 130 after Ctrl-C.
    """


def main() -> None:
    """Run a command; bad input ends with one sentence and code 2, Ctrl-C with 130, failed cells with 1."""
    tolerate_any_encoding()
    warnings.formatwarning = _formatted
    sys.argv[1:2] = [current("command", word) for word in sys.argv[1:2]]
    try:
        app()
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # what typer makes of Ctrl-C
            print("\nstopped; what is stored stays, and the same command resumes from there", file=sys.stderr)
        raise
    except UserError as error:
        _fail(error)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        _fail(error)


def _formatted(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a line for a word that was renamed; other warnings as Python writes them."""
    from splitbench.datasets.storage.cache import CacheWarning

    if issubclass(category, RenamedWarning):
        return f"note: {message}\n"
    if issubclass(category, CacheWarning):
        return f"warning: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


def _fail(error: Exception) -> None:
    for lines in error.lines() if isinstance(error, FaultsError) else [str(error)]:
        for line in lines.splitlines():
            print(f"error: {line}", file=sys.stderr, flush=True)
    raise SystemExit(2) from None


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors of datasets, methods and the trainer that users can act on; imported late: they load torch."""
    from splitbench.bench.training import TrainingError
    from splitbench.datasets.base import DataError
    from splitbench.methods.base import MethodError

    return DataError, MethodError, TrainingError


if __name__ == "__main__":
    main()
