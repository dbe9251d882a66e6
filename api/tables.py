"""Sweeps and their results: run one, read its table, compare its methods, draw its figures, write its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from splitbench.bench.analysis import figures
from splitbench.bench.analysis.compare.findings import ComparisonOptions, examine_table
from splitbench.bench.analysis.figures.panels.page import lay_out
from splitbench.bench.analysis.figures.style import drawing
from splitbench.bench.analysis.report import write_report
from splitbench.bench.results.store import Store
from splitbench.bench.results.table import read
from splitbench.bench.run.planning.sources import Sources, check_data
from splitbench.bench.run.runner import RunOptions
from splitbench.bench.run.runner import run as run_sweep
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import check
from splitbench.bench.sweep.reading import read as read_sweep
from splitbench.bench.utils import devices
from splitbench.bench.utils.errors import UserError


def run(
    sweep: Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    data: Path | str | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Run a sweep in this process: all of its cells that are not stored yet.

    Args:
        sweep: What a sweep file holds, the file, or the name of a bundled sweep.
        out: The folder of the results; by default ``results/NAME``. A sweep given as a mapping has no name.
        data: The folder of the data; roots in the sweep are relative to it.
        weights: A folder of weights files, for machines without internet.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Returns:
        The table of the results, as :func:`results` returns it; failed cells have their reason in it.

    Raises:
        UserError, DataError: The input is wrong; nothing that was stored is lost.
    """
    if isinstance(sweep, Mapping):
        if out is None:
            raise UserError("a sweep that is no file has no name: say where its results go, as by out='results/mine'")
        checked, folder = check(dict(sweep), "the sweep"), Path(out)
    else:
        path = SWEEPS.get(str(sweep))
        checked, folder = read_sweep(path), Path(out or Path("results") / path.stem)
    sources = Sources(
        None if data is None else Path(data), None if weights is None else Path(weights), devices.select(device)
    )
    check_data(checked, sources)
    run_sweep(checked, sources, Store(folder), RunOptions())
    return results(folder)


def results(*folders: Path | str, allow_mixed: bool = False) -> pd.DataFrame:
    """Read and merge the tables of runs.

    Args:
        *folders: Folders of runs, or their ``cells.csv``.
        allow_mixed: Put results over different images side by side, although they share a dataset's label.

    Returns:
        A row per cell (dataset, backbone, split, method, rate point) with all columns that ``splitbench columns``
        lists, and ``source``, the file.

    Raises:
        UserError: There is nothing to read, or the runs do not go together; the message says why.
    """
    return read(folders, allow_mixed)


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
        Tables by name: ``summary``, ``bytes-at-drop``, ``accuracy-at-bytes``, ``bd``, ``bd-matrix``, ``paired-tests``,
        ``costs`` and the Pareto fronts; ``splitbench columns NAME`` says what is in each.

    Raises:
        UserError: The anchor is not in the table.
    """
    return examine_table(table, ComparisonOptions(anchor=anchor, all_pairs=all_pairs, factor=factor)).tables


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
        rows = rows if value is None else rows[rows[column] == value]
        names = sorted(set(rows[column]))
        if len(names) != 1:
            choices = f"there are {', '.join(names)}" if names else f"there is none called {value!r}"
            raise UserError(f"one figure shows one {column}, and {choices}: choose one by {column}=...")
    reasons: list[str] = []
    with drawing():
        pages = {page.name.partition("_")[0]: page.figure for page in figures.pages(rows, reasons.append)}
        if kind not in pages:
            why = f" ({'; '.join(reasons)})" if reasons else ""
            raise UserError(f"no figure {kind!r} can be drawn of this table{why}: there are {', '.join(pages)}")
        lay_out(pages[kind])
    return pages[kind]


def report(table: pd.DataFrame, file: Path | str = "report.html") -> Path:
    """Write one self-contained HTML file on a table: findings, figures, tables, what was run. Return the file.

    Raises UserError where the file cannot be written.
    """
    return write_report(examine_table(table), Path(file))
