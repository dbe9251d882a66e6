"""The verbs of ``splitbench``: parses and prints, decides nothing. Heavy imports wait until a verb needs them."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from splitbench.bench.errors import UserError

Overwrite = Literal["never", "failed", "all"]

app = typer.Typer(
    help="Compares compressors for split computing: rate, accuracy, computation, storage and weight switching.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_INTERRUPTED = 130


def main() -> None:
    """Run a command; bad input ends with one sentence and code 2, Ctrl-C with 130, failed cells with 1."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # what typer makes of Ctrl-C
            print("\nstopped; what is stored stays, and the same command goes on from there", file=sys.stderr)
        raise
    except UserError as error:
        _fail(error)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        _fail(error)


def _fail(error: Exception) -> None:
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2) from None


def _expected() -> tuple[type[Exception], ...]:
    """What datasets and methods raise for the user's eyes; imported late because it brings torch along."""
    from splitbench.datasets.base import DataError
    from splitbench.methods.base import MethodError

    return DataError, MethodError


SweepArgument = Annotated[str, typer.Argument(help="A sweep file, or the name of one that ships (see `sweeps`).")]
DataOption = Annotated[Path | None, typer.Option(help="Folder of the data; `root`s in the sweep are relative to it.")]
WeightsOption = Annotated[Path | None, typer.Option(help="Folder of weights files, for machines without internet.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Only backbones whose name contains this; repeatable.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the results; default results/<sweep's name>.")]


@app.command()
def run(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: OutOption = None,
    only: OnlyOption = None,
    overwrite: Annotated[Overwrite, typer.Option(help="Stored cells: never, failed or all are run again.")] = "failed",
) -> None:
    """Run a sweep: all cells that are not stored yet; then the CSV, a comparison and figures."""
    path, checked, sources = _opened(sweep, data, weights, device, only)
    from splitbench.bench.runner import run as run_sweep
    from splitbench.bench.store import Store
    from splitbench.bench.sweeps import title

    folder = out or Path("results") / path.stem
    result = run_sweep(checked, sources, Store(folder), overwrite, part=bool(only), say=print)
    for name, reason in result.failed:
        print(f"failed: {name}: {reason}", file=sys.stderr)
    _conclude(folder)
    print(f"{result.done} cells run, {result.kept} kept, {len(result.failed)} failed")
    print(title(path))
    if result.failed:
        raise SystemExit(1)


@app.command()
def validate(
    sweep: SweepArgument,
    data: DataOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    only: OnlyOption = None,
) -> None:
    """Check a sweep without running it: data, weights, split points, methods; list its cells and estimate the work."""
    _, checked, sources = _opened(sweep, data, weights, device, only)
    from splitbench.bench.estimate import described

    for line in described(checked, sources):
        print(line)


def _opened(
    sweep: str, data: Path | None, weights: Path | None, device: str, only: list[str] | None
) -> tuple[Path, Any, Any]:
    from splitbench.bench import circumstances
    from splitbench.bench.plan import Sources
    from splitbench.bench.sweep import read
    from splitbench.bench.sweeps import find

    path = find(sweep)
    return path, read(path).only(only or ()), Sources(data, weights, circumstances.device(device))


RunsArgument = Annotated[list[Path], typer.Argument(help="Folders of runs, or their cells.csv.")]
AnchorOption = Annotated[str | None, typer.Option(help="The method that BD-rate is against.")]
MixedOption = Annotated[bool, typer.Option("--allow-mixed", help="Compare results over different images all the same.")]


@app.command()
def compare(
    runs: RunsArgument, out: OutOption = None, anchor: AnchorOption = None, allow_mixed: MixedOption = False
) -> None:
    """Compare methods from the CSVs of one or more runs: fronts, bytes for a drop, BD-rate, costs."""
    from splitbench.bench.compare import compare as compare_runs

    result = compare_runs(runs, out or _beside(runs, "comparison"), anchor, allow_mixed)
    print(result.text)
    _list(result.files)


@app.command()
def figures(runs: RunsArgument, out: OutOption = None, allow_mixed: MixedOption = False) -> None:
    """Draw all figures from the CSVs of one or more runs: no models, data or GPU needed."""
    from splitbench.bench.figures import draw_all
    from splitbench.bench.table import read

    _list(draw_all(read(runs, allow_mixed), out or _beside(runs, "figures"), print))


def _beside(runs: list[Path], name: str) -> Path:
    """Next to a single run's CSV; for several runs, below the folder that results lie in."""
    if len(runs) > 1:
        return Path("results") / name
    return (runs[0] if runs[0].is_dir() else runs[0].parent) / name


def _conclude(folder: Path) -> None:
    """A run's comparison and figures; a run without a single good cell has none."""
    from splitbench.bench.compare import compare as compare_runs
    from splitbench.bench.figures import draw_all
    from splitbench.bench.table import read

    try:
        comparison = compare_runs([folder], folder / "comparison")
        files = draw_all(read([folder]), folder / "figures", print)
    except UserError as error:
        print(f"nothing to compare: {error}", file=sys.stderr)
        return
    print(comparison.text)
    print(f"table       {folder / 'cells.csv'}\ncomparison  {folder / 'comparison'}\nfigures     {folder / 'figures'}")
    for file in files:
        if file.suffix == ".png":
            print(f"            {file}")


def _list(files: list[Path]) -> None:
    for file in files:
        print(f"wrote {file}")


@app.command()
def collect(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Rebuild a run's cells.csv from its cells."""
    from splitbench.bench.store import Store

    print(f"wrote {Store(run).collect()}")


@app.command()
def columns() -> None:
    """Print the columns of cells.csv with unit and meaning."""
    from splitbench.bench.columns import COLUMNS

    for column in COLUMNS:
        print(f"{column.name:21} {column.unit:7} {column.meaning}")


@app.command()
def methods() -> None:
    """List the methods with their knobs."""
    from splitbench.methods import get, names

    for name in names():
        method = get(name)
        print(f"{name:16} {method.knob:8} {method.summary}")


@app.command()
def splits(
    backbone: Annotated[str, typer.Argument(help="A backbone: torchvision/resnet50, timm/mobilenetv4_conv_small, ...")],
    image: Annotated[
        list[Path] | None, typer.Option(help="A photograph, to tell the share of zeros; repeatable.")
    ] = None,
    weights: Annotated[str, typer.Option(help="default, none, a name of torchvision's, or a file.")] = "none",
    plot: Annotated[Path | None, typer.Option(help="Draw cut size and MACs along the network into this file.")] = None,
) -> None:
    """List a backbone's split points in order, with what crosses and what each side computes and stores."""
    from splitbench.bench.list_splits import described

    for line in described(backbone, weights, image or [], plot):
        print(line)


@app.command()
def support(
    backbones: Annotated[list[str], typer.Argument(help="Backbones to try, or patterns: 'torchvision/*' timm/vgg11")],
) -> None:
    """Cut each backbone, with random weights, at several split points, and tell how and how exactly it went."""
    from splitbench.bench.support import matching, support_table

    print(f"{'backbone':40} {'how':7} {'points':>6}  {'exact':5}  {'other size':20} reason")
    for row in support_table(matching(backbones)):
        exact = "yes" if row.exact else "no"
        print(f"{row.model:40} {row.how:7} {row.points:6}  {exact:5}  {row.sizes:20} {row.reason}")


@app.command("train-embedded")
def train_embedded(
    out: Annotated[Path, typer.Option(help="The file of the weights; a report goes beside it.")] = Path(
        "results/small_resnet.safetensors"
    ),
    seed: Annotated[int, typer.Option(help="Of initialization, order and augmentation.")] = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.", min=1)] = 7,
    limit: Annotated[int | None, typer.Option(help="Training images; all by default.", min=1)] = None,
) -> None:
    """Train the embedded benchmark's network again, by the command that made the weights that ship."""
    from splitbench.bench.train_embedded import train_embedded_classifier

    for name, value in train_embedded_classifier(out, seed, epochs, limit).items():
        print(f"{name:18} {value}")


@app.command()
def sweeps() -> None:
    """List the sweeps that ship."""
    from splitbench.bench.sweeps import find, names, title

    for name in names():
        print(f"{name:16} {title(find(name))}")


if __name__ == "__main__":
    main()
