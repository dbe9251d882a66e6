"""Commands on completed runs: ``compare``, ``figures``, ``what-if``, ``report``, ``scale`` and ``columns``."""

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec, TypeVar

import typer

from splitbench.bench.cli.loudness import Loudness
from splitbench.bench.cli.printing import JsonOption, print_json
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import check_replaceable, file_for, folder_for
from splitbench.bench.utils.progress import Stages
from splitbench.bench.utils.text import format_count

if TYPE_CHECKING:
    from splitbench.bench.analysis.compare.findings import Findings

app = typer.Typer()

RunsArgument = Annotated[list[Path], typer.Argument(help="Folders of runs, their cells.csv, or archives (`export`).")]
FilesOutOption = Annotated[Path | None, typer.Option(help="Folder to write into; default beside the run's table.")]
AnchorOption = Annotated[str | None, typer.Option(help="BD-rate, and paired tests if given, are against this method.")]
MixedOption = Annotated[bool, typer.Option("--allow-mixed", help="Compare results over different images all the same.")]
PairsOption = Annotated[
    bool, typer.Option("--all-pairs", help="Test every two curves, not just the fronts of every two methods.")
]
FactorOption = Annotated[float, typer.Option(help="Largest ratio of the bytes of tested rate points.", min=1.0)]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that are no earlier ones of this command.")]


P = ParamSpec("P")
T = TypeVar("T")


def _strings_of_any_path(command: Callable[P, T]) -> Callable[P, T]:
    """Let tables hold paths that are not UTF-8, which pandas refuses where it keeps strings in pyarrow's arrays."""

    @functools.wraps(command)
    def with_python_strings(*args: P.args, **kwargs: P.kwargs) -> T:
        import pandas as pd

        with pd.option_context("mode.string_storage", "python"):
            return command(*args, **kwargs)

    return with_python_strings


@app.command(rich_help_panel="Results")
@_strings_of_any_path
def compare(
    runs: RunsArgument,
    out: Annotated[Path | None, typer.Option(help="Folder to write all tables into: txt, md, tex, csv.")] = None,
    anchor: AnchorOption = None,
    allow_mixed: MixedOption = False,
    all_pairs: PairsOption = False,
    factor: FactorOption = 1.25,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Compare methods from the tables of one or more runs: fronts, bytes for a drop, BD-rate, costs, paired tests.

    Example: splitbench compare results/a results/b --anchor quantize-rle --out both
    """
    folder = None if out is None else folder_for(out, "--out")
    from splitbench.bench.analysis.compare import ComparisonOptions, as_terminal_text, examine, write
    from splitbench.bench.analysis.compare.output import FIRST_LINE, file_names
    from splitbench.bench.analysis.table_formats import as_rows

    options = ComparisonOptions(anchor=anchor, allow_mixed=allow_mixed, all_pairs=all_pairs, factor=factor)
    findings = examine(runs, options)
    if json:
        tables = {name: as_rows(table) for name, table in findings.tables.items()}
        print_json(tables | {"remarks": findings.remarks})
    else:
        print(as_terminal_text(findings))
    if folder is not None:
        if not force:
            check_replaceable([folder / name for name in file_names(findings)], FIRST_LINE)
        _list(write(findings, folder).files, quiet=json)


PublishedOption = Annotated[
    Path | None,
    typer.Option(help="CSV of published points to stand beside the rows (docs/sharing.md)."),
]


@app.command(rich_help_panel="Results")
def show(
    key: Annotated[str, typer.Argument(help="A cell's key as in cells.csv, or its first letters.")],
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    json: JsonOption = False,
) -> None:
    """Show one cell: settings, rate, accuracy with its interval, costs, warnings, training and files.

    Example: splitbench show 67a8 results/classification
    """
    from splitbench.bench.tools.show_cell import show_cell

    if Path(key).is_dir() and not run.is_dir():  # other commands take the run first
        key, run = str(run), Path(key)
    details = show_cell(run, key)
    if json:
        print_json(asdict(details))
    else:
        print("\n".join(details.lines()))


@app.command(rich_help_panel="Results")
@_strings_of_any_path
def figures(
    runs: RunsArgument, out: FilesOutOption = None, allow_mixed: MixedOption = False, published: PublishedOption = None
) -> None:
    """Draw all figures from the tables of one or more runs: no models, data or GPU needed.

    Example: splitbench figures results/a results/b --out both
    """
    from splitbench.bench.analysis.figures import draw_all, draw_learning
    from splitbench.bench.analysis.figures.published import add
    from splitbench.bench.analysis.figures.published import read as read_published
    from splitbench.bench.results.table import read

    folder = _into(out, runs, "figures")
    others = None if published is None else read_published(published)
    frame = read(runs, allow_mixed)
    if others is not None:
        add(frame, others)
    files = draw_all(frame, folder, print)
    for run in runs:
        files += draw_learning(run, folder)
    _list(files)


@app.command("what-if", rich_help_panel="Results")
@_strings_of_any_path
def what_if(
    runs: RunsArgument,
    drop: Annotated[list[float] | None, typer.Option(help="Tolerated drop in points; repeatable. Default 1.")] = None,
    rtt: Annotated[list[float] | None, typer.Option(help="Round trip in ms; repeatable. Default 20.", min=0)] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Device profile: a YAML file, or the name of a bundled one. Default: as measured."),
    ] = None,
    mbps: Annotated[
        list[float] | None,
        typer.Option(help="A link's speed in Mbit/s to print the best of every split for; repeatable.", min=1e-6),
    ] = None,
    answer: Annotated[Literal["device", "server"], typer.Option(help="Where the answer is wanted.")] = "device",
    offload: Annotated[bool, typer.Option("--offload", help="Leave out running everything on the device.")] = False,
    out: FilesOutOption = None,
    force: ForceOption = False,
    allow_mixed: MixedOption = False,
) -> None:
    """Print and draw which split, method and rate has the least end-to-end latency at which link speed.

    Covers speeds of 0.1 to 100 Mbit/s, and those of --mbps. An earlier answer in the same folder is replaced; other
    files are not, without --force.

    Example: splitbench what-if results/a --drop 1 --rtt 20 --mbps 5
    """
    from splitbench.bench.analysis.latency import PROFILES, Question, read_profile
    from splitbench.bench.analysis.latency import what_if as answer_what_if
    from splitbench.bench.analysis.latency.what_if import FILES, FIRST_LINE

    for name, given in (("--drop", drop), ("--rtt", rtt), ("--mbps", mbps)):
        if not all(map(math.isfinite, given or ())):
            raise UserError(f"{name} takes a number, and not {', '.join(map(str, given or ()))}")
    computed = None if profile is None else read_profile(PROFILES.get(profile))
    question = Question(
        drops=tuple(drop or [1.0]),
        rtts=tuple(rtt or [20.0]),
        profile=computed,
        answer=answer,
        offload=offload,
        mbps=tuple(mbps or ()),
    )
    folder = _into(out, runs, "what-if")
    if not force:
        check_replaceable([folder / name for name in FILES], FIRST_LINE)
    result = answer_what_if(runs, question, folder, allow_mixed=allow_mixed, report=print)
    print(result.text)
    _list(result.files)


@app.command(rich_help_panel="Results")
@_strings_of_any_path
def report(
    runs: RunsArgument,
    out: Annotated[Path | None, typer.Option(help="The file; default report.html beside the run's table.")] = None,
    anchor: AnchorOption = None,
    allow_mixed: MixedOption = False,
    all_pairs: PairsOption = False,
    factor: FactorOption = 1.25,
    published: PublishedOption = None,
    force: ForceOption = False,
) -> None:
    """Write one self-contained HTML file on one or more runs: findings, figures, tables, what was run.

    Example: splitbench report results/a --out a.html
    """
    from splitbench.bench.analysis.compare import ComparisonOptions, examine
    from splitbench.bench.analysis.figures.published import add
    from splitbench.bench.analysis.figures.published import read as read_published
    from splitbench.bench.analysis.report import MARK, write_report

    file = _beside(runs, "report.html") if out is None else file_for(out, "--out", "report.html")
    if not force:
        check_replaceable([file], MARK)
    options = ComparisonOptions(anchor=anchor, allow_mixed=allow_mixed, all_pairs=all_pairs, factor=factor)
    others = None if published is None else read_published(published)
    findings = examine(runs, options)
    if others is not None:
        add(findings.frame, others)
    _list([write_report(findings, file)])


@app.command(rich_help_panel="Results")
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="The archive; default FOLDER.zip beside the folder.")] = None,
    records: Annotated[bool, typer.Option(help="Take in the records per image, which paired tests need.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no earlier archive of this run.")
    ] = False,
) -> None:
    """Write a run into one archive to share: rows, records, sweep and environment, with the digest of each file.

    compare, report, figures and what-if take archives like folders: they verify them, and merge them with other runs.

    Example: splitbench export results/a
    """
    from splitbench.bench.results import archive

    run = run.expanduser().resolve()
    file = run.with_name(f"{run.name}{archive.ENDING}") if out is None else file_for(out, "--out", "run.zip")
    if file.suffix.lower() != archive.ENDING:
        raise UserError(f"--out takes a file that ends in {archive.ENDING}, and not {file}")
    if not force:
        archive.check_free(run, file)
    count = archive.export(run, file, records=records)
    print(f"wrote {file}: {count} files, {file.stat().st_size / 1e6:,.1f} MB")


@app.command(rich_help_panel="Results")
def scale(
    run: Annotated[Path, typer.Argument(help="Folder of a run, whose times are used.")],
    workers: Annotated[list[int] | None, typer.Option(help="How many; repeatable. Default 1 to 64.", min=1)] = None,
    measured: Annotated[
        list[Path] | None, typer.Option(help="Compare with what this run of the same sweep took; repeatable.")
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="Predict this whole sweep instead, at the run's rates; repeatable.")
    ] = None,
    images: Annotated[list[int] | None, typer.Option(help="Evaluation images of each such sweep.", min=1)] = None,
    train_images: Annotated[list[int] | None, typer.Option(help="Training images of each.", min=1)] = None,
    speed: Annotated[float, typer.Option(help="How many times as fast as the one measured a worker is.", min=1e-6)] = 1,
    out: Annotated[Path | None, typer.Option(help="Draw it into this file, and write the text beside it.")] = None,
) -> None:
    """Predict how long a sweep would take with more workers, and where adding them stops helping.

    Example: splitbench scale results/a --workers 1 --workers 8
    """
    from splitbench.bench.tools.scaling import scaling_table
    from splitbench.bench.tools.scaling.whole_sweep import predict_sweeps
    from splitbench.bench.tools.scaling.workload import read_workload

    counts = sorted(workers or scaling_table.WORKERS)
    if sweep:
        of_images = {"images": images or [], "train_images": train_images or []}
        workloads, runs = predict_sweeps(run, sweep, **of_images, speed=speed), []
    else:
        workloads, runs = {str(run): read_workload(run)}, [run, *(measured or [])]
    lines = list(scaling_table.format_scaling(list(workloads.values()), counts))
    lines += [line for workload in workloads.values() for line in scaling_table.format_check(workload, runs)]
    print("\n".join(lines))
    if out is not None:
        seconds = [pair for folder in runs for pair in scaling_table.measured_runs(folder)]
        _list(scaling_table.write_scaling(workloads, lines, out, workers=counts, speed=speed, measured=seconds))


@app.command(rich_help_panel="Results")
def columns(
    name: Annotated[
        str | None, typer.Argument(help="A table (bd, costs, ...) or a column; default: all tables.")
    ] = None,
) -> None:
    """Print the columns of cells.csv and of the tables made from it with unit and meaning, and what intervals are.

    Example: splitbench columns bytes_mean
    """
    from splitbench.bench.analysis.table_columns import describe_columns

    for line in describe_columns(name):
        print(line)


@dataclass(frozen=True)
class Conclusion:
    """What was made of a run that has ended: findings, figures, and the file of the report."""

    findings: "Findings"
    drawn: Sequence[Path]
    report: Path


@_strings_of_any_path
def conclude(folder: Path, say: Callable[[str], None], stages: Stages) -> Conclusion | UserError:
    """Write a run's comparison, figures and report, and return them, or why there are none: no cell is good."""
    from splitbench.bench.analysis.compare import examine, write
    from splitbench.bench.analysis.figures import draw_all, draw_learning
    from splitbench.bench.analysis.report import write_report
    from splitbench.bench.run.runner import CONCLUSION

    with stages.piece(CONCLUSION, ""), stages.show(3, "comparing", "", worth=1) as stage:
        try:
            findings = examine([folder])
            write(findings, folder / "comparison")
            stage.update()
            stage.set_description("drawing figures")
            drawn = draw_all(findings.frame, folder / "figures", say) + draw_learning(folder, folder / "figures")
            stage.update()
            stage.set_description("writing the report")
            report = write_report(findings, folder / "report.html", drawn)
        except UserError as error:
            return error
        stage.update()
    return Conclusion(findings, drawn, report)


@_strings_of_any_path
def print_conclusion(
    folder: Path, concluded: Conclusion | UserError, loudness: Loudness, failed: Sequence[tuple[str, str]]
) -> None:
    """Print how a run ended: what is best, and where all of it lies."""
    from splitbench.bench.analysis.compare import as_screen_text
    from splitbench.bench.analysis.table_formats import as_rows

    ended = {"folder": str(folder), "failed": [{"cell": cell, "reason": reason} for cell, reason in failed]}
    if isinstance(concluded, UserError):
        print(f"nothing to compare: {concluded}", file=sys.stderr)
        if loudness.json:
            print_json(ended | {"summary": []})
        return
    if loudness.json:
        print_json(ended | {"summary": as_rows(concluded.findings.tables["summary"])})
        return
    figures = sum(file.suffix == ".png" for file in concluded.drawn)
    loudness.say(f"\n{as_screen_text(concluded.findings)}\n")
    loudness.say(f"table       {folder / 'cells.csv'}")
    loudness.say(f"comparison  {folder / 'comparison' / 'comparison.txt'} (long tables; as md, tex and csv beside it)")
    loudness.say(f"figures     {folder / 'figures'} ({format_count(figures, 'figure')}, SVG and PNG)")
    loudness.say(f"report      {concluded.report}")


def _into(out: Path | None, runs: list[Path], name: str) -> Path:
    return _beside(runs, name) if out is None else folder_for(out, "--out")


def _beside(runs: list[Path], name: str) -> Path:
    """Return a path beside a single run's CSV, or in ``results`` for several runs."""
    if len(runs) > 1:
        return Path("results") / name
    return (runs[0] if runs[0].is_dir() else runs[0].parent) / name


def _list(files: list[Path], quiet: bool = False) -> None:
    for file in () if quiet else files:
        print(f"wrote {file}")
