"""What a dataset is: read this first to add one."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from PIL import Image
from pydantic import BaseModel, ConfigDict, field_validator

T = TypeVar("T")
_AT_ONCE = 4096  # images that threads are given at once

Task = Literal["classification", "detection"]
Subset = Literal["evaluation", "calibration", "train"]
"""What images are used for. Methods fit tables and units on the last two, and never see the first."""


class DataError(Exception):
    """Data that is missing or does not fit; the message says what and what to do."""


class ImageError(DataError):
    """One image cannot be decoded; the message names it."""


class UnknownIdsError(DataError):
    """An ``option`` (``ids`` or ``exclude``) names images that are not there; ``names`` are these."""

    def __init__(self, message: str, option: str, names: Sequence[Any]) -> None:
        super().__init__(message)
        self.option, self.names = option, tuple(names)


class Options(BaseModel):
    """Base of every dataset's options: unknown keys are refused, and paths may begin with ``~``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        return value.expanduser() if isinstance(value, Path) else value


class Dataset(Protocol):
    """Labelled images, addressed by index."""

    @property
    def task(self) -> str:
        """``classification`` or ``detection``."""
        ...

    @property
    def classes(self) -> int:
        """How many classes there are, as far as is known; no label is that high."""
        ...

    def __len__(self) -> int: ...

    @property
    def ids(self) -> Sequence[str]:
        """One name per image, stable across machines, unique, the same for the same photograph."""
        ...

    def image(self, index: int) -> Image.Image:
        """Return the decoded image, RGB. Raises ImageError."""
        ...

    def target(self, index: int) -> Any:
        """Return the truth: a class index for classification, a dict of boxes and labels for detection."""
        ...

    @property
    def global_ids(self) -> bool:
        """Whether an equal id in another dataset means the same photograph."""
        ...

    def content(self, index: int) -> str:
        """Return a digest of the image's content alone."""
        ...

    def digest(self, index: int) -> str:
        """Return a digest of the image's content and target, whatever its path."""
        ...


@runtime_checkable
class NumberedHere(Protocol):
    """A dataset whose classes had names but no numbers: it numbered them itself, which a backbone may see otherwise."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes in the order of their numbers; empty where the numbers were given after all."""
        ...


@runtime_checkable
class HasNumberingAdvice(Protocol):
    """A dataset whose user can give its classes other numbers."""

    @property
    def numbering_advice(self) -> str:
        """How its classes got their numbers and how to give them a backbone's; empty where the user gave them."""
        ...


@runtime_checkable
class HasWarnings(Protocol):
    """A dataset about which something may mislead: images that were passed over, labels that were taken on trust."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may mislead, a sentence each; they stand in every row over the dataset."""
        ...


def warnings_of(dataset: Dataset) -> tuple[str, ...]:
    """Return what may mislead about a dataset; empty where nothing is known."""
    return dataset.warnings if isinstance(dataset, HasWarnings) else ()


def class_names(dataset: Dataset) -> tuple[str, ...]:
    """Return the classes that a dataset numbered itself; empty where their numbers are given."""
    return dataset.class_names if isinstance(dataset, NumberedHere) else ()


def numbering_advice(dataset: Dataset) -> str:
    """Return how to give a dataset's classes a backbone's numbers; empty where nothing is known."""
    return dataset.numbering_advice if isinstance(dataset, HasNumberingAdvice) else ""


def named(things: Sequence[Any]) -> str:
    """Return the first few, for a message."""
    return ", ".join(map(str, things[:3])) + (", ..." if len(things) > 3 else "")


def check_ids(option: str, given: Collection[Any], there: Collection[Any], place: Any) -> None:
    """Check that an option names only images that are there.

    Raises:
        UnknownIdsError: it names others, with the first few and what the names of those that are there look like.
    """
    if not given:
        return
    known = {*there}
    unknown = sorted(name for name in given if name not in known)
    if unknown:
        example = f" (there are {next(iter(there))}, ...)" if there else ""
        missing = f"{len(unknown)} of the {len(given)} images of `{option}` are not in {place}"
        raise UnknownIdsError(f"{missing}: {named(unknown)}{example}", option, unknown)


class DatasetKind(Protocol):
    """One way to find images: a module-level ``DATASET`` in one file of this folder."""

    task: ClassVar[str]
    Options: ClassVar[type[Options]]

    def load(self, options: Any, subset: Subset) -> Dataset:
        """Open the images. Raises DataError with what is wrong and what to do."""
        ...


def each(call: Callable[[int], T], count: int) -> Iterator[T]:
    """``call(0)`` to ``call(count - 1)``, in order, by several threads: reading and hashing wait for no lock."""
    with ThreadPoolExecutor() as pool:
        for first in range(0, count, _AT_ONCE):
            yield from pool.map(call, range(first, min(first + _AT_ONCE, count)))


def fingerprint(dataset: Dataset) -> str:
    """Return a digest over names, contents and targets of all images: equal wherever the same data is."""
    return fingerprint_of(dataset.ids, each(dataset.digest, len(dataset)))


def fingerprint_of(names: Sequence[str], digests: Iterable[str]) -> str:
    """Return the fingerprint of a dataset by its images' names and digests."""
    whole = hashlib.sha256()
    for name, digest in zip(names, digests, strict=True):
        whole.update(f"{name}\0{digest}\n".encode())
    return whole.hexdigest()[:16]
