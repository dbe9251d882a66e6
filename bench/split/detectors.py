"""Cuts torchvision's detectors: the head resizes, normalises and runs part of the backbone; the tail does the rest.

The detectors' ``forward`` runs in the tail, on the sizes that were sent: its transform is replaced by one that
returns the sent batch, and its backbone by the part of the backbone after the cut.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from splitbench.bench.split.cut import cut_module
from splitbench.bench.split.graphs import Sides
from splitbench.bench.split.tracing.facts import evaluating
from splitbench.bench.utils.errors import UserError

PREFIX = "backbone"


def is_torchvisions(model: nn.Module) -> bool:
    """Return whether a model takes a list of images as torchvision's detectors do."""
    return isinstance(getattr(model, "transform", None), GeneralizedRCNNTransform) and hasattr(model, PREFIX)


def default_images(model: nn.Module) -> list[Tensor]:
    """Two small random images of different sizes, values in [0, 1], on the model's device and in its precision."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator).to(like) for size in ((96, 128), (120, 100))]


@contextmanager
def small_images(model: nn.Module) -> Iterator[None]:
    """Let a detector resize to small images for a while: checking a cut on large ones would take many seconds."""
    transform = cast(Any, model.transform)
    sizes = transform.min_size, transform.max_size
    if transform.fixed_size is None:
        transform.min_size, transform.max_size = (128,), 192
    try:
        yield
    finally:
        transform.min_size, transform.max_size = sizes


def split_detector(model: nn.Module, at: str, images: list[Tensor]) -> Sides:
    """Cut a detector inside its backbone (``backbone.body.layer2``), after it (``backbone``) or before (``transform``).

    Args:
        model: A torchvision detector.
        at: The split point.
        images: Example images, each (3, H, W) with values in [0, 1].

    Returns:
        ``head(images)`` returns the cut's tensors, then for each image its height and width before and after resizing,
        then the height and width of the padded batch, then further sizes. ``tail`` of these returns the detections.

    Raises:
        UserError: The split point is not in the backbone, or the model cannot be cut there.
    """
    if at != "transform" and at.split(".")[0] != PREFIX:
        raise UserError(
            f"{type(model).__name__} is cut inside its backbone or after it, not at {at!r}: "
            "choose a name that begins with 'backbone', or 'transform', 'input' or 'output'"
        )
    transform = cast(Any, model.transform)
    with torch.no_grad(), evaluating(model):
        batch = transform(images)[0].tensors
    inside = "input" if at == "transform" else at.removeprefix(PREFIX).removeprefix(".")
    inner = cut_module(cast(nn.Module, model.backbone), inside, batch, PREFIX)
    count = len(inner.roles)
    return inner._replace(head=DetectorHead(transform, inner.head, count), tail=DetectorTail(model, inner.tail, count))


class DetectorHead(nn.Module):
    """Resizes, normalises and batches images, and runs the backbone up to the cut."""

    def __init__(self, transform: nn.Module, body: nn.Module, tensors: int) -> None:
        super().__init__()
        self.transform = transform
        self.body = body
        self.tensors = tensors
        self.training = transform.training

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor | int, ...]:
        """Images (3, H, W) to the cut's tensors (B, ...) and the sizes."""
        batch, _ = self.transform(list(images))
        cut = self.body(batch.tensors)
        sizes = [
            int(size)
            for image, resized in zip(images, batch.image_sizes, strict=True)
            for size in (*image.shape[-2:], *resized)
        ]
        sizes += batch.tensors.shape[-2:]
        return (*cut[: self.tensors], *sizes, *cut[self.tensors :])


class _Batch(NamedTuple):
    """Stands for the batch of images, of which the tail knows the shape and what was sent."""

    shape: tuple[int, ...]
    cut: tuple[Any, ...]


class _Images(list[Tensor]):
    """Stands for the original images, of which the tail knows the sizes."""

    batch: ImageList


class _SentBatch(nn.Module):
    """Takes the place of the transform: the batch is made already; detections go back to the original sizes."""

    def __init__(self, transform: GeneralizedRCNNTransform) -> None:
        super().__init__()
        self.original = (transform,)  # in a tuple: it has no weights, and it belongs to the head
        self.training = transform.training

    def forward(self, images: _Images, targets: Any = None) -> tuple[ImageList, Any]:
        if targets is not None:
            resized = images.batch.image_sizes
            pairs = [(tuple(image.shape[-2:]), size) for image, size in zip(images, resized, strict=True)]
            targets = [
                target | {"boxes": target["boxes"] * target["boxes"].new_tensor([to[1] / of[1], to[0] / of[0]] * 2)}
                for target, (of, to) in zip(targets, pairs, strict=True)
            ]
        return images.batch, targets

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        # Unlike the original's, whose training flag is the head's and may differ.
        transform = copy.copy(self.original[0])
        transform.training = self.training
        return transform.postprocess(result, image_shapes, original_image_sizes)


class _SentFeatures(nn.Module):
    """Takes the place of the backbone: runs what is left of it."""

    def __init__(self, tail: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.tail = tail
        self.out_channels = getattr(backbone, "out_channels", None)
        self.training = backbone.training

    def forward(self, batch: _Batch) -> Any:
        return self.tail(*batch.cut)


class DetectorTail(nn.Module):
    """Runs the rest of a detector on what its head sent; in train mode it takes ``targets`` and returns the losses."""

    def __init__(self, model: nn.Module, tail: nn.Module, tensors: int) -> None:
        super().__init__()
        detector = copy.copy(model)  # shares everything but the table of its modules
        detector.__dict__["_modules"] = {
            **model._modules,
            "transform": _SentBatch(cast(GeneralizedRCNNTransform, model.transform)),
            PREFIX: _SentFeatures(tail, cast(nn.Module, model.backbone)),
        }
        self.detector = detector
        self.tensors = tensors
        self.training = model.training

    def forward(self, *cut: Any, targets: Any = None) -> Any:
        """Return the cut's tensors and the sizes to detections: for each image a dict of boxes, labels and scores."""
        tensors, numbers = cut[: self.tensors], cut[self.tensors :]
        count = len(tensors[0])
        images = _Images(torch.empty(3, *numbers[4 * i : 4 * i + 2], device="meta") for i in range(count))
        sizes = [tuple(numbers[4 * i + 2 : 4 * i + 4]) for i in range(count)]
        batch = _Batch((count, 3, *numbers[4 * count : 4 * count + 2]), (*tensors, *numbers[4 * count + 2 :]))
        images.batch = ImageList(cast(Tensor, batch), sizes)
        return self.detector(images, targets)
