"""Commands for upkeep: ``benchmark``, ``collect``, ``migrate`` and ``train-synthetic``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from splitbench.bench.cli.options import DeviceOption
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count

app = typer.Typer()


@app.command(rich_help_panel="Upkeep")
def benchmark(
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("results/benchmark.json"),
    quick: Annotated[bool, typer.Option("--quick", help="Small: to see that it works, not how fast.")] = False,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="sweep, profile, quantize-rle, codecs, range, split, memory, intervals, loading, drawing; repeatable."
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure splitbench's speed against a naive evaluator, the work no sweep can avoid, and other coders: minutes.

    Example: splitbench benchmark --quick
    """
    from splitbench.bench.tools.speed import FULL, PARTS, QUICK, run_benchmark
    from splitbench.bench.utils import devices
    from splitbench.bench.utils.errors import nearest

    parts = tuple(part or PARTS)
    for name in parts:
        if name not in PARTS:
            raise UserError(f"no part {name!r} of the benchmark{nearest(name, PARTS)}: there are {', '.join(PARTS)}")
    for line in run_benchmark(QUICK if quick else FULL, devices.select(device), out, parts):
        print(line, flush=True)


@app.command(rich_help_panel="Upkeep")
def collect(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    every: Annotated[bool, typer.Option("--all", help="Cells of earlier sweeps, too.")] = False,
) -> None:
    """Rebuild a run's cells.csv from its cells.

    Example: splitbench collect results/classification
    """
    from splitbench.bench.results.store import Store

    store = Store(run)
    print(f"wrote {store.collect(every)}")
    if damaged := store.damaged():
        cells = f"{format_count(len(damaged), 'cell')} left out, whose files are damaged ({', '.join(damaged[:3])})"
        print(f"warning: {cells}: run the sweep again, which repeats what is missing")
    if not every and (earlier := store.left_out()):
        print(f"{format_count(earlier, 'stored cell')} of earlier sweeps left out: --all takes them in")


@app.command(rich_help_panel="Upkeep")
def migrate(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Bring a run of an earlier version up to date: renamed words and the keys that follow; nothing is run again.

    Example: splitbench migrate results/classification
    """
    from splitbench.bench.tools.migrate import migrate as migrate_run

    result = migrate_run(run)
    counts = (result.trainings, "training"), (result.cells, "cell"), (result.curves, "learning curve")
    print(f"renamed {', '.join(format_count(count, word) for count, word in counts)}")
    print(f"wrote {run / 'cells.csv'}; `splitbench compare --out`, `figures` and `report` renew what is made of it")


@app.command("train-synthetic", rich_help_panel="Upkeep")
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
    """Train a network of the synthetic benchmark again, by the command that made its bundled weights.

    Example: splitbench train-synthetic --epochs 1 --limit 600 --out trial.safetensors
    """
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
