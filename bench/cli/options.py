"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from splitbench.bench.utils.errors import UserError

SweepArgument = Annotated[str, typer.Argument(help="A sweep file, or the name of a bundled sweep (see `list sweeps`).")]
DataOption = Annotated[Path | None, typer.Option(help="Folder of the data; `root`s in the sweep are relative to it.")]
WeightsOption = Annotated[Path | None, typer.Option(help="Folder of weights files, for machines without internet.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Only backbones whose name contains this; repeatable.")]
MethodOption = Annotated[list[str] | None, typer.Option("--method", help="Only this method; repeatable.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Replace a value of the sweep: methods.0.bits=[2,3]; repeatable.")
]
MemoryOption = Annotated[float, typer.Option("--memory", help="GiB that training may keep examples in.", min=0)]


def _no_limit(count: int | None) -> None:
    if count is not None:
        raise UserError(
            f"--limit is an option of bench and init: a sweep says how many images it takes, here --set "
            f"datasets.0.limit={count}"
        )


NoLimitOption = Annotated[int | None, typer.Option("--limit", hidden=True, callback=_no_limit)]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
RetrainOption = Annotated[bool, typer.Option("--retrain", help="Train again what is bundled.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for digests of images, kept from run to run; default in the user's cache.")
]
RereadOption = Annotated[bool, typer.Option("--reread", help="Read all images anew, whatever digests are kept.")]
TrustOption = Annotated[
    bool, typer.Option("--trust-names", help="Identify images by names and labels, reading none first; rows say so.")
]
LogOption = Annotated[
    list[str] | None, typer.Option("--log-to", help="Log to tensorboard, wandb or mlflow, too; repeatable.")
]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the results; default results/<sweep's name>.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures and the last line.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print what goes into the log, too: every epoch, and tracebacks.")
]
