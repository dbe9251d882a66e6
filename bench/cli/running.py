"""Commands that check sweeps and run them: ``run``, ``bench``, ``train``, ``fine-tune``, ``validate``, ``init``."""

import os
import sys
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splitbench.bench.cli import results as results_commands
from splitbench.bench.cli.interrupt import acknowledged
from splitbench.bench.cli.loudness import Loudness
from splitbench.bench.cli.options import (
    CacheOption,
    DataOption,
    DeviceOption,
    LogOption,
    MemoryOption,
    MethodOption,
    NoLimitOption,
    OnlyOption,
    OutOption,
    QuietOption,
    RereadOption,
    RetrainOption,
    SetOption,
    SweepArgument,
    TrustOption,
    VerboseOption,
    WeightsOption,
)
from splitbench.bench.cli.printing import JsonOption, print_json
from splitbench.bench.sweep import renamed
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.progress import RunProgress, beside, displayed
from splitbench.bench.utils.text import format_count

if TYPE_CHECKING:
    from splitbench.bench.cli.results import Conclusion
    from splitbench.bench.results.store import Store
    from splitbench.bench.run.loggers import Loggers
    from splitbench.bench.run.planning.sources import Sources
    from splitbench.bench.run.runner import Result, RunOptions
    from splitbench.bench.sweep.schema import Sweep

Overwrite = Literal["never", "failed", "all"]

app = typer.Typer()


@app.command(rich_help_panel="Run")
def run(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: OutOption = None,
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
    limit: NoLimitOption = None,
    cache: CacheOption = None,
    reread: RereadOption = False,
    trust_names: TrustOption = False,
    memory: MemoryOption = 4,
    overwrite: Annotated[Overwrite, typer.Option(help="Stored cells: never, failed or all are run again.")] = "failed",
    retrain: RetrainOption = False,
    executor: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Processes; default one per GPU, or one; with Ray all there is room for.", min=1)
    ] = None,
    address: Annotated[str | None, typer.Option(help="The Ray cluster's; `auto` is the one on this machine.")] = None,
    gpus: Annotated[float, typer.Option(help="GPUs for each of Ray's tasks, or a share of one.", min=0.01)] = 1,
    time_limit: Annotated[
        float, typer.Option(help="Seconds that preparing a cell, or a batch of it, may take; 0: no limit.", min=0)
    ] = 3600,
    patience: Annotated[float | None, typer.Option(hidden=True, min=0)] = None,
    naive: Annotated[bool, typer.Option("--naive", help="Each cell by itself, nothing shared: slow; a check.")] = False,
    log_to: LogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and what is stored.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> None:
    """Run a sweep: all cells that are not stored yet; then the CSV, a comparison, figures and a report.

    Example: splitbench run my.yaml --data photos --set datasets.0.limit=100
    """
    if patience is not None:
        time_limit = patience
        renamed.current("option", "--patience")
    from splitbench.bench.run.loggers.choose_loggers import check_loggers

    check_loggers(log_to or ())
    here = "auto" if executor == "ray" and device != "cpu" else device  # the GPUs are the cluster's
    loudness = Loudness(quiet, verbose, json)
    with loudness.applied():
        path, checked, sources = _open_sweep(
            sweep, data=data, weights=weights, device=here, only=only, method=method, overrides=set_
        )
        sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
        from splitbench.bench.results.store import Store
        from splitbench.bench.run.executors import ExecutorOptions, open_executor
        from splitbench.bench.run.runner import RunOptions

        store = Store(out or Path("results") / path.stem)
        if dry_run:
            from splitbench.bench.run.preview import preview

            previewed = preview(checked, sources, store, overwrite=overwrite, retrain=retrain)
            print_json(previewed.as_json()) if json else print("\n".join(previewed.lines()))
            return
        options = RunOptions(
            overwrite=overwrite,
            keep_other_rows=bool(only or method),
            retrain=retrain,
            executor=open_executor(ExecutorOptions(executor, workers, address, gpus), device),
            time_limit=time_limit,
        )
        sources = replace(sources, memory=int(memory * 2**30), naive=naive)
        with closing(_open_loggers(log_to, store, checked)) as loggers:
            options = replace(options, loggers=loggers)
            ended = _run(checked, sources, store, options, loudness)
        _print_end(path, *ended, store, options=options, loudness=loudness)


ModelOption = Annotated[str, typer.Option(help="A backbone, as in `list backbones`, or your own by import path.")]
FolderOption = Annotated[Path, typer.Option(help="A folder of labelled pictures: class folders, a CSV, or COCO.")]
AnyWeightsOption = Annotated[
    str, typer.Option(help="A weights file, or a folder of them; else as in a sweep: default, none, a name.")
]
LimitOption = Annotated[int | None, typer.Option(help="The most pictures to evaluate on.", min=1)]


@app.command(rich_help_panel="Run")
def init(
    file: Annotated[Path, typer.Argument(help="The sweep file to write.")] = Path("sweep.yaml"),
    *,
    model: ModelOption,
    data: FolderOption,
    weights: AnyWeightsOption = "default",
    limit: LimitOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
) -> None:
    """Look at your pictures and your backbone, and write a commented sweep for both, to run or to change.

    Example: splitbench init photos.yaml --model torchvision/resnet18 --data photos
    """
    from splitbench.bench.tools.first_sweep import check_free, propose, summary, write_sweep

    if not force:
        check_free(file)
    proposal = propose(model, data, weights=weights, limit=limit)
    write_sweep(proposal, file)
    print("\n".join(summary(proposal)))
    print(f"wrote {file}: check it by `splitbench validate {file}`, run it by `splitbench run {file}`")


@app.command(rich_help_panel="Run")
def bench(
    *,
    model: ModelOption,
    data: FolderOption,
    weights: AnyWeightsOption = "default",
    limit: LimitOption = None,
    device: DeviceOption = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default results/<folder>-<model>.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another bench.yaml in that folder.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> None:
    """Compare compressors for a backbone on a folder of your pictures: `init` and `run` in one.

    Example: splitbench bench --model torchvision/resnet18 --data photos
    """
    loudness = Loudness(quiet, verbose, json)
    with loudness.applied():
        from splitbench.bench.results.store import Store
        from splitbench.bench.run.runner import RunOptions
        from splitbench.bench.tools.first_sweep import check_same, default_folder, propose, summary, write_sweep
        from splitbench.bench.utils import devices

        proposal = propose(model, data, weights=weights, limit=limit, device=devices.select(device))
        store = Store(out or default_folder(proposal))
        file = store.folder / "bench.yaml"
        if not force:
            check_same(proposal, file)
        write_sweep(proposal, file)
        loudness.say("\n".join(summary(proposal)))
        loudness.say(f"sweep       {file}")
        path, checked, sources = _open_sweep(
            str(file), data=None, weights=None, device=device, only=None, method=None, overrides=None
        )
        options = RunOptions()
        ended = _run(checked, sources, store, options, loudness)
        _print_end(path, *ended, store, options=options, loudness=loudness)


@app.command(rich_help_panel="Run")
def train(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: OutOption = None,
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
    limit: NoLimitOption = None,
    cache: CacheOption = None,
    reread: RereadOption = False,
    trust_names: TrustOption = False,
    memory: MemoryOption = 4,
    retrain: RetrainOption = False,
    log_to: LogOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Only train what a sweep's methods learn, by several processes where torchrun starts it; `run` resumes from there.

    Example: torchrun --nproc-per-node 8 -m splitbench.bench train my.yaml --data photos
    """
    from splitbench.bench.run.loggers.choose_loggers import check_loggers

    check_loggers(log_to or ())
    loudness = Loudness(quiet, verbose)
    with loudness.applied(), acknowledged():
        path, checked, sources = _open_sweep(
            sweep, data=data, weights=weights, device=device, only=only, method=method, overrides=set_
        )
        sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
        from splitbench.bench.results.store import Store
        from splitbench.bench.run.train_only import train_all

        sources, store = replace(sources, memory=int(memory * 2**30)), Store(out or Path("results") / path.stem)
        with closing(_open_loggers(log_to, store, checked)) as loggers:
            alone = int(os.environ.get("RANK", "0")) == 0  # the first of several processes shows for all
            with displayed() if alone else nullcontext(RunProgress()) as progress:
                result = train_all(
                    checked,
                    sources,
                    store,
                    retrain=retrain,
                    say=beside(loudness.say),
                    loggers=loggers,
                    progress=progress,
                )
    if int(os.environ.get("RANK", "0")) > 0:
        return  # the first of several processes speaks for all
    for reason in result.failed:
        print(f"failed: {reason}", file=sys.stderr)
    print(f"{format_count(result.trained, 'rate point')} trained, {result.kept} kept, {len(result.failed)} failed")
    if result.failed:
        raise SystemExit(1)


@app.command("fine-tune", rich_help_panel="Run")
def fine_tune(
    sweep: SweepArgument,
    out: Annotated[
        Path, typer.Option(help="The file of the weights (.safetensors); a report and a curve go beside it.")
    ],
    begin: Annotated[str | None, typer.Option(help="Weights to begin with, where the sweep names the result.")] = None,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    only: OnlyOption = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.", min=1)] = 5,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(help="Images per step.", min=2)] = 64,
    seed: Annotated[int, typer.Option(help="Of the order and the mirroring.")] = 0,
) -> None:
    """Train a sweep's backbone itself on its training images; name the file as the backbone's weights afterwards.

    Example: splitbench fine-tune my.yaml --out mine.safetensors --epochs 3
    """
    _, checked, sources = _open_sweep(sweep, data=data, weights=weights, device=device, only=only)
    from splitbench.bench.run.fine_tune import fine_tune as train
    from splitbench.bench.training import Recipe

    recipe = Recipe(epochs, batch_size, learning_rate, weight_decay=0.01, best="accuracy", seed=seed)
    for name, value in train(checked.beginning_with(begin), sources, recipe, out).items():
        print(f"{name:18} {value}")


@app.command(rich_help_panel="Run")
def validate(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
    limit: NoLimitOption = None,
    cache: CacheOption = None,
    reread: RereadOption = False,
    trust_names: TrustOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Check a sweep without running it: data, weights, split points, methods; list its cells and estimate the work.

    Example: splitbench validate my.yaml --data photos
    """
    with Loudness(quiet).applied():
        _, checked, sources = _open_sweep(
            sweep, data=data, weights=weights, device=device, only=only, method=method, overrides=set_
        )
        sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
        from splitbench.bench.run.planning.estimate import estimate

        estimated = estimate(checked, sources)
    if json:
        print_json(asdict(estimated))
    else:
        print("\n".join(estimated.totals() if quiet else estimated.lines()))


def _open_sweep(
    sweep: str,
    *,
    data: Path | None,
    weights: Path | None,
    device: str,
    only: list[str] | None,
    method: list[str] | None = None,
    overrides: list[str] | None = None,
) -> tuple[Path, "Sweep", "Sources"]:
    """Return the sweep's file, the checked sweep with only what was asked for, and where its data and weights are."""
    from splitbench.bench.sweep.configs import SWEEPS
    from splitbench.bench.sweep.reading import read

    path = SWEEPS.get(sweep)
    checked = read(path, overrides or ()).only(only or (), method or ())
    from splitbench.bench.run.planning.sources import Sources, check_folders
    from splitbench.bench.utils import devices

    sources = Sources(data, weights, devices.select(device))
    check_folders(checked, sources)
    return path, checked, sources


def _open_loggers(names: list[str] | None, store: "Store", sweep: "Sweep") -> "Loggers":
    from splitbench.bench.run.loggers import Loggers, open_loggers
    from splitbench.bench.sweep.reading import as_yaml

    if not names or int(os.environ.get("RANK", "0")) > 0:  # the first of several processes logs for all
        return Loggers()
    store.open()
    return open_loggers(names, store.folder, as_yaml(sweep), lambda message: print(message, file=sys.stderr))


def _run(
    checked: "Sweep", sources: "Sources", store: "Store", options: "RunOptions", loudness: Loudness
) -> "tuple[Result, Conclusion | UserError]":
    """Run a sweep, and write its comparison, figures and report, with one display for all of it."""
    from splitbench.bench.run.runner import CONCLUSION
    from splitbench.bench.run.runner import run as run_sweep

    say, options = beside(loudness.say), replace(options, concluded=True)
    with acknowledged(), displayed() as progress:
        result = run_sweep(checked, sources, store, options, say=say, progress=progress)
        concluded = results_commands.conclude(store.folder, say, progress.stages)
        progress.end(CONCLUSION)
    return result, concluded


def _print_end(
    path: Path,
    result: "Result",
    concluded: "Conclusion | UserError",
    store: "Store",
    *,
    options: "RunOptions",
    loudness: Loudness,
) -> None:
    """Print how a run ended. Raises SystemExit if cells failed."""
    from splitbench.bench.sweep.configs import title
    from splitbench.bench.utils.log import FOLDER

    for name, reason in result.failed:
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if result.failed:
        print(f"tracebacks: {store.folder / FOLDER}", file=sys.stderr)
    results_commands.print_conclusion(store.folder, concluded, loudness, result.failed)
    if earlier := store.left_out():
        kept = ", and keeps its rows of other backbones and methods" if options.keep_other_rows else ""
        left = format_count(earlier, "stored cell")
        loudness.say(f"the table is of {path.name}{kept}; {left} of earlier sweeps left out")
    if not loudness.json:
        print(f"{format_count(result.done, 'cell')} run, {result.kept} kept, {len(result.failed)} failed")
    loudness.say(title(path))
    if result.failed:
        raise SystemExit(1)
