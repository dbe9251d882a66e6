"""The archives of COCO and CIFAR-10: names, sizes, digests, and the items to extract.

Sizes and SHA-256 are those that several independent public projects pin for the same addresses. COCO's server speaks
plain HTTP, so only the digests guard against files changed in transit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Downloadable = Literal["coco", "cifar10"]


@dataclass(frozen=True)
class Item:
    """A file, or a folder of ``files`` files, at ``path`` in an archive and below the data folder.

    ``bytes`` is the file's size, or None for a folder, whose photographs take about as much space as in the archive.
    """

    path: str
    files: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Archive:
    """A .zip or .tar.gz at ``path`` below the server's address, ``size`` in bytes."""

    path: str
    size: int
    sha256: str
    items: Sequence[Item]

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def unpacked(self) -> int:
        """Return about how many bytes its items take on disk."""
        return sum(self.size if item.bytes is None else item.bytes for item in self.items)


@dataclass(frozen=True)
class AnnotationFile:
    """One of COCO's official files of boxes, with its numbers of images and boxes, crowds included."""

    path: str
    bytes: int
    sha256: str
    images: int
    boxes: int


BASES: Mapping[Downloadable, str] = {
    "coco": "http://images.cocodataset.org",
    "cifar10": "https://www.cs.toronto.edu/~kriz",
}

COCO_BOXES: Mapping[str, AnnotationFile] = {
    "val2017": AnnotationFile(
        "annotations/instances_val2017.json",
        19_987_840,
        "e8c7f7908f1d7278341fae127d0da654f102f11bd7b21d8aeefa635b8c810b6f",
        images=5_000,
        boxes=36_781,
    ),
    "train2017": AnnotationFile(
        "annotations/instances_train2017.json",
        469_785_474,
        "610fce4944abdeb15354cc765333805529359d12d88f2f711393ca586901d01d",
        images=118_287,
        boxes=860_001,
    ),
}

_COCO_IMAGES = {
    "val2017": Archive(
        "zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        [Item("val2017", files=COCO_BOXES["val2017"].images)],
    ),
    "train2017": Archive(
        "zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        [Item("train2017", files=COCO_BOXES["train2017"].images)],
    ),
}

CIFAR_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR_BATCH_BYTES = 10_000 * (1 + 3 * 32 * 32)
"""Size of a file of the binary version: 10,000 times a label and 32 x 32 pixels of three colours."""


def archives(name: Downloadable, train: bool = False) -> list[Archive]:
    """Return what to download: COCO's validation set and, with ``train``, its training set; all of CIFAR-10."""
    if name == "cifar10":
        names = ("test_batch", *CIFAR_BATCHES)
        items = [Item(f"cifar-10-batches-bin/{batch}.bin", bytes=CIFAR_BATCH_BYTES) for batch in names]
        digest = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        return [Archive("cifar-10-binary.tar.gz", 170_052_171, digest, items)]
    parts = ["val2017", "train2017"] if train else ["val2017"]
    boxes = Archive(
        "annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        [Item(COCO_BOXES[part].path, bytes=COCO_BOXES[part].bytes) for part in parts],
    )
    return [boxes, *(_COCO_IMAGES[part] for part in parts)]
