"""The command line, in this process, and the table that a run leaves."""

import csv
import sys
from pathlib import Path

from splitbench.bench.cli import main


def splitbench(*words: object) -> int:
    """Run a command in this process and return its exit code."""
    argv, sys.argv = sys.argv, ["splitbench", *map(str, words)]
    try:
        main.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = argv
    return 0


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's table."""
    with (folder / "cells.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))
