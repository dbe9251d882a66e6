"""Classifiers as backbones: preprocessing brings every image to one size, the head begins with normalizing."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from splitbench.bench.backbones.preprocessing import Normalize, Preprocessing
from splitbench.bench.backbones.trivial_splits import WholeHead
from splitbench.bench.split import SplitModel, default_example, split
from splitbench.datasets.base import Dataset


@dataclass(frozen=True)
class Classifier:
    """A classifier as a backbone, with its preprocessing."""

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    weights: str
    warnings: tuple[str, ...] = ()

    has_loss: ClassVar[bool] = True
    category_names: ClassVar[Mapping[int, str]] = {}

    @property
    def recipe(self) -> dict[str, Any]:
        """The preprocessing's fields."""
        return self.preprocessing.recipe

    @property
    def input(self) -> str:
        """Size, resizing and interpolation of the preprocessing."""
        return str(self.preprocessing)

    def pixels(self, image: Image.Image) -> Tensor:
        """Return the network's input, resized and cropped, not yet normalized: uint8, (3, H, W)."""
        return self.preprocessing.pixels(image)

    def group(self, dataset: Dataset, index: int) -> Hashable:
        """Batch all images together."""
        return None

    def together(self, images: Sequence[Tensor]) -> Tensor:
        """Stacked: (B, 3, H, W)."""
        return torch.stack(list(images))

    def alike(self, images: Sequence[Tensor]) -> list[list[int]]:
        """All."""
        return [list(range(len(images)))]

    def whole(self) -> nn.Module:
        """Pixels (uint8, (B, 3, H, W)) to scores (B, classes)."""
        return nn.Sequential(Normalize(self.preprocessing.mean, self.preprocessing.std), self.model)

    def split(self, at: str, example: Any) -> SplitModel:
        """Cut the model: the head takes pixels, the tail returns scores (B, classes).

        Args:
            at: The split point.
            example: A small batch of pixels, (B, 3, H, W).

        Raises:
            UserError: Unknown split point.
        """
        normalize = Normalize(self.preprocessing.mean, self.preprocessing.std).to(example.device)
        if at == "output":
            head = WholeHead(self.whole().to(example.device))
            return SplitModel.from_example(head, nn.Identity(), head(example), at=at, roles=(at,))
        if at == "input":
            return split(nn.Sequential(normalize, self.model), at, example)
        image = normalize(example)
        inner = split(self.model, at, image)
        return replace(inner, head=_Normalized(normalize, inner.head), image=tuple(image.shape[1:]))

    def example(self, images: Sequence[Image.Image] = ()) -> Tensor:
        """Return what the model itself is given of some images, normalized; noise of their size for none."""
        if not images:
            noise, size = default_example(self.model), self.preprocessing.size
            if size is None or size == noise.shape[-2:]:
                return noise
            generator = torch.Generator().manual_seed(0)
            return torch.randn(*noise.shape[:2], *size, generator=generator).to(noise)
        batch: Tensor = Normalize(self.preprocessing.mean, self.preprocessing.std)(
            self.together([self.pixels(image) for image in images])
        )
        return batch


class _Normalized(nn.Module):
    """A head that begins with pixels."""

    def __init__(self, normalize: Normalize, head: nn.Module) -> None:
        super().__init__()
        self.normalize = normalize
        self.head = head

    def forward(self, pixels: Tensor) -> tuple[Any, ...]:
        """Map pixels to what crosses the split point."""
        out: tuple[Any, ...] = self.head(self.normalize(pixels))
        return out
