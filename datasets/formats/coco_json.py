"""Read and check a file of annotations in COCO's format."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from splitbench.datasets.base import DataError, named
from splitbench.datasets.formats.detection_dataset import Box

T = TypeVar("T")


class JsonFile(Protocol):
    """A text file, in a folder or in an archive."""

    @property
    def name(self) -> str:
        """Without the folder."""
        ...

    def stat(self) -> os.stat_result:
        """Return what changes where the file does."""
        ...

    def read_text(self, encoding: str) -> str:
        """Return the text."""
        ...

    def read_bytes(self) -> bytes:
        """Return the content."""
        ...

    def __hash__(self) -> int: ...


_SLACK = 1.0  # pixels by which COCO's own boxes leave their images


@dataclass(frozen=True)
class AnnotatedImage:
    """One image as annotated: COCO's id, file name, height and width."""

    id: int
    file: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Annotations:
    """What a file holds. ``boxes`` are pairs of image id and box; ``categories`` are ids with names, "" for none."""

    images: Sequence[AnnotatedImage]
    boxes: Sequence[tuple[int, Box]]
    categories: Mapping[int, str]


@dataclass(frozen=True)
class _Annotation:
    id: str
    image: int
    box: Box

    def __str__(self) -> str:
        return f"image {self.image} (annotation {self.id})"


def read(file: JsonFile, drop: bool = False) -> Annotations:
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
def _read(file: JsonFile, drop: bool, identity: tuple[int, int]) -> Annotations:
    content = _content(file)
    images = _parse_all(file, content["images"], _parse_image, _format_image)
    entries = _parse_all(file, content["annotations"], _parse_annotation, _format_annotation)
    named_categories = _parse_all(file, content["categories"], _parse_category, lambda entry: f"category {entry['id']}")
    if not images or not entries:
        raise DataError(f"{file} lists {len(images)} images and {len(entries)} boxes: there is nothing to measure")
    corners = [(left + width, top + height) for left, top, width, height in (entry.box["bbox"] for entry in entries)]
    if max(map(max, corners)) <= 1:
        raise DataError(
            f"{file}: no box reaches beyond the first pixel; boxes are in pixels, not in shares of an image"
        )
    known = {image.id: image.size for image in images}
    categories = dict(sorted(named_categories))
    faults = [
        _fault("image ids come twice", _repeated(image.id for image in images)),
        _fault("image files come twice", _repeated(image.file for image in images)),
        _fault("annotation ids come twice", _repeated(entry.id for entry in entries)),
        _fault("category ids come twice", _repeated(category for category, _ in named_categories)),
        _fault(
            "boxes are of images that it does not list,",
            [f"image {entry.image} (annotation {entry.id})" for entry in entries if entry.image not in known],
        ),
        _fault(
            "boxes are of categories that it does not list,",
            [
                f"category {entry.box['category_id']} ({entry})"
                for entry in entries
                if entry.box["category_id"] not in categories
            ],
        ),
    ]
    flat = [entry for entry in entries if min(entry.box["bbox"][2:]) <= 0]
    outside = [entry for entry in entries if entry.image in known and not _inside(entry.box, known[entry.image])]
    if not drop:
        faults.append(_fault("boxes have no width or height (`faulty: drop` leaves them out), in", flat))
        faults.append(_fault("boxes lie outside their image (`faulty: drop` leaves them out), in", outside))
    if any(faults):
        raise DataError(f"{file} has faults: {'; '.join(filter(None, faults))}")
    good = [entry for entry in entries if min(entry.box["bbox"][2:]) > 0 and _inside(entry.box, known[entry.image])]
    return Annotations(images, [(entry.image, entry.box) for entry in good], categories)


def _content(file: JsonFile) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"), object_hook=_without_outline)
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


def _parse_all(
    file: JsonFile, entries: Sequence[Any], make: Callable[[Any], T], format_name: Callable[[Any], str]
) -> list[T]:
    """Parse every entry by ``make``. Raises DataError with how many are not in COCO's format, and the first few."""
    made, faults = [], []
    for number, entry in enumerate(entries):
        try:
            made.append(make(entry))
        except _FormatError as error:
            try:
                name = format_name(entry)
            except (KeyError, TypeError):  # what it is called is missing, too
                name = f"number {number} of its list"
            faults.append(f"{name}: {error}")
    if faults:
        examples = "; ".join(faults[:3]) + ("; ..." if len(faults) > 3 else "")
        entry_or_entries = "entry is" if len(faults) == 1 else "entries are"
        raise DataError(f"{file}: {len(faults)} {entry_or_entries} not in COCO's format: {examples}")
    return made


class _FormatError(Exception):
    """A value that is none; the message says which and what was expected."""


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """Outlines of objects are most of a file, and boxes need none."""
    entry.pop("segmentation", None)
    return entry


def _get(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _format_image(entry: dict[str, Any]) -> str:
    return f"image {entry['id']}"


def _format_annotation(entry: dict[str, Any]) -> str:
    return f"annotation {entry['id']} of image {entry['image_id']}"


def _parse_image(entry: Any) -> AnnotatedImage:
    file = _value(entry, "file_name")
    if not isinstance(file, str) or not file:
        raise _FormatError(f"`file_name` is {_shorten(file)}, not a name")
    height, width = _whole(entry, "height"), _whole(entry, "width")
    if min(height, width) < 1:
        raise _FormatError(f"it is {width} x {height} pixels")
    return AnnotatedImage(_whole(entry, "id"), file, (height, width))


def _parse_annotation(entry: Any) -> _Annotation:
    return _Annotation(str(_value(entry, "id")), _whole(entry, "image_id"), _parse_box(entry))


def _parse_category(entry: Any) -> tuple[int, str]:
    name = entry.get("name") if isinstance(entry, dict) else None
    return _whole(entry, "id"), name if isinstance(name, str) else ""


def _parse_box(entry: dict[str, Any]) -> Box:
    bbox = _value(entry, "bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise _FormatError(f"`bbox` is {_shorten(bbox)}, not [left, top, width, height]")
    left, top, width, height = (_number("one side of `bbox`", side) for side in bbox)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise _FormatError(f"`iscrowd` is {_shorten(crowd)}, not 0 or 1")
    area = _number("`area`", entry["area"]) if "area" in entry else width * height
    if not math.isfinite(area):
        raise _FormatError(f"`area` is {area}, no finite number")
    return {
        "category_id": _whole(entry, "category_id"),
        "bbox": (left, top, width, height),
        "area": area,
        "iscrowd": int(crowd),
    }


def _value(entry: Any, key: str) -> Any:
    if not isinstance(entry, dict):
        raise _FormatError(f"it is {_shorten(entry)}, not an object with keys")
    if key not in entry:
        raise _FormatError(f"it has no `{key}`")
    return entry[key]


def _whole(entry: Any, key: str) -> int:
    """Return a whole number; as a text of digits, or with a fraction of zero, it is one, too."""
    value = _value(entry, key)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole or (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and value.isdecimal()):
        return int(value)
    raise _FormatError(f"`{key}` is {_shorten(value)}, not a whole number")


def _number(what: str, value: Any) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    raise _FormatError(f"{what} is {_shorten(value)}, not a number of pixels")


def _shorten(value: Any) -> str:
    """Return a value as the file has it, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _inside(box: Box, size: tuple[int, int]) -> bool:
    left, top, width, height = box["bbox"]
    return min(left, top) >= -_SLACK and top + height <= size[0] + _SLACK and left + width <= size[1] + _SLACK


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _fault(what: str, things: Sequence[Any]) -> str:
    return f"{len(things)} {what} {named(things)}" if things else ""
