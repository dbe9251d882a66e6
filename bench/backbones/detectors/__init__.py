"""Detectors as backbones: torchvision's, and users' detectors.

A user's detector is named in a sweep by the import path of what makes it (``package.module:factory``). It is an
``nn.Module`` with four things:

``categories``
    The category id of every class index, as in COCO's annotations: ``tuple[int, ...]``.
``prepare(image)``
    One image, uint8 RGB (3, H, W), to the network's input, float (C, h, w): the detector's resizing and
    normalizing. Images whose inputs have the same shape are batched together.
``forward(batch)``
    The network: (B, C, h, w) to a tensor or a tuple of tensors. This is what is traced and cut in two, so its modules'
    names are the split points.
``detections(raw, sizes)``
    What ``forward`` returned, and each image's (H, W), to one dict per image: ``boxes``, corners left, top, right,
    bottom in the image's pixels (N, 4); ``labels``, category ids (N,); ``scores`` (N,), the higher the likelier,
    not below 0.

The head is ``prepare`` and the network's first part, the tail its second part and ``detections``. ``most`` says how
many boxes an image can have, 100 where the detector does not say. ``category_names``, one name for each of
``categories``, lets annotations be matched by name; without it their ids are trusted, which rows warn of. ``forward``
must do the same whatever the values of its input are, since it is traced once. Models of torchvision's detection
classes need only ``categories``: the labels that they return, 0 not among them.

``splitbench splits my_package.my_module:factory`` sees whether it can be cut, and lists where. Methods that learn
train on it by ``distortion: distill``, since it has no loss. All of it, for squares of one category:

    class Squares(nn.Module):
        categories = (1,)
        category_names = ("square",)
        most = 5

        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
            self.scores = nn.Conv2d(8, 1, 1)

        def prepare(self, image):
            return F.interpolate(image[None].float() / 255, (128, 128), mode="bilinear")[0]

        def forward(self, batch):
            return self.scores(self.stem(batch)).sigmoid()  # (B, 1, 32, 32)

        def detections(self, raw, sizes):
            detections = []
            for scores, (height, width) in zip(raw.flatten(1), sizes, strict=True):
                best = scores.topk(self.most)
                cells = torch.stack([best.indices % 32, best.indices // 32], 1)
                corners = torch.cat([cells, cells + 1], 1) * torch.tensor([width, height] * 2, device=raw.device) / 32
                detections.append({"boxes": corners, "labels": torch.ones_like(best.indices), "scores": best.values})
            return detections
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as F

from splitbench.bench.backbones.detectors.networks import DetectorNetwork, TorchvisionNetwork, UserNetwork
from splitbench.bench.backbones.trivial_splits import BOX_ROLES, BoxesHead, BoxesTail, ImagesHead, ImagesTail
from splitbench.bench.split import SplitModel
from splitbench.bench.split.detectors import is_torchvisions
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import Dataset
from splitbench.datasets.formats.categories import plain
from splitbench.datasets.formats.detection_dataset import DetectionDataset

__all__ = ["Detector", "is_detector"]

_PROTOCOL = ("categories", "prepare", "detections")


def is_detector(model: nn.Module) -> bool:
    """Return whether a model is a detector, torchvision's or one that follows the protocol.

    Raises:
        UserError: it follows only a part of the protocol.
    """
    missing = [name for name in _PROTOCOL if not hasattr(model, name)]
    if is_torchvisions(model):
        missing = [name for name in missing if name == "categories"]
    if missing and (is_torchvisions(model) or "detections" not in missing):
        raise UserError(f"{type(model).__name__} lacks {' and '.join(missing)} to be a detector")
    if not missing:
        _check_names(model)
    return not missing


def _check_names(model: nn.Module) -> None:
    names, count = tuple(getattr(model, "category_names", ())), len(cast(Any, model).categories)
    words = [plain(name) for name in names if name]
    if names and (len(names) != count or len({*words}) != len(words)):
        raise UserError(
            f"{type(model).__name__}.category_names must be {count} different names, one for each of `categories`"
        )


@dataclass(frozen=True)
class Detector:
    """A backbone that finds boxes. It is given images of any size; batches are lists of uint8 tensors (3, H, W).

    The images' sizes are sent along: ``head(images)`` returns the cut's tensors, then each image's height and
    width, then further integers that follow from the network's input size.
    """

    name: str
    model: nn.Module
    weights: str
    warnings: tuple[str, ...] = ()
    _shapes: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False)

    @property
    def categories(self) -> tuple[int, ...]:
        """The category ids that it distinguishes."""
        return tuple(int(category) for category in cast(Any, self.model).categories)

    @property
    def category_names(self) -> dict[int, str]:
        """Category ids to names; names are empty where the model has none."""
        names = getattr(self.model, "category_names", ()) or ("",) * len(self.categories)
        return dict(zip(self.categories, names, strict=True))

    @property
    def has_loss(self) -> bool:
        """Torchvision's detectors return losses; the protocol of user detectors requires none."""
        return is_torchvisions(self.model)

    @property
    def recipe(self) -> dict[str, Any]:
        """Nothing: a detector resizes and normalizes images itself."""
        return {}

    @property
    def input(self) -> str:
        """The detector's resizing."""
        return self._network.input

    @property
    def _network(self) -> DetectorNetwork:
        return TorchvisionNetwork(self.model) if is_torchvisions(self.model) else UserNetwork(self.model)

    def pixels(self, image: Image.Image) -> Tensor:
        """Return the whole image: uint8, (3, H, W)."""
        pixels: Tensor = F.pil_to_tensor(image)
        return pixels

    def group(self, dataset: Dataset, index: int) -> Hashable:
        """Return the shape of the network's input for this image."""
        return self._shape(cast(DetectionDataset, dataset).size(index))

    def _shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        if size not in self._shapes:
            self._shapes[size] = self._network.shape(size)
        return self._shapes[size]

    def together(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return a list: the images of a batch may differ in size."""
        return list(images)

    def alike(self, images: Sequence[Tensor]) -> list[list[int]]:
        """Return those whose inputs have one shape; torchvision's detectors pad."""
        if is_torchvisions(self.model):
            return [list(range(len(images)))]
        places: dict[tuple[int, ...], list[int]] = {}
        for place, pixels in enumerate(images):
            places.setdefault(self._shape((pixels.shape[-2], pixels.shape[-1])), []).append(place)
        return list(places.values())

    def whole(self) -> nn.Module:
        """Images to detections, one dict of ``boxes``, ``labels`` and ``scores`` each."""
        return self._network.whole()

    def split(self, at: str, example: Sequence[Tensor]) -> SplitModel:
        """Cut the detector: the head takes images, the tail returns detections.

        At ``input`` the images cross as they are, at ``output`` the boxes: three tensors with room for the most boxes
        that the detector can find, unused rows marked by a score of -1.

        Raises:
            UserError: Unknown split point, or the detector cannot be cut there.
        """
        if at == "input":
            images, tail = ImagesHead(), ImagesTail(self.whole())
            return SplitModel.from_example(
                images, tail, images(example), at=at, roles=(at,), sends_sizes=True, image_by_image=True
            )
        if at == "output":
            boxes = BoxesHead(self.whole(), self._network.most)
            return SplitModel.from_example(boxes, BoxesTail(), boxes(example), at=at, roles=BOX_ROLES)
        return self._network.split(at, example)

    def example(self, images: Sequence[Image.Image] = ()) -> Any:
        """Return what the model itself is given of some images; noise for none."""
        return self._network.example([self.pixels(image) for image in images])
