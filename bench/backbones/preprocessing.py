"""From a decoded picture to the network's input: resize and crop on uint8 pixels, then normalize on the device.

The two steps are kept apart because pictures are compressed, cached and counted as pixels; normalizing belongs to the
head. Together they equal torchvision's ``ImageClassification`` presets and timm's evaluation transforms exactly.
"""

from typing import Annotated, Any, Literal

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Triple = tuple[float, float, float]
Share = Annotated[float, Field(ge=0, le=1)]
"""Of the brightest value: pixels are taken as 0 to 1."""


class Preprocessing(BaseModel):
    """``resize``: the shorter side, or (height, width), or None; ``crop``: the centre's side or (height, width).

    Where the shorter side is given, the longer one comes out ``truncated`` to an integer, as in torchvision and timm,
    or ``rounded``: published scores of other sources may rest on that pixel.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    longer: Literal["truncated", "rounded"] = "truncated"
    interpolation: Interpolation = "bilinear"
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    @property
    def size(self) -> tuple[int, int] | None:
        """The height and width that all pictures come out at; None where they differ."""
        if self.crop is not None:
            return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        return self.resize if isinstance(self.resize, tuple) else None

    @property
    def one_size(self) -> bool:
        """Whether all pictures come out at the same size."""
        return self.size is not None

    def pixels(self, image: Image.Image) -> Tensor:
        """The network's input as pixels: uint8, (3, H, W)."""
        if self.resize is not None:
            image = F.resize(image, self._size(image), InterpolationMode(self.interpolation))
        if self.crop is not None:
            image = F.center_crop(image, self.crop if isinstance(self.crop, int) else list(self.crop))
        pixels: Tensor = F.pil_to_tensor(image)
        return pixels

    def _size(self, image: Image.Image) -> int | list[int]:
        if not isinstance(self.resize, int):
            return list(self.resize or ())
        if self.longer == "truncated":
            return self.resize
        scale = self.resize / min(image.size)
        return [round(image.height * scale), round(image.width * scale)]

    def changed(self, overrides: dict[str, Any]) -> "Preprocessing":
        """The same with some fields replaced, and checked again."""
        return Preprocessing.model_validate(self.model_dump() | overrides)


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
