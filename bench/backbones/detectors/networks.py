"""What differs between torchvision's detectors and users' own: how they are run, and how they are cut."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from splitbench.bench.backbones.detectors import protocol
from splitbench.bench.backbones.trivial_splits import Found, sizes_of
from splitbench.bench.split import SplitModel, split
from splitbench.bench.split.detectors import default_images
from splitbench.bench.split.points import network_input
from splitbench.bench.split.tracing.facts import evaluating
from splitbench.bench.split.trunk import graph_of

_MOST = 100
_NOISE = (3, 240, 320)


class DetectorNetwork(Protocol):
    """One kind of detector."""

    @property
    def most(self) -> int:
        """Boxes that it can find in an image."""
        ...

    @property
    def input(self) -> str:
        """The size of the network's input, and how images are brought to it."""
        ...

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the network's input for an image of this height and width."""
        ...

    def whole(self) -> nn.Module:
        """Images (uint8, (3, H, W)) to detections."""
        ...

    def split(self, at: str, images: Sequence[Tensor]) -> SplitModel:
        """Cut the detector inside its network. Raises UserError where that is impossible."""
        ...

    def example(self, images: Sequence[Tensor]) -> Any:
        """Return what the model itself is given of some images; noise for none."""
        ...


class _Head(nn.Module):
    """Images to the cut's tensors, the images' sizes, and integers that follow from the network's input size."""

    def __init__(self, head: nn.Module, tensors: int) -> None:
        super().__init__()
        self.head = head
        self.tensors = tensors
        self.training = head.training


def _with_images(
    inner: SplitModel, sides: tuple[_Head, nn.Module], images: Sequence[Tensor], batch: Tensor
) -> SplitModel:
    """Describe a split whose head takes images and sends their sizes, by the split of the network inside it.

    ``batch`` is what the network is given of the images, (B, C, h, w).
    """
    head, tail = sides
    return SplitModel.from_example(
        head,
        tail,
        head(images),
        at=inner.at,
        roles=inner.roles,
        how=inner.how,
        sends_sizes=True,
        image=tuple(batch.shape[1:]) if graph_of(head) else None,
    )


class TorchvisionNetwork:
    """A detector of torchvision's, which resizes, normalizes and decodes inside its ``forward``."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    def most(self) -> int:
        """As the detector says itself."""
        return int(cast(Any, getattr(self.model, "roi_heads", self.model)).detections_per_img)

    @property
    def input(self) -> str:
        """What torchvision's transform says; in evaluation the last of several shorter sides is taken."""
        rules = cast(Any, self.model.transform)
        if rules.fixed_size is not None:
            width, height = rules.fixed_size
            return f"3x{height}x{width}, resize {height}x{width}, bilinear"
        return f"3xHxW, resize {rules.min_size[-1]}, longer side at most {rules.max_size}, bilinear"

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Height and width after resizing."""
        return resized(cast(nn.Module, self.model.transform), size)

    def whole(self) -> nn.Module:
        """Return the detector on pixels."""
        return _TorchvisionWhole(self.model)

    def split(self, at: str, images: Sequence[Tensor]) -> SplitModel:
        """Cut inside the detector's backbone, or after it."""
        inner = split(self.model, at, _floats(images))
        head = _TorchvisionHead(inner.head, len(inner.specs))
        tail = _TorchvisionTail(inner.tail, cast(nn.Module, self.model.transform))
        return _with_images(inner, (head, tail), images, network_input(self.model, _floats(images)))

    def example(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return a list of images with values from 0 to 1."""
        return _floats(images) or default_images(self.model)


def resized(transform: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width to which torchvision's transform resizes an image in evaluation."""
    rules = cast(Any, transform)
    return _resized(transform, size, rules.fixed_size, tuple(rules.min_size), rules.max_size)


@lru_cache(maxsize=4096)  # resizing even nothing takes milliseconds
def _resized(transform: nn.Module, size: tuple[int, int], *rules: Any) -> tuple[int, int]:
    with evaluating(transform):  # in training it may choose among several sizes
        image, _ = cast(Any, transform).resize(torch.empty(3, *size, device="meta"))
    return int(image.shape[-2]), int(image.shape[-1])


def _floats(images: Sequence[Tensor]) -> list[Tensor]:
    return [image.float() / 255 for image in images]


class _TorchvisionWhole(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: Sequence[Tensor]) -> list[Found]:
        detections: list[Found] = self.model(_floats(images))
        return detections


class _TorchvisionHead(_Head):
    def forward(self, images: Sequence[Tensor]) -> tuple[Any, ...]:
        values = self.head(_floats(images))
        # The split head also returns sizes after resizing and of the padded batch; the tail works them out by itself.
        further = self.tensors + 4 * len(images) + 2
        return (*values[: self.tensors], *sizes_of(images), *values[further:])


class _TorchvisionTail(nn.Module):
    def __init__(self, tail: nn.Module, transform: nn.Module) -> None:
        super().__init__()
        self.tail = tail
        self.transform = (transform,)  # in a tuple: it belongs to the head
        self.training = tail.training

    @property
    def observed(self) -> list[nn.Module]:
        """What distillation compares the outputs of: the features, and the heads of detectors with one stage."""
        detector = cast(Any, self.tail).detector
        return [detector.backbone] + ([detector.head] if isinstance(getattr(detector, "head", None), nn.Module) else [])

    def forward(self, *crossed: Any, targets: Any = None) -> Any:
        """Return the cut's tensors, sizes and further integers to detections, or with ``targets`` to the losses."""
        tensors = [x for x in crossed if isinstance(x, Tensor)]
        numbers = crossed[len(tensors) :]
        count = len(tensors[0])
        sizes = [(numbers[2 * i], numbers[2 * i + 1]) for i in range(count)]
        after = [resized(self.transform[0], size) for size in sizes]
        step = cast(int, self.transform[0].size_divisible)
        padded = [math.ceil(max(side) / step) * step for side in zip(*after, strict=True)]
        all_sizes = [side for both in zip(sizes, after, strict=True) for size in both for side in size]
        return self.tail(*tensors, *all_sizes, *padded, *numbers[2 * count :], targets=targets)


class UserNetwork:
    """A detector that follows the protocol of :mod:`splitbench.bench.backbones.detectors`."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    def most(self) -> int:
        """As the detector says itself, else 100."""
        return int(getattr(self.model, "most", _MOST))

    @property
    def input(self) -> str:
        """That ``prepare`` makes it, and its size where images of two shapes come out alike."""
        shapes = {self.shape(_NOISE[1:]), self.shape(_NOISE[:0:-1])}
        channels = next(iter(shapes))[0]
        size = "x".join(map(str, shapes.pop())) if len(shapes) == 1 else f"{channels}xHxW"
        return f"{size}, by the detector's prepare"

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """That of ``prepare``'s result."""
        image = torch.zeros(3, *size, dtype=torch.uint8, device=_device(self.model))
        return tuple(protocol.prepared(self.model, [image]).shape[1:])

    def whole(self) -> nn.Module:
        """``prepare``, ``forward`` and ``detections``."""
        return _UserWhole(self.model)

    def split(self, at: str, images: Sequence[Tensor]) -> SplitModel:
        """Cut inside ``forward``."""
        batch = protocol.prepared(self.model, images)
        inner = split(self.model, at, batch)
        head = _UserHead(inner.head, len(inner.specs), self.model)
        return _with_images(inner, (head, _UserTail(inner.tail, self.model)), images, batch)

    def example(self, images: Sequence[Tensor]) -> Tensor:
        """Prepared; images must come out of it in one shape."""
        generator = torch.Generator().manual_seed(0)
        noise = [torch.randint(0, 256, _NOISE, generator=generator, dtype=torch.uint8) for _ in range(2)]
        return protocol.prepared(self.model, [image.to(_device(self.model)) for image in images or noise])


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


class _UserWhole(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: Sequence[Tensor]) -> list[Found]:
        batch = protocol.prepared(self.model, images)
        with protocol.user_errors(self.model, "forward"):
            raw = self.model(batch)
        return protocol.detections(self.model, raw, [(p.shape[-2], p.shape[-1]) for p in images])


class _UserHead(_Head):
    def __init__(self, head: nn.Module, tensors: int, model: nn.Module) -> None:
        super().__init__(head, tensors)
        self.model = (model,)  # in a tuple: the head's own weights are in the head already

    def forward(self, images: Sequence[Tensor]) -> tuple[Any, ...]:
        values = self.head(protocol.prepared(self.model[0], images))
        return (*values[: self.tensors], *sizes_of(images), *values[self.tensors :])


class _UserTail(nn.Module):
    def __init__(self, tail: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.tail = tail
        self.model = (model,)
        self.training = tail.training

    @property
    def observed(self) -> list[nn.Module]:
        """What distillation compares the outputs of: what ``detections`` is given."""
        return [self.tail]

    def forward(self, *crossed: Any) -> list[Found]:
        tensors = [x for x in crossed if isinstance(x, Tensor)]
        numbers = crossed[len(tensors) :]
        count = len(tensors[0])
        sizes = [(numbers[2 * i], numbers[2 * i + 1]) for i in range(count)]
        raw = self.tail(*tensors, *numbers[2 * count :])
        return protocol.detections(self.model[0], raw, sizes)
