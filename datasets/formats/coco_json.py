"""Reads and checks a file of annotations in COCO's format."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from splitbench.datasets.base import DataError, named
from splitbench.datasets.formats.boxes import Box

T = TypeVar("T")

_SLACK = 1.0  # pixels by which COCO's own boxes leave their images


@dataclass(frozen=True)
class Picture:
    """One image as annotated: COCO's id, file name, height and width."""

    id: int
    file: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Annotations:
    """What a file holds. ``boxes`` are pairs of image id and box."""

    pictures: Sequence[Picture]
    boxes: Sequence[tuple[int, Box]]
    categories: Sequence[int]


def read(file: Path, drop: bool = False) -> Annotations:
    """Read a file of annotations and check all of it.

    ``drop`` leaves out boxes without a width or height and boxes outside their image, which are refused otherwise.

    Raises:
        DataError: not JSON, not annotations, or faults, each kind with its count: ids that come twice, boxes of images
            or categories that the file does not list, boxes without a width or height, and boxes outside their image.
    """
    try:
        about = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None
    return _read(file, drop, (about.st_size, about.st_mtime_ns))


@lru_cache(maxsize=1)  # calibration and training take theirs from the same file, which takes half a minute for COCO's
def _read(file: Path, drop: bool, identity: tuple[int, int]) -> Annotations:
    content = _content(file)
    pictures = _made(file, content, "images", _picture)
    boxes = _made(file, content, "annotations", lambda entry: (int(entry["image_id"]), _box(entry)))
    numbers = _made(file, content, "annotations", lambda entry: str(entry["id"]))
    categories = sorted(_made(file, content, "categories", lambda entry: int(entry["id"])))
    if not pictures or not boxes:
        raise DataError(f"{file} lists {len(pictures)} images and {len(boxes)} boxes: there is nothing to measure")
    if max(max(left + width, top + height) for left, top, width, height in (box["bbox"] for _, box in boxes)) <= 1:
        raise DataError(
            f"{file}: no box reaches beyond the first pixel; boxes are in pixels, not in shares of a picture"
        )
    known = {picture.id: picture.size for picture in pictures}
    listed = set(categories)
    faults = [
        _fault("image ids come twice", _repeated(picture.id for picture in pictures)),
        _fault("image files come twice", _repeated(picture.file for picture in pictures)),
        _fault("annotation ids come twice", _repeated(numbers)),
        _fault("category ids come twice", _repeated(categories)),
        _fault("boxes are of images that it does not list, image", [i for i, _ in boxes if i not in known]),
        _fault(
            "boxes are of categories that it does not list, category",
            [box["category_id"] for _, box in boxes if box["category_id"] not in listed],
        ),
    ]
    flat = [i for i, box in boxes if min(box["bbox"][2:]) <= 0]
    outside = [i for i, box in boxes if i in known and not _inside(box, known[i])]
    if not drop:
        faults.append(_fault("boxes have no width or height (`faulty: drop` leaves them out), in image", flat))
        faults.append(_fault("boxes lie outside their image (`faulty: drop` leaves them out), in image", outside))
    if any(faults):
        raise DataError(f"{file} has faults: {'; '.join(filter(None, faults))}")
    good = [(i, box) for i, box in boxes if min(box["bbox"][2:]) > 0 and _inside(box, known[i])]
    return Annotations(pictures, good, categories)


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_hook=_without_outline)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        empty = file.stat().st_size == 0
        raise DataError(f"{file} is {'empty' if empty else f'not JSON ({error})'}") from None
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(_get(content, key), list)]
    if missing:
        raise DataError(f"{file} is no file of annotations in COCO's format: it has no list of {' and '.join(missing)}")
    result: dict[str, Any] = content
    return result


def _made(file: Path, content: dict[str, Any], kind: str, make: Callable[[Any], T]) -> list[T]:
    """Every entry of a kind, as ``make`` makes it. Raises DataError for the first one that is none."""
    made = []
    for number, entry in enumerate(content[kind]):
        try:
            made.append(make(entry))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            missing = isinstance(error, KeyError)
            what = f"it has no {error.args[0]!r}" if missing else f"{type(error).__name__}: {error}"
            raise DataError(f"{file}: number {number} of `{kind}` is not in COCO's format ({what})") from None
    return made


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """Outlines of objects are most of a file, and boxes need none."""
    entry.pop("segmentation", None)
    return entry


def _get(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _picture(entry: dict[str, Any]) -> Picture:
    return Picture(int(entry["id"]), str(entry["file_name"]), (int(entry["height"]), int(entry["width"])))


def _box(entry: dict[str, Any]) -> Box:
    left, top, width, height = map(float, entry["bbox"])
    return {
        "category_id": int(entry["category_id"]),
        "bbox": (left, top, width, height),
        "area": _finite(entry.get("area", width * height)),
        "iscrowd": int(entry.get("iscrowd", 0)),
    }


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no finite number")
    return number


def _inside(box: Box, size: tuple[int, int]) -> bool:
    left, top, width, height = box["bbox"]
    return min(left, top) >= -_SLACK and top + height <= size[0] + _SLACK and left + width <= size[1] + _SLACK


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _fault(what: str, things: Sequence[Any]) -> str:
    return f"{len(things)} {what} {named(things)}" if things else ""
