"""Sweeps and their results: check and run one, read its table, compare, draw, ask what if, write a report."""

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_args

import pandas as pd
from matplotlib.figure import Figure

from splitbench.bench.analysis import figures
from splitbench.bench.analysis.compare.findings import ComparisonOptions, examine_table
from splitbench.bench.analysis.figures.panels.page import lay_out
from splitbench.bench.analysis.figures.style import drawing
from splitbench.bench.analysis.latency import PROFILES, Question, answer, read_profile
from splitbench.bench.analysis.report import write_report
from splitbench.bench.analysis.table_columns import TABLES
from splitbench.bench.results.store import Store
from splitbench.bench.results.table import read
from splitbench.bench.run.executors import ExecutorOptions, open_executor
from splitbench.bench.run.planning.estimate import estimate
from splitbench.bench.run.planning.sources import Sources, check_folders
from splitbench.bench.run.resume import Overwrite
from splitbench.bench.run.runner import RunOptions
from splitbench.bench.run.runner import run as run_sweep
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import check
from splitbench.bench.sweep.reading import read as read_sweep
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.utils import devices
from splitbench.bench.utils.errors import UserError, nearest
from splitbench.bench.utils.progress import beside, displayed
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


@in_python
def validate(
    sweep: Mapping[str, Any] | Path | str,
    *,
    data: Path | str | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> list[str]:
    """Check a sweep without running it: data, weights, split points, methods.

    Args:
        sweep: What a sweep file holds, the file, or the name of a bundled sweep.
        data: As for :func:`run`.
        weights: As for :func:`run`.
        device: As for :func:`run`.

    Returns:
        The cells, pass by pass, and an estimate of the work, in lines.

    Raises:
        UserError, DataError: The input is wrong; the message has a line for each fault.
    """
    _, checked, sources = _open(sweep, data, weights, device)
    return list(estimate(checked, sources).lines())


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")  # as tqdm does with its bars


@in_python
def run(
    sweep: Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    data: Path | str | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    overwrite: Overwrite = "failed",
) -> pd.DataFrame:
    """Run a sweep: all of its cells that are not stored yet.

    Args:
        sweep: What a sweep file holds, the file, or the name of a bundled sweep.
        out: The folder of the results; by default ``results/NAME``. A sweep given as a mapping has no name.
        data: The folder of the data; roots in the sweep are relative to it.
        weights: A folder of weights files, for machines without internet.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        workers: Processes; by default one per GPU, or this one. A script that starts some keeps what it does below
            ``if __name__ == "__main__":``, as with every module that starts processes.
        overwrite: Which of the stored cells are run again.

    Returns:
        The table of the results, as :func:`results` returns it; failed cells have their reason in it.

    Raises:
        UserError, DataError: The input is wrong; nothing that was stored is lost.
    """
    if isinstance(sweep, Mapping) and out is None:
        raise UserError("a sweep that is no file has no name: say where its results go, as by out='results/mine'")
    if overwrite not in get_args(Overwrite):
        raise UserError(f"overwrite is one of {', '.join(get_args(Overwrite))}, and not {overwrite!r}")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UserError(f"workers is a whole number from 1 on, and not {workers!r}")
    name, checked, sources = _open(sweep, data, weights, device)
    folder = Path(out or f"results/{name}")
    executor = open_executor(ExecutorOptions(workers=workers), device)
    options = RunOptions(overwrite=overwrite, executor=executor)
    with displayed() as progress:
        run_sweep(checked, sources, Store(folder), options, say=beside(_say), progress=progress)
    return results(folder)


def _open(
    sweep: Mapping[str, Any] | Path | str, data: Path | str | None, weights: Path | str | None, device: str
) -> tuple[str, Sweep, Sources]:
    """Return a sweep's name, empty where it has none, the sweep, and where its data and weights are."""
    if isinstance(sweep, Mapping):
        name, checked = "", check(dict(sweep), "the sweep")
    else:
        path = SWEEPS.get(str(sweep))
        name, checked = path.stem, read_sweep(path)
    sources = Sources(
        None if data is None else Path(data), None if weights is None else Path(weights), devices.select(device)
    )
    check_folders(checked, sources)
    return name, checked, sources


@in_python
def results(*folders: Path | str, allow_mixed: bool = False) -> pd.DataFrame:
    """Read and merge the tables of runs.

    Args:
        *folders: Folders of runs, their ``cells.csv``, or archives that ``splitbench export`` wrote.
        allow_mixed: Put results over different images side by side, although they share a dataset's label.

    Returns:
        A row per cell (dataset, backbone, split, method, rate point) with all columns that ``splitbench columns``
        lists, and ``source``, the file.

    Raises:
        UserError: There is nothing to read, or the runs do not go together; the message says why.
    """
    return read(folders, allow_mixed)


@in_python
def compare(
    table: pd.DataFrame, anchor: str | None = None, *, all_pairs: bool = False, factor: float = 1.25
) -> dict[str, pd.DataFrame]:
    """Compare the methods of a table.

    Args:
        table: As :func:`results` returns it, or some of its rows.
        anchor: The method that BD-rate is against; if given, paired tests are against it alone, too.
        all_pairs: Test every two curves, variants of one method included.
        factor: The largest ratio of the bytes of two rate points that are tested against each other.

    Returns:
        Tables by name, which are ``summary``, ``bytes-at-drop``, ``accuracy-at-bytes``, ``bd``, ``bd-matrix``,
        ``paired-tests``, ``costs`` and the Pareto fronts; ``splitbench columns NAME`` says what is in each.

    Raises:
        UserError: The anchor is not in the table.
    """
    return examine_table(table, ComparisonOptions(anchor=anchor, all_pairs=all_pairs, factor=factor)).tables


@in_python
def what_if(
    table: pd.DataFrame,
    *,
    drops: Sequence[float] = (1.0,),
    rtts: Sequence[float] = (20.0,),
    mbps: Sequence[float] = (),
    profile: Path | str | None = None,
    offload: bool = False,
) -> pd.DataFrame:
    """Compute which split, method and rate point answers soonest at which link speed.

    Args:
        table: As :func:`results` returns it, or some of its rows.
        drops: Tolerated drops of accuracy, in points.
        rtts: Round trips, in ms.
        mbps: Speeds of links, in Mbit/s, at which the best of every split is wanted, instead of ranges of speeds.
        profile: A device profile: a YAML file, or the name of a bundled one; by default times are those measured.
        offload: Leave out running everything on the device.

    Returns:
        A row per range of speeds from 0.1 to 100 Mbit/s and its winner (``splitbench columns regions``), or with
        ``mbps`` a row per split and speed (``splitbench columns by-split``).

    Raises:
        UserError: No rate point's times are known, or the profile is wrong.
    """
    device = None if profile is None else read_profile(PROFILES.get(str(profile)))
    question = Question(tuple(drops), tuple(rtts), device, offload=offload, mbps=tuple(mbps))
    answered = answer(table, question)
    return answered.by_split if mbps else answered.regions


def columns(table: str = "cells.csv") -> pd.DataFrame:
    """Return name, unit and meaning of the columns of a table.

    >>> columns().set_index("name").loc["bytes_mean", "unit"]
    'bytes'

    Args:
        table: A run's ``cells.csv``, or a table that :func:`compare` returns, such as ``bytes-at-drop``.

    Raises:
        UserError: There is no such table.
    """
    described = TABLES.get(table, TABLES.get(f"{table}.csv"))
    if described is None:
        raise UserError(f"there is no table {table!r}{nearest(table, TABLES)}")
    return pd.DataFrame(described)


@in_python
def plot(
    table: pd.DataFrame, kind: str = "rate-drop", *, dataset: str | None = None, backbone: str | None = None
) -> Figure:
    """Draw one figure of a table, for a notebook to show or ``savefig`` to write.

    Args:
        table: As :func:`results` returns it, or some of its rows.
        kind: ``rate-drop``, ``rate-accuracy``, ``accuracy-device-macs``, ``accuracy-weights`` or ``bytes-spread``.
        dataset: Which dataset, where there are several.
        backbone: Which backbone, where there are several.

    Raises:
        UserError: There is no such figure, or more than one.
    """
    rows = table
    for column, value in (("dataset", dataset), ("backbone", backbone)):
        names = sorted(set(rows[column]))
        if value is not None and value not in names:
            there = f"there are {', '.join(names)}" if names else "the table has no rows"
            raise UserError(f"there is no {column} {value!r}{nearest(value, names)} ({there})")
        if value is None and len(names) != 1:
            there = f"there are {', '.join(names)}: choose one by {column}=..." if names else "the table has no rows"
            raise UserError(f"one figure shows one {column}, and {there}")
        rows = rows if value is None else rows[rows[column] == value]
    reasons: list[str] = []
    with drawing():
        pages = {page.name.partition("_")[0]: page.figure for page in figures.pages(rows, reasons.append)}
        if kind not in pages:
            why = f" ({'; '.join(reasons)})" if reasons else ""
            close = nearest(kind, pages)
            raise UserError(f"no figure {kind!r} can be drawn of this table{why}{close} (there are {', '.join(pages)})")
        lay_out(pages[kind])
    _let_notebooks_show_figures()
    return pages[kind]


def _let_notebooks_show_figures() -> None:
    """Register what draws figures below a cell: without pyplot, which nothing imports here, IPython prints a name."""
    if shell := getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)():
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"png"})


@in_python
def report(table: pd.DataFrame, file: Path | str = "report.html") -> Path:
    """Write one self-contained HTML file on a table: findings, figures, tables, what was run. Return the file.

    Raises UserError where the file cannot be written.
    """
    return write_report(examine_table(table), Path(file))
