"""The verbs of ``splitbench``: parses and prints, decides nothing. Heavy imports wait until a verb needs them."""

import os
import sys
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splitbench.bench.cli import data as data_commands
from splitbench.bench.cli import info
from splitbench.bench.cli import results as results_commands
from splitbench.bench.cli.console import tolerate_any_encoding
from splitbench.bench.sweep import renamed
from splitbench.bench.sweep.renamed import RenamedWarning, current
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count

if TYPE_CHECKING:
    from splitbench.bench.results.store import Store
    from splitbench.bench.run.loggers import Loggers
    from splitbench.bench.run.planning.sources import Sources
    from splitbench.bench.sweep.schema import Sweep

Overwrite = Literal["never", "failed", "all"]

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands.app, name="data")
app.add_typer(info.app)
app.add_typer(results_commands.app)

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
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2) from None


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors of datasets, methods and the trainer that users can act on; imported late: they load torch."""
    from splitbench.bench.training import TrainingError
    from splitbench.datasets.base import DataError
    from splitbench.methods.base import MethodError

    return DataError, MethodError, TrainingError


SweepArgument = Annotated[str, typer.Argument(help="A sweep file, or the name of a bundled sweep (see `sweeps`).")]
DataOption = Annotated[Path | None, typer.Option(help="Folder of the data; `root`s in the sweep are relative to it.")]
WeightsOption = Annotated[Path | None, typer.Option(help="Folder of weights files, for machines without internet.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Only backbones whose name contains this; repeatable.")]
MethodOption = Annotated[list[str] | None, typer.Option("--method", help="Only this method; repeatable.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Replace a value of the sweep: methods.0.bits=[2,3]; repeatable.")
]
MemoryOption = Annotated[float, typer.Option("--memory", help="GiB that training may keep examples in.", min=0)]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
RetrainOption = Annotated[bool, typer.Option("--retrain", help="Train again what is bundled trained.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for digests of images, kept from run to run; default in the user's cache.")
]
RereadOption = Annotated[bool, typer.Option("--reread", help="Read all images anew, whatever digests are kept.")]
TrustOption = Annotated[
    bool, typer.Option("--trust-names", help="Identify images by names and labels, reading none first; rows say so.")
]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the results; default results/<sweep's name>.")]
LogOption = Annotated[
    list[str] | None, typer.Option("--log-to", help="Log to tensorboard, wandb or mlflow, too; repeatable.")
]


@app.command()
def run(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: OutOption = None,
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
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
    keep_images: Annotated[Path | None, typer.Option(hidden=True)] = None,
    keep_gib: Annotated[float | None, typer.Option(hidden=True)] = None,
    log_to: LogOption = None,
) -> None:
    """Run a sweep: all cells that are not stored yet; then the CSV, a comparison, figures and a report."""
    if patience is not None:
        time_limit = patience
        renamed.current("option", "--patience")
    from splitbench.bench.run.loggers.choose_loggers import check_loggers

    check_loggers(log_to or ())
    here = "auto" if executor == "ray" and device != "cpu" else device  # the GPUs are the cluster's
    path, checked, sources = _open_sweep(
        sweep, data=data, weights=weights, device=here, only=only, method=method, overrides=set_
    )
    sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
    from splitbench.bench.results.store import Store
    from splitbench.bench.run.executors import ExecutorOptions, open_executor
    from splitbench.bench.run.runner import RunOptions
    from splitbench.bench.run.runner import run as run_sweep
    from splitbench.bench.sweep.configs import title
    from splitbench.bench.utils.log import FOLDER

    chosen = open_executor(ExecutorOptions(executor, workers, address, gpus), device)
    store = Store(out or Path("results") / path.stem)
    folder = store.folder
    if keep_images is not None or keep_gib is not None:
        typer.echo("note: --keep-images is gone, since decoding takes next to no time: leave it out", err=True)
    sources = replace(sources, memory=int(memory * 2**30), naive=naive)
    with closing(_open_loggers(log_to, store, checked)) as loggers:
        options = RunOptions(
            overwrite=overwrite,
            keep_other_rows=bool(only or method),
            retrain=retrain,
            executor=chosen,
            loggers=loggers,
            time_limit=time_limit,
        )
        result = run_sweep(checked, sources, store, options, say=print)
    for name, reason in result.failed:
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if result.failed:
        print(f"tracebacks: {folder / FOLDER}", file=sys.stderr)
    results_commands.conclude(folder)
    if earlier := Store(folder).left_out():
        kept = ", and keeps its rows of other backbones and methods" if only or method else ""
        print(f"the table is of {path.name}{kept}; {format_count(earlier, 'stored cell')} of earlier sweeps left out")
    print(f"{format_count(result.done, 'cell')} run, {result.kept} kept, {len(result.failed)} failed")
    print(title(path))
    if result.failed:
        raise SystemExit(1)


def _open_loggers(names: list[str] | None, store: "Store", sweep: "Sweep") -> "Loggers":
    from splitbench.bench.run.loggers import Loggers, open_loggers
    from splitbench.bench.sweep.reading import as_yaml

    if not names or int(os.environ.get("RANK", "0")) > 0:  # the first of several processes logs for all
        return Loggers()
    store.open()
    return open_loggers(names, store.folder, as_yaml(sweep), lambda message: print(message, file=sys.stderr))


@app.command()
def train(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: OutOption = None,
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
    cache: CacheOption = None,
    reread: RereadOption = False,
    trust_names: TrustOption = False,
    memory: MemoryOption = 4,
    retrain: RetrainOption = False,
    log_to: LogOption = None,
) -> None:
    """Only train what a sweep's methods learn, by several processes where torchrun starts it; `run` resumes from there.

    torchrun --nproc-per-node 8 -m splitbench.bench train SWEEP ...
    """
    from splitbench.bench.run.loggers.choose_loggers import check_loggers

    check_loggers(log_to or ())
    path, checked, sources = _open_sweep(
        sweep, data=data, weights=weights, device=device, only=only, method=method, overrides=set_
    )
    sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
    from splitbench.bench.results.store import Store
    from splitbench.bench.run.train_only import train_all

    sources = replace(sources, memory=int(memory * 2**30))
    store = Store(out or Path("results") / path.stem)
    with closing(_open_loggers(log_to, store, checked)) as loggers:
        result = train_all(checked, sources, store, retrain=retrain, say=print, loggers=loggers)
    if int(os.environ.get("RANK", "0")) > 0:
        return  # the first of several processes speaks for all
    for reason in result.failed:
        print(f"failed: {reason}", file=sys.stderr)
    print(f"{format_count(result.trained, 'rate point')} trained, {result.kept} kept, {len(result.failed)} failed")
    if result.failed:
        raise SystemExit(1)


@app.command("fine-tune")
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
    """Train a sweep's backbone itself on its training images; name the file as the backbone's weights afterwards."""
    _, checked, sources = _open_sweep(sweep, data=data, weights=weights, device=device, only=only)
    from splitbench.bench.run.fine_tune import fine_tune as train
    from splitbench.bench.training import Recipe

    recipe = Recipe(epochs, batch_size, learning_rate, weight_decay=0.01, best="accuracy", seed=seed)
    for name, value in train(checked.beginning_with(begin), sources, recipe, out).items():
        print(f"{name:18} {value}")


@app.command()
def validate(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    only: OnlyOption = None,
    method: MethodOption = None,
    set_: SetOption = None,
    cache: CacheOption = None,
    reread: RereadOption = False,
    trust_names: TrustOption = False,
) -> None:
    """Check a sweep without running it: data, weights, split points, methods; list its cells and estimate the work."""
    _, checked, sources = _open_sweep(
        sweep, data=data, weights=weights, device=device, only=only, method=method, overrides=set_
    )
    sources = replace(sources, cache=cache, reread=reread, trust_names=trust_names)
    from splitbench.bench.run.planning.estimate import format_estimate

    for line in format_estimate(checked, sources):
        print(line)


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
    from splitbench.bench.run.planning.sources import Sources, check_data
    from splitbench.bench.utils import devices

    sources = Sources(data, weights, devices.select(device))
    check_data(checked, sources)
    return path, checked, sources


@app.command()
def benchmark(
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("results/benchmark.json"),
    quick: Annotated[bool, typer.Option("--quick", help="Small: to see that it works, not how fast.")] = False,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="sweep, profile, quantize-rle, codecs, range, split, memory, intervals or drawing; repeatable."
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure splitbench's speed against a naive evaluator, the work no sweep can avoid, and other coders: minutes."""
    from splitbench.bench.tools.speed import FULL, PARTS, QUICK, run_benchmark
    from splitbench.bench.utils import devices
    from splitbench.bench.utils.errors import nearest

    parts = tuple(part or PARTS)
    for name in parts:
        if name not in PARTS:
            raise UserError(f"no part {name!r} of the benchmark{nearest(name, PARTS)}: there are {', '.join(PARTS)}")
    for line in run_benchmark(QUICK if quick else FULL, devices.select(device), out, parts):
        print(line, flush=True)


@app.command()
def collect(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    every: Annotated[bool, typer.Option("--all", help="Cells of earlier sweeps, too.")] = False,
) -> None:
    """Rebuild a run's cells.csv from its cells."""
    from splitbench.bench.results.store import Store

    store = Store(run)
    print(f"wrote {store.collect(every)}")
    if not every and (earlier := store.left_out()):
        print(f"{format_count(earlier, 'stored cell')} of earlier sweeps left out: --all takes them in")


@app.command()
def migrate(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Bring a run of an earlier version up to date: renamed words and the keys that follow; nothing is run again."""
    from splitbench.bench.tools.migrate import migrate as migrate_run

    result = migrate_run(run)
    counts = (result.trainings, "training"), (result.cells, "cell"), (result.curves, "learning curve")
    print(f"renamed {', '.join(format_count(count, word) for count, word in counts)}")
    print(f"wrote {run / 'cells.csv'}; `splitbench compare`, `figures` and `report` renew what is made of it")


@app.command("train-synthetic")
def train_synthetic(
    network: Annotated[Literal["small_resnet", "small_detector"], typer.Option(help="Which one.")] = "small_resnet",
    out: Annotated[
        Path | None, typer.Option(help="The file of the weights; default results/<network>.safetensors.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initialization, order and augmentation.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", min=1)] = None,
    limit: Annotated[
        int | None, typer.Option(help="Training images; by default as for the bundled weights.", min=1)
    ] = None,
    begin: Annotated[
        Path | None, typer.Option(help="The small_resnet that the detector begins with; default the bundled one.")
    ] = None,
) -> None:
    """Train a network of the synthetic benchmark again, by the command that made its bundled weights."""
    from splitbench.bench.tools.synthetic.train_classifier import train_small_resnet
    from splitbench.bench.tools.synthetic.train_detector import train_small_detector

    file = out or Path("results") / f"{network}.safetensors"
    if network == "small_detector":
        report = train_small_detector(file, seed, epochs, limit, begin=begin)
    elif begin:
        raise UserError("--begin is for --network small_detector: small_resnet begins with random weights")
    else:
        report = train_small_resnet(file, seed, epochs, limit)
    for name, value in report.items():
        print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
