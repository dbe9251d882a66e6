"""Bring a dataset's category ids into a detector's numbering, by the categories' names.

Files in COCO's format number their categories as they like: from 0, without COCO's gaps, a few classes anew. Names say
what is meant; ids are trusted only where one side has no names, and a warning then says so. All of a dataset's boxes
are checked, those of images that a limit leaves out included.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from PIL import Image

from splitbench.datasets.base import Dataset, named, warnings_of
from splitbench.datasets.formats.detection_dataset import Box, DetectionDataset, NamedCategories, Target, target_of

_ALIASES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "tvmonitor": "tv",
    "hairdryer": "hairdrier",
    "doughnut": "donut",
}
"""What Pascal VOC's and darknet's lists of names call categories of COCO's, without spaces."""
_OTHER_WORDS = _ALIASES | {coco: other for other, coco in _ALIASES.items()}


@dataclass(frozen=True)
class RenumberedDataset:
    """Images with boxes whose category ids are a detector's.

    Attributes:
        dataset: The same images with the ids of their file, which names and digests follow.
        numbers: The dataset's category ids to the detector's, of all categories that the detector knows.
        problem: Why boxes cannot be compared with detections; empty where they can.
        notes: What may mislead about the categories, a sentence each.
    """

    dataset: DetectionDataset
    numbers: Mapping[int, int]
    problem: str = ""
    notes: tuple[str, ...] = ()
    task: str = "detection"

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def classes(self) -> int:
        """How many categories there are."""
        return self.dataset.classes

    @property
    def categories(self) -> Sequence[int]:
        """The detector's ids of all categories that it knows."""
        return sorted({*self.numbers.values()})

    @property
    def warnings(self) -> tuple[str, ...]:
        """The dataset's warnings, and those about categories."""
        return (*warnings_of(self.dataset), *self.notes)

    @property
    def changed(self) -> dict[int, int]:
        """The dataset's category ids to the detector's, of those that differ."""
        return {category: number for category, number in self.numbers.items() if category != number}

    @property
    def ids(self) -> Sequence[str]:
        """The dataset's names of images."""
        return self.dataset.ids

    @property
    def global_ids(self) -> bool:
        """As the dataset's."""
        return self.dataset.global_ids

    def size(self, index: int) -> tuple[int, int]:
        """Height and width."""
        return self.dataset.size(index)

    def image(self, index: int) -> Image.Image:
        """Return the decoded image."""
        return self.dataset.image(index)

    def boxes(self, index: int) -> list[Box]:
        """Return the annotations, with the detector's category ids."""
        boxes = self.dataset.boxes(index)
        return [{**box, "category_id": self.numbers.get(box["category_id"], box["category_id"])} for box in boxes]

    def target(self, index: int) -> Target:
        """Return the same to train on."""
        return target_of(self.boxes(index))

    def content(self, index: int) -> str:
        """Return the dataset's digest."""
        return self.dataset.content(index)

    def digest(self, index: int) -> str:
        """Return the dataset's digest, in the numbering of its file."""
        return self.dataset.digest(index)


def in_numbering_of(dataset: Dataset, known: Mapping[int, str]) -> Dataset:
    """Return the dataset with a detector's category ids; the dataset itself without changes and notes.

    Args:
        dataset: Any dataset; those without boxes are returned as they are.
        known: The detector's category ids with their names; empty names are unknown.
    """
    if dataset.task != "detection" or not known or isinstance(dataset, RenumberedDataset):
        return dataset
    images = cast(DetectionDataset, dataset)
    names = _names(images)
    table = {plain(name): category for category, name in known.items() if name}
    by_name = {category: _looked_up(name, table) for category, name in names.items() if name and table}
    numbers = {
        category: by_name.get(category, category if category in known and category not in by_name else None)
        for category in names
    }
    counts: Mapping[int, int] | None = None
    if None in numbers.values() or len({*numbers.values()}) < len(numbers):  # boxes are counted only if they matter
        counts = _box_counts(images)
        numbers = {category: number for category, number in numbers.items() if counts.get(category)}
    problem = _problem(numbers, names, counts or {}, len(known))
    understood = {category: number for category, number in numbers.items() if number is not None}
    trusted = [category for category in understood if category not in by_name]
    notes = [*_changed_note(understood, names), *_trust_note(trusted, names, bool(table))]
    if not problem and not notes:
        return dataset
    return RenumberedDataset(images, understood, problem, tuple(notes))


def categories_problem(dataset: Dataset) -> str:
    """Return why a dataset's boxes are not of categories that the detector knows, or an empty text."""
    return dataset.problem if isinstance(dataset, RenumberedDataset) else ""


def changed_numbers(dataset: Dataset) -> dict[int, int]:
    """Return which category ids were replaced, and by which."""
    return dataset.changed if isinstance(dataset, RenumberedDataset) else {}


def format_category(category: int, name: str) -> str:
    """Return a category for a message: ``17 (cat)``."""
    return f"{category} ({name})" if name else str(category)


def _names(images: DetectionDataset) -> dict[int, str]:
    """Return all categories with their names; a number that repeats the id does not count as a name."""
    given = images.category_names if isinstance(images, NamedCategories) else {}
    names = {int(category): given.get(category, "").strip() for category in images.categories}
    return {category: "" if name == str(category) else name for category, name in names.items()}


def _box_counts(images: DetectionDataset) -> Mapping[int, int]:
    if isinstance(images, NamedCategories):
        return images.count_boxes()
    return Counter(box["category_id"] for index in range(len(images)) for box in images.boxes(index))


def plain(name: str) -> str:
    """Return a name without what people write differently: case, spaces, hyphens and underscores."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _looked_up(name: str, table: Mapping[str, int]) -> int | None:
    word = plain(name)
    return table.get(word, table.get(_OTHER_WORDS.get(word, word)))


def _problem(numbers: Mapping[int, int | None], names: Mapping[int, str], counts: Mapping[int, int], known: int) -> str:
    unknown = [category for category, number in numbers.items() if number is None]
    if unknown:
        count, examples = (
            sum(counts[category] for category in unknown),
            named([format_category(category, names[category]) for category in unknown]),
        )
        return (
            f"labels do not match: {count} boxes of {sum(counts.values())} are of {len(unknown)} categories that the "
            f"detector does not know ({examples}); it knows {known}. Name them as the detector does, or choose "
            "those to evaluate by `categories` of the dataset coco"
        )
    repeated = [number for number, count in Counter(numbers.values()).items() if count > 1]
    if repeated:
        same = [
            format_category(category, names[category]) for category, number in numbers.items() if number == repeated[0]
        ]
        return f"labels do not match: the categories {' and '.join(same)} are one to the detector; give each its name"
    return ""


def _changed_note(numbers: Mapping[int, int], names: Mapping[int, str]) -> list[str]:
    changed = [
        f"{format_category(category, names[category])} is its {number}"
        for category, number in numbers.items()
        if category != number
    ]
    return (
        [f"the ids of {len(changed)} categories are not the detector's, and names were used: {named(changed)}"]
        if changed
        else []
    )


def _trust_note(trusted: Sequence[int], names: Mapping[int, str], detector_has_names: bool) -> list[str]:
    if not trusted:
        return []
    if not detector_has_names:
        return ["the detector gives no `category_names`: category ids were trusted to mean what they mean to it"]
    nameless = named([category for category in trusted if not names[category]])
    return [
        f"{len(trusted)} categories have no name in the dataset ({nameless}): their ids were taken for the detector's"
    ]
