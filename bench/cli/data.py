"""The commands of ``splitbench data``: parse and print, decide nothing."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Datasets as files.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(help="The data folder.")]


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="The folder; images go below it.")],
    task: Annotated[
        Literal["classification", "detection"], typer.Option(help="Class folders, or COCO's format.")
    ] = "classification",
    part: Annotated[Literal["evaluation", "calibration", "train"], typer.Option(help="Which images.")] = "evaluation",
    limit: Annotated[int | None, typer.Option(help="How many, from the first; all by default.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.", min=0, max=2**32 - 1)] = 0,
) -> None:
    """Write the synthetic dataset as PNG files with labels, readable as ImageNet's and COCO's layouts.

    Example: splitbench data export drawn --limit 100
    """
    from splitbench.bench.tools.data.export import export as write

    for path in write(out, task, part, limit, seed=seed):
        print(f"wrote {path}")


@app.command()
def check(
    dataset: Annotated[Literal["imagenet", "coco", "cifar10"], typer.Argument(help="What the folder should hold.")],
    folder: FolderArgument,
    part: Annotated[Literal["evaluation", "train"] | None, typer.Option(help="Only this one.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Decode all images, instead of a sample.")] = False,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO: your file of boxes, as a sweep's `annotations` names it.")
    ] = None,
) -> None:
    """Report what a folder holds and lacks; ends with 0 where it is usable, complete or not, and with 2 where not.

    Example: splitbench data check imagenet photos
    """
    from splitbench.bench.tools.data.check import SUBSETS
    from splitbench.bench.tools.data.check import check as check_folder

    report = check_folder(dataset, folder, SUBSETS if part is None else (part,), full=full, annotations=annotations)
    for line in report.lines():
        print(line)
    if not report.usable:
        raise SystemExit(2)


@app.command()
def fetch(
    dataset: Annotated[Literal["coco", "cifar10", "imagenet"], typer.Argument(help="What to fetch.")],
    folder: FolderArgument,
    train: Annotated[bool, typer.Option("--train", help="COCO's training set too, 19 GB more to download.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives after they are unpacked.")] = False,
    mirror: Annotated[str | None, typer.Option(help="Another server with the same files.")] = None,
) -> None:
    """Download and verify COCO or CIFAR-10; the same command resumes. For ImageNet, explain how to get it.

    Example: splitbench data fetch coco /data/coco
    """
    from splitbench.bench.tools.data import fetch
    from splitbench.bench.tools.data.archives import BASES, archives
    from splitbench.bench.utils.errors import UserError

    if dataset == "imagenet":
        print("\n".join(fetch.imagenet_guide(folder)))
        raise UserError("nothing was downloaded: ImageNet needs an account of your own")
    fetch.fetch(archives(dataset, train), folder, mirror or BASES[dataset], keep=keep)
    print(f"check it with: splitbench data check {dataset} {folder}")
