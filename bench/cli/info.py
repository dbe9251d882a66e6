"""Commands that list what is available: ``methods``, ``datasets``, ``keys``, ``splits``, ``support`` and ``sweeps``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splitbench.bench.cli import list_commands
from splitbench.bench.utils.errors import UserError

if TYPE_CHECKING:
    from splitbench.methods.base import Method

app = typer.Typer()


@app.command(rich_help_panel="Look up")
def methods(
    name: Annotated[
        str | None, typer.Argument(help="One of them, or a method of your own (my_package.my_module:METHOD).")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Run the conformance tests on it.")] = False,
) -> None:
    """List the methods with their knobs; of one, print its settings, or run the conformance tests (--check).

    Example: splitbench methods quantize-rle
    """
    if name is not None:
        from splitbench.bench.sweep import key_help
        from splitbench.bench.utils.plugins import METHODS

        method = METHODS.get(name)
        if check:
            _check(name, method)
        else:
            print("\n".join(key_help.of_method(name, method)))
        return
    if check:
        raise UserError("--check takes the name of a method")
    list_commands.methods()


def _check(name: str, method: "Method") -> None:
    from splitbench.bench.tools.conformance import faults

    wrong = 0
    for settings, fault in faults(method):
        case = f"{name} {settings}".strip()
        print(f"fails  {case}: {fault}" if fault else f"ok     {case}", flush=True)
        wrong += bool(fault)
    if wrong:
        raise SystemExit(1)


@app.command(rich_help_panel="Look up")
def datasets(
    name: Annotated[
        str | None, typer.Argument(help="One of them, or a dataset of your own (my_package.my_module:DATASET).")
    ] = None,
) -> None:
    """List the datasets; of one, print its options.

    Example: splitbench datasets imagenet
    """
    if name is not None:
        from splitbench.bench.sweep import key_help, renamed
        from splitbench.bench.utils.plugins import DATASETS

        name = renamed.current("dataset", name)
        print("\n".join(key_help.of_dataset(name, DATASETS.get(name))))
        return
    list_commands.datasets()


@app.command(rich_help_panel="Look up")
def keys() -> None:
    """Print the keys of a sweep file, with types and defaults.

    Example: splitbench keys
    """
    from splitbench.bench.sweep import key_help

    print("\n".join(key_help.of_sweeps()))


@app.command(rich_help_panel="Look up")
def splits(
    backbone: Annotated[str, typer.Argument(help="A backbone: torchvision/resnet50, timm/mobilenetv4_conv_small, ...")],
    image: Annotated[
        list[Path] | None, typer.Option(help="A photograph on which to measure the share of zeros; repeatable.")
    ] = None,
    weights: Annotated[str, typer.Option(help="default, none, a name of torchvision's, or a file.")] = "none",
    plot: Annotated[Path | None, typer.Option(help="Draw cut size and MACs along the network into this file.")] = None,
    preprocessing: Annotated[
        str, typer.Option(help="Fields of the preprocessing, as a sweep has them: '{resize: null, crop: 96}'.")
    ] = "{}",
) -> None:
    """List a backbone's split points in order, with what crosses and what each side computes and stores.

    Example: splitbench splits torchvision/resnet50 --plot resnet50.png
    """
    from splitbench.bench.sweep import renamed
    from splitbench.bench.tools.splits.listing import format_splits

    for line in format_splits(
        renamed.current("backbone", backbone), weights, image or [], plot, preprocessing=preprocessing
    ):
        print(line)


@app.command(rich_help_panel="Look up")
def support(
    backbones: Annotated[
        list[str] | None,
        typer.Argument(help="Backbones to try, or patterns ('torchvision/*' timm/vgg11); default: those of the table."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A table (.csv) to extend, a row at a time; a summary (.md) goes beside it.")
    ] = None,
) -> None:
    """Split each backbone, with random weights, at a stage and inside a block, and report how exact it is.

    Example: splitbench support 'torchvision/resnet*'
    """
    from splitbench.bench.tools.support.support import matching, support_table
    from splitbench.bench.tools.support.support_table import as_row, extend_table
    from splitbench.bench.tools.support.tested_models import DETECTORS, TIMM, TORCHVISION

    names = matching(backbones) if backbones else [*TIMM, *DETECTORS, *TORCHVISION]
    print(f"{'backbone':40} {'how':7} {'points':>6} {'tensors':>7} {'exact':5} {'sizes':8} {'trains':6} reason")
    for row in map(as_row, support_table(names)) if out is None else extend_table(out, names):
        print(
            f"{row['model']:40} {row['how']:7} {row['points']:>6} {row['tensors']:>7} {row['exact']:5} "
            f"{row['sizes']:8} {row['trains']:6} {row['reason']}",
            flush=True,
        )
    if out is not None:
        print(f"wrote {out}")


@app.command(rich_help_panel="Look up")
def sweeps() -> None:
    """List the bundled sweeps: `splitbench list sweeps`, without a pattern.

    Example: splitbench sweeps
    """
    list_commands.sweeps()
