"""Small data in COCO's format, and small detectors, for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.helpers.photographs import write_photographs

SIZES = ((80, 96), (80, 96), (70, 90), (80, 96), (64, 64), (70, 90))
"""(height, width) of the images."""


def write_coco(root: Path, part: str = "val2017", first: int = 0, **changes: Any) -> Path:
    """Photographs with boxes around nothing in particular, of the categories 1, 3 and 90; returns the JSON file."""
    from PIL import Image

    folder = root / "images" / part
    images, boxes = [], []
    for index, (height, width) in enumerate(SIZES):
        (file,) = write_photographs(folder, 1, first + index)
        with Image.open(file) as picture:
            picture.convert("RGB").resize((width, height)).save(folder / f"{first + index:012d}.jpg", quality=95)
        file.unlink()
        name = f"{first + index:012d}.jpg"
        images.append({"id": first + index, "file_name": name, "height": height, "width": width})
    for number, (image, category, bbox, crowd) in enumerate(
        [
            (0, 1, [10, 10, 30, 30], 0),
            (0, 3, [50, 40, 20, 20], 0),
            (1, 1, [5, 5, 40, 60], 0),
            (2, 90, [20, 20, 30, 30], 0),
            (3, 3, [0, 0, 96, 80], 1),
            (5, 1, [40, 10, 10, 50], 0),
        ]
    ):
        box = {"id": number + 1, "image_id": first + image, "category_id": category, "bbox": bbox, "iscrowd": crowd}
        boxes.append(box | {"area": bbox[2] * bbox[3]})
    content = {"images": images, "annotations": boxes, "categories": [{"id": i} for i in (1, 3, 90)]} | changes
    file = root / "annotations" / f"instances_{part}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


class Squares(nn.Module):
    """A user's detector, with weights that never change: a grid of cells, each a box of two categories."""

    categories: ClassVar[tuple[int, ...]] = (1, 3, 90)
    most: ClassVar[int] = 40
    side: ClassVar[int] = 32

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.scores = nn.Conv2d(8, 3, 1)
        self.shifts = nn.Conv2d(8, 4, 1)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4

    def prepare(self, image: Tensor) -> Tensor:
        """The longer side becomes 32 pixels, what is missing is black."""
        height, width = image.shape[-2:]
        scale = self.side / max(height, width)
        size = [round(height * scale), round(width * scale)]
        small = nn.functional.interpolate(image[None].float() / 255, size, mode="bilinear")[0]
        return nn.functional.pad(small, (0, self.side - size[1], 0, self.side - size[0]))

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 32, 32) to scores (B, 3, 8, 8) and shifts (B, 4, 8, 8)."""
        x = self.stem(batch)
        x = self.body(x)
        return self.scores(x).sigmoid(), self.shifts(x)

    def detections(self, raw: tuple[Tensor, Tensor], sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """The 40 likeliest cells."""
        result = []
        for scores, shifts, (height, width) in zip(*raw, sizes, strict=True):
            best = scores.flatten().topk(self.most)
            high, wide = scores.shape[-2:]
            label, cell = best.indices // (high * wide), best.indices % (high * wide)
            corner = torch.stack([cell % wide, cell // wide], 1) * 4.0
            moved = shifts.flatten(1).T[cell]
            corners = torch.cat([corner + moved[:, :2], corner + 6 + moved[:, 2:].abs()], 1)
            limits = torch.tensor([width, height] * 2)
            boxes = (corners * max(height, width) / self.side).clamp(min=0).minimum(limits)
            result.append({"boxes": boxes, "labels": torch.tensor(self.categories)[label], "scores": best.values})
        return result


class NamedSquares(Squares):
    """The same, and it says what its categories are."""

    category_names: ClassVar[tuple[str, ...]] = ("person", "car", "hair drier")


def annotate_by_detections(file: Path) -> None:
    """Replace all boxes of a file that :func:`write_coco` wrote by every third of what ``Squares`` finds."""
    content = json.loads(file.read_text())
    folder = file.parents[1] / "images" / file.stem.removeprefix("instances_")
    boxes: list[dict[str, Any]] = []
    for image in content["images"]:
        from PIL import Image
        from torchvision.transforms.functional import pil_to_tensor

        model, size = Squares(), (image["height"], image["width"])
        pixels = pil_to_tensor(Image.open(folder / image["file_name"]).convert("RGB"))
        (result,) = model.detections(model(model.prepare(pixels)[None]), [size])
        for (left, top, right, bottom), label in zip(result["boxes"][::3].tolist(), result["labels"][::3], strict=True):
            if right > left and bottom > top:
                bbox = [left, top, right - left, bottom - top]
                box = {"image_id": image["id"], "category_id": int(label), "bbox": bbox, "iscrowd": 0}
                boxes.append(box | {"id": len(boxes) + 1, "area": bbox[2] * bbox[3]})
    file.write_text(json.dumps(content | {"annotations": boxes}))


class Strips(Squares):
    """The same without the black: images of other proportions make inputs of other shapes."""

    def prepare(self, image: Tensor) -> Tensor:
        """The longer side becomes 32 pixels, the other a multiple of 8."""
        height, width = image.shape[-2:]
        scale = self.side / max(height, width)
        size = [max(8, 8 * round(height * scale / 8)), max(8, 8 * round(width * scale / 8))]
        return nn.functional.interpolate(image[None].float() / 255, size, mode="bilinear")[0]


class Unsure(Squares):
    """Forgets the scores."""

    def detections(self, raw: tuple[Tensor, Tensor], sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Boxes and labels alone."""
        return [{name: item[name] for name in ("boxes", "labels")} for item in super().detections(raw, sizes)]


def unsure() -> Unsure:
    """For import paths."""
    return Unsure()


def strips() -> Strips:
    """For import paths."""
    return Strips()


def named_squares() -> NamedSquares:
    """For import paths."""
    return NamedSquares()


def squares() -> Squares:
    """For import paths."""
    return Squares()
