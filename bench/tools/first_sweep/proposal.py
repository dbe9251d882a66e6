"""Proposes a sweep for a folder and a backbone: images, split points, methods and rates that suit a first run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from splitbench.bench.backbones import backbone_names, named_weights
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation import tasks
from splitbench.bench.run.planning.sources import Sources, first_readable, open_backbone, open_dataset
from splitbench.bench.split.auto import DEEPEST
from splitbench.bench.split.point import SplitPoint
from splitbench.bench.split.points import auto_points, split_points
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec
from splitbench.bench.tools.first_sweep.data_folder import FoundData, recognize
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import Task

IMAGES: dict[Task, int] = {"classification": 1000, "detection": 200}
"""The most images that a first run evaluates on."""

_MOST_SPLITS = 3


@dataclass(frozen=True)
class Proposal:
    """What a first sweep is made of.

    Attributes:
        model: The backbone's name.
        weights: Its weights, as a sweep names them.
        input: Its input, and how images are brought to it.
        data: What was found in the folder.
        images: How many of its images are evaluated on.
        points: The chosen split points, in order of execution.
    """

    model: str
    weights: str
    input: str
    data: FoundData
    images: int
    points: Sequence[SplitPoint]


def propose(
    model: str, folder: Path, *, weights: str = "default", limit: int | None = None, device: torch.device | None = None
) -> Proposal:
    """Look at a backbone and a folder, and propose what to run.

    Args:
        model: The backbone's name, as in a sweep.
        folder: The folder of images.
        weights: As in a sweep, or a folder of weights files.
        limit: The most images to evaluate on; by default :data:`IMAGES`.
        device: Where the backbone is tried; by default the CPU.

    Raises:
        UserError: Either of the two cannot be used, or they do not go together; the message says what to do.
    """
    backbone_names.check(model)
    data = recognize(folder, backbone_names.tasks().get(model))
    spec = BackboneSpec(name=model, weights=_named_weights(model, weights), splits="auto")
    images = DatasetSpec.model_validate({"name": data.kind, "root": str(data.folder)})
    backbone = open_backbone(spec, images, Sources(device=device or torch.device("cpu")))
    _check_together(backbone, images, data, device or torch.device("cpu"))
    return Proposal(
        model=model,
        weights=str(spec.weights),
        input=backbone.input,
        data=data,
        images=min(data.images, limit or IMAGES[data.task]),
        points=_chosen(split_points(backbone.model, backbone.example())),
    )


def _named_weights(model: str, given: str) -> str:
    """Return how a sweep names weights that were given as there, or as a folder: files by their absolute paths."""
    path = Path(given).expanduser()
    file: Path | None = path if path.is_file() else None
    if path.is_dir():
        file = named_weights.file_of(model, model.rpartition(":")[2].rpartition("/")[2], named_weights.DEFAULT, path)
        given = named_weights.DEFAULT
    return given if file is None else str(file.absolute())


@torch.no_grad()
def _check_together(backbone: Backbone, images: DatasetSpec, data: FoundData, device: torch.device) -> None:
    """Raise UserError where the backbone is for another task, or for other classes than the images have."""
    dataset = open_dataset(images, Sources(), "evaluation")
    pixels = backbone.together([backbone.pixels(first_readable(dataset)).to(device)])
    if reason := tasks.get(data.task).mismatch(dataset, backbone, pixels):
        raise UserError(f"{backbone.name} with {data.folder}: {reason}")


def _chosen(points: Sequence[SplitPoint]) -> list[SplitPoint]:
    """Return the last stage boundaries that leave something to the server; where there is at most one, the best."""
    smaller = [point for point in points if not point.larger_than_input] or points
    stages = [point for point in auto_points(points) if point in smaller and _leaves_work(point)]
    return stages[-_MOST_SPLITS:] if len(stages) > 1 else auto_points(smaller, 2)


def _leaves_work(point: SplitPoint) -> bool:
    """Return whether the server computes enough for a cut to be worthwhile."""
    return point.macs_head <= DEEPEST * (point.macs_head + point.macs_tail)
