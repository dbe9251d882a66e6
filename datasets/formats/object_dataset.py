"""Any dataset object for classification as a dataset here: torchvision's, Hugging Face's, anything with items.

    # my_data.py; in a sweep: datasets: [{name: "my_data:DATASET", limit: 500}]
    from torchvision.datasets import Flowers102
    from splitbench.datasets import ObjectDataset

    DATASET = ObjectDataset(lambda: Flowers102("data", "test"), train=lambda: Flowers102("data", "train"))

An item is a pair of an image and a class index, as torchvision's are, or a mapping, as Hugging Face's are. An image is
one of PIL's, or an array or tensor of 8-bit values or of numbers from 0 to 1, (H, W, 3), (3, H, W) or (H, W).
"""

import hashlib
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import DataError, Dataset, ImageError, Subset


class Items(Protocol):
    """What is adapted: items by index, the same each time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Options(base.Options):
    """``limit``: a random subset of that many images, the same for the same ``seed``."""

    limit: int | None = Field(default=None, ge=1)
    seed: int = 0


class ObjectDataset:
    """A dataset for classification, made of dataset objects; it follows ``DatasetKind``.

    Args:
        evaluation: Returns the images to evaluate on; called when they are needed.
        train: Returns the images to train on, and to calibrate on where ``calibration`` does not.
        calibration: Returns the images to calibrate on.
        classes: How many classes there are; by default what the object says, else the largest label and one more.
        image: Where items are mappings, the key of the image.
        label: Where items are mappings, the key of the class index.
    """

    task: ClassVar[str] = "classification"
    Options: ClassVar[type[base.Options]] = Options

    def __init__(
        self,
        evaluation: Callable[[], Items],
        *,
        train: Callable[[], Items] | None = None,
        calibration: Callable[[], Items] | None = None,
        classes: int | None = None,
        image: str = "image",
        label: str = "label",
    ) -> None:
        self._open: dict[Subset, Callable[[], Items] | None] = {
            "evaluation": evaluation,
            "train": train,
            "calibration": calibration or train,
        }
        self._classes, self._image, self._label = classes, image, label

    def load(self, options: Any, subset: Subset) -> Dataset:
        """Open the objects of a subset. Raises DataError where there are none, or no labelled images in them."""
        open_items = self._open[subset]
        if open_items is None:
            raise DataError(f"there are no {subset} images: give ObjectDataset `{subset}=...`")
        items = open_items()
        indices = range(len(items))
        if options.limit is not None and options.limit < len(indices):
            chosen = sorted(random.Random(options.seed).sample(indices, options.limit))
        else:
            chosen = [*indices]
        name = "train" if open_items is self._open["train"] else subset
        opened = _Objects(items, tuple(chosen), name, self._image, self._label, self._classes or _classes_of(items))
        if chosen:
            opened.image(0)
            opened.target(0)
        return opened


def _classes_of(items: Any) -> int | None:
    """Return how many classes an object says that there are: torchvision's ``classes``, Hugging Face's features."""
    names = getattr(items, "classes", None)
    if names is not None:
        return len(names)
    features = getattr(items, "features", None)
    counts = [getattr(one, "num_classes", None) for one in features.values()] if isinstance(features, Mapping) else []
    return next((count for count in counts if count is not None), None)


@dataclass(frozen=True)
class _Objects:
    """The chosen items of an object; ``known_classes`` is None where the labels must be looked at.

    Threads take items one at a time: an object may read from one file, or draw from the one generator of its library.
    """

    items: Items
    indices: tuple[int, ...]
    name: str
    image_key: str
    label_key: str
    known_classes: int | None
    task: str = "classification"
    global_ids: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def ids(self) -> tuple[str, ...]:
        """The subset and the index in the object."""
        return tuple(f"{self.name}-{index}" for index in self.indices)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.known_classes or 1 + max(map(self.target, range(len(self))), default=0)

    def image(self, index: int) -> Image.Image:
        """Return the image as RGB. Raises ImageError where it is none."""
        place = f"item {self.indices[index]} of {type(self.items).__name__}"
        try:
            value = self._item(index)[0]
        except DataError:
            raise
        except Exception as error:  # whatever the object raises
            raise ImageError(f"{place} cannot be read ({error!r})") from error
        if isinstance(value, Image.Image):
            return value.convert("RGB")
        return Image.fromarray(_pixels(value, place)).convert("RGB")

    def target(self, index: int) -> int:
        """Return the class index."""
        label = self._item(index)[1]
        try:
            return int(label)
        except (TypeError, ValueError):
            raise DataError(
                f"the label {label!r} of item {self.indices[index]} is no class index (0, 1, ...)"
            ) from None

    def content(self, index: int) -> str:
        """Of the pixels."""
        return self._digest(index, "")

    def digest(self, index: int) -> str:
        """Of the pixels and the label."""
        return self._digest(index, f" {self.target(index)}")

    def _digest(self, index: int, label: str) -> str:
        image = self.image(index)
        return hashlib.sha256(f"{image.size}{label}".encode() + image.tobytes()).hexdigest()[:16]

    def _item(self, index: int) -> tuple[Any, Any]:
        with self.lock:
            item = self.items[self.indices[index]]
        if isinstance(item, Mapping):
            missing = [key for key in (self.image_key, self.label_key) if key not in item]
            if missing:
                raise DataError(
                    f"items of {type(self.items).__name__} have no {missing[0]!r}, but {', '.join(map(str, item))}: "
                    "name the keys by ObjectDataset(..., image=..., label=...)"
                )
            return item[self.image_key], item[self.label_key]
        if isinstance(item, tuple | list) and len(item) > 1:
            return item[0], item[1]
        raise DataError(f"items of {type(self.items).__name__} are no pairs of an image and a label, nor mappings")


def _pixels(value: Any, place: str) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return an array or tensor as (H, W, 3) or (H, W) in 8 bits. Raises ImageError for anything else."""
    array = np.asarray(value)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] not in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3):
        raise ImageError(f"{place} is no picture: {type(value).__name__} of shape {tuple(array.shape)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f" or not (array.min() >= 0 and array.max() <= 1):
        raise ImageError(
            f"{place} holds {array.dtype} values from {array.min()} to {array.max()}, and a picture's are 8-bit, or "
            "from 0 to 1: leave the transform out, as the backbone's preprocessing is applied here"
        )
    return np.ascontiguousarray((array * 255).round().astype(np.uint8))
