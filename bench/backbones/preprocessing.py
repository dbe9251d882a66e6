"""From a decoded image to the network's input: resize and crop on uint8 pixels, then normalize on the device.

The two steps are kept apart because images are compressed, cached and counted as pixels; normalizing belongs to the
head. Together they equal torchvision's ``ImageClassification`` presets and timm's evaluation transforms exactly.
"""

from typing import Annotated, Any, Literal

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
Resolution = Literal["test", "train"]
Triple = tuple[float, float, float]
Share = Annotated[float, Field(ge=0, le=1)]
"""Of the brightest value: pixels are taken as 0 to 1."""


class Preprocessing(BaseModel):
    """``resize``: the shorter side, or (height, width), or None; ``crop``: the centre's side or (height, width).

    Where the shorter side is given, the longer one comes out ``truncated`` to an integer, as in torchvision and timm,
    or ``rounded``: published scores of other sources may rest on that pixel. ``fit`` says what becomes of an image's
    ratio where (height, width) are given: ``squash`` leaves it, ``cover`` keeps it and reaches at least both,
    ``contain`` keeps it and reaches at most both, so that the crop is padded with the mean colour.

    Timm names a second, larger size for some weights. ``resolution: test`` takes that one, as its published accuracies
    do, ``train`` the one of the training; for all other models there is only ``test``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    longer: Literal["truncated", "rounded"] = "truncated"
    fit: Literal["squash", "cover", "contain"] = "squash"
    interpolation: Interpolation = "bilinear"
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    resolution: Resolution = "test"

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields that pixels follow from: a part of a cell's key. ``fit`` is left out where it changes nothing."""
        left_out = {"resolution"} if self._fits else {"resolution", "fit"}
        return self.model_dump(mode="json", exclude=left_out)

    @property
    def size(self) -> tuple[int, int] | None:
        """The height and width that all images come out at; None where they differ."""
        if self.crop is not None:
            return _pair(self.crop)
        return self.resize if isinstance(self.resize, tuple) and not self._fits else None

    @property
    def one_size(self) -> bool:
        """Whether all images come out at the same size."""
        return self.size is not None

    @property
    def has_border(self) -> bool:
        """Whether the crop is larger than what it is cut from, so that every image gets a black border."""
        if self.resize is None or self.crop is None or self._contains:
            return False
        return any(crop > side for crop, side in zip(_pair(self.crop), _pair(self.resize), strict=True))

    @property
    def _fits(self) -> bool:
        return self.fit != "squash" and isinstance(self.resize, tuple)

    @property
    def _contains(self) -> bool:
        return self.fit == "contain" and self._fits

    def __str__(self) -> str:
        """As a row names it: ``3x224x224, resize 256, bilinear``."""
        size = "HxW" if self.size is None else _size(self.size)
        if self.resize is None:
            return f"3x{size}, not resized"
        longer = ", longer side rounded" if self.longer == "rounded" and isinstance(self.resize, int) else ""
        fit = f" ({self.fit})" if self._fits else ""
        return f"3x{size}, resize {_size(self.resize)}{fit}{longer}, {self.interpolation}"

    def pixels(self, image: Image.Image) -> Tensor:
        """Return the network's input as pixels: uint8, (3, H, W)."""
        if self.resize is not None:
            image = F.resize(image, self._size_of(image), InterpolationMode(self.interpolation))
        if self.crop is not None:
            image = F.center_crop(self._padded(image, _pair(self.crop)), list(_pair(self.crop)))
        pixels: Tensor = F.pil_to_tensor(image)
        return pixels

    def _size_of(self, image: Image.Image) -> int | list[int]:
        """Return what an image is resized to: its shorter side, or height and width."""
        if isinstance(self.resize, int):
            if self.longer == "truncated":
                return self.resize
            scale = self.resize / min(image.size)
            return [round(image.height * scale), round(image.width * scale)]
        height, width = self.resize or (image.height, image.width)
        if self.fit == "squash":
            return [height, width]
        ratios = image.height / height, image.width / width
        ratio = min(ratios) if self.fit == "cover" else max(ratios)
        return [round(image.height / ratio), round(image.width / ratio)]

    def _padded(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Fill up with the mean colour where the image was to be contained."""
        height, width = (max(0, side - length) for side, length in zip(size, (image.height, image.width), strict=True))
        if not self._contains or not (height or width):
            return image
        border = [width // 2, height // 2, (width + 1) // 2, (height + 1) // 2]
        padded: Image.Image = F.pad(image, border, fill=tuple(round(255 * share) for share in self.mean))
        return padded

    def changed(self, overrides: dict[str, Any]) -> "Preprocessing":
        """Return the same with some fields replaced, and checked again."""
        return Preprocessing.model_validate(self.model_dump() | overrides)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _size(size: int | tuple[int, int]) -> str:
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


class Normalize(nn.Module):
    """uint8 pixels (B, 3, H, W) to float32, (x / 255 - mean) / std. The first step of every head."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Triple, std: Triple) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        return (pixels.float() / 255).sub_(self.mean).div_(self.std)
