"""The commands of ``splitbench list``: parse and print, decide nothing."""

from typing import Annotated

import typer

from splitbench.bench.cli.printing import JsonOption, print_rows
from splitbench.bench.sweep import renamed

app = typer.Typer(help="What a sweep can name, filtered by patterns.", no_args_is_help=True)

PatternArgument = Annotated[str | None, typer.Argument(help="A shell's pattern, in quotes: 'quantize-*'.")]
TaskOption = Annotated[str | None, typer.Option(help="Only those for classification, or for detection.")]


@app.command()
def backbones(pattern: PatternArgument = None, task: TaskOption = None, json: JsonOption = False) -> None:
    """List backbones: torchvision's, timm's and the bundled ones, with their task.

    Example: splitbench list backbones 'vit_tiny*'
    """
    from splitbench.bench.tools import catalogue

    rows = [row for row in catalogue.backbones() if task in (None, row["task"])]
    print_rows(catalogue.matching(rows, pattern, "backbone"), ("name", "task"), json)


@app.command()
def splits(
    backbone: Annotated[str, typer.Argument(help="A backbone, as in `list backbones`.")],
    pattern: PatternArgument = None,
    json: JsonOption = False,
) -> None:
    """List the split points of a backbone; `splitbench splits` can also measure and draw them.

    Example: splitbench list splits torchvision/resnet18 'layer?'
    """
    from splitbench.bench.tools import catalogue

    name = renamed.current("backbone", backbone)
    rows = catalogue.matching(catalogue.splits(name), pattern, f"split point of {name}")
    print_rows(rows, ("name", "crosses", "bytes", "macs_head", "macs_tail"), json, titled=True)


@app.command()
def methods(pattern: PatternArgument = None, json: JsonOption = False) -> None:
    """List methods with the setting that moves their rate; `splitbench methods NAME` lists the settings of one.

    Example: splitbench list methods 'quantize-*'
    """
    from splitbench.bench.tools import catalogue

    print_rows(catalogue.matching(catalogue.methods(), pattern, "method"), ("name", "knob", "summary"), json)


@app.command()
def datasets(pattern: PatternArgument = None, json: JsonOption = False) -> None:
    """List datasets with their task; `splitbench datasets NAME` lists the options of one.

    Example: splitbench list datasets --json
    """
    from splitbench.bench.tools import catalogue

    print_rows(catalogue.matching(catalogue.datasets(), pattern, "dataset"), ("name", "task", "summary"), json)


@app.command()
def sweeps(pattern: PatternArgument = None, json: JsonOption = False) -> None:
    """List the bundled sweeps, which `splitbench run NAME` runs.

    Example: splitbench list sweeps 'co*'
    """
    from splitbench.bench.tools import catalogue

    print_rows(catalogue.matching(catalogue.sweeps(), pattern, "sweep"), ("name", "title"), json)
