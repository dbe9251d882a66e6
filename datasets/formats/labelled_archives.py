"""Labelled images in archives, read as they are, in a folder or its subfolder ``data``.

1. *Hugging Face's parquet files*: ``validation-00000-of-00014.parquet``, with the columns ``image`` (bytes, path) and
   ``label``;
2. *WebDataset's tar shards* as timm publishes them: ``imagenet1k-validation-00.tar``, with ``KEY.jpg`` and ``KEY.cls``
   (the class index) or ``KEY.json`` (with ``label``) per image;
3. *ImageNet's own archives*: ``ILSVRC2012_img_val.tar`` with the devkit; ``ILSVRC2012_img_train.tar``, with a tar per
   synset.

The images have the names and the order that ImageNet's own files have in a folder per class: by label, then by name.
Digests, random subsets and cells are the same, therefore, whichever way they are stored (docs/large-data.md: when not).
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from splitbench.datasets.base import DataError, Subset, named
from splitbench.datasets.formats.devkit import ARCHIVE, find_devkit, synset_indices
from splitbench.datasets.formats.folders import is_image
from splitbench.datasets.storage.cache import Cache, packed, unpacked
from splitbench.datasets.storage.parquet_images import ParquetImages, RowGroups
from splitbench.datasets.storage.stored_images import Container, StoredImages, identity
from splitbench.datasets.storage.tar_images import TarImages, TarMember

_WORDS: dict[Subset, str] = {"evaluation": "validation|val", "calibration": "train", "train": "train"}
_OWN: dict[Subset, str] = {"evaluation": "val", "calibration": "train", "train": "train"}
_KIND = "tar"
_IMAGENET_NAME = re.compile(r"(ILSVRC2012_val_\d+|n\d{8}_\d+)(_n\d{8})?")
"""Hugging Face puts the synset behind ImageNet's own name."""


@dataclass(frozen=True)
class LabelledArchives:
    """The images of some archives.

    Attributes:
        stored: Where they lie.
        labels: Their class indices.
        ids: Their names.
        classes: How many classes there are.
    """

    stored: StoredImages
    labels: Sequence[int]
    ids: Sequence[str]
    classes: int


@dataclass(frozen=True)
class _ArchivedImage:
    """An image: which class it is of, what it is called, the number of its archive, and its name in that."""

    label: int
    id: str
    archive: int
    name: str


def find(root: Path, subset: Subset, cache: Cache) -> LabelledArchives | None:
    """Return the images of a subset; None where there are no archives of it. Raises DataError for damaged ones."""
    folders = [folder for folder in (root, root / "data") if folder.is_dir()]
    if parquet := _shards(folders, subset, ".parquet"):
        kept = RowGroups()
        files = [ParquetImages.open(path, cache, kept) for path in parquet]
        return _sorted(files, (entry for number, file in enumerate(files) for entry in _of_parquet(number, file)))
    if shards := _shards(folders, subset, ".tar"):
        return _of_tars(shards, _of_shard, cache)
    own = _own_archive(root, subset)
    if own.is_file():
        return _of_tars([own], _of_training if subset != "evaluation" else _Devkit(root), cache, keep_labels=False)
    return None


def has_archives(root: Path, subset: Subset) -> bool:
    """Return whether there are archives of a subset. Raises DataError where shards are missing, or of several sets."""
    folders = [folder for folder in (root, root / "data") if folder.is_dir()]
    shards = any(_shards(folders, subset, suffix) for suffix in (".parquet", ".tar"))
    return shards or _own_archive(root, subset).is_file()


def _own_archive(root: Path, subset: Subset) -> Path:
    return root / f"ILSVRC2012_img_{_OWN[subset]}.tar"


def _shards(folders: Sequence[Path], subset: Subset, suffix: str) -> list[Path]:
    """Return the numbered files of a subset in order. Raises DataError where some are missing, or of another set."""
    pattern = re.compile(rf"(?:.*[-_.])?(?:{_WORDS[subset]})[-_](\d+)(?:-of-(\d+))?{re.escape(suffix)}")
    for folder in folders:
        found = {path: match for path in sorted(folder.iterdir()) if (match := pattern.fullmatch(path.name))}
        if found:
            present = {int(match[1]) for match in found.values()}
            sets = {(path.name[: match.start(1)], match[2]): path.name for path, match in found.items()}
            if len(sets) > 1 or len(present) < len(found):
                names = named(sorted(sets.values() if len(sets) > 1 else (path.name for path in found)))
                raise DataError(
                    f"{folder} has shards of several sets ({names}): keep one set's, and move the others away"
                )
            expected = max([*(int(match[2]) for match in found.values() if match[2]), max(present) + 1])
            if missing := sorted({*range(expected)} - present):
                raise DataError(f"{folder} has {len(present)} of {expected} shards: number {named(missing)} is missing")
            return list(found)
    return []


def _sorted(archives: Sequence[Container], entries: Iterable[_ArchivedImage]) -> LabelledArchives:
    # A full stop sorts "n1_2" before "n1_10" or not as the names of files, "n1_2.JPEG" and "n1_10.JPEG", do.
    ordered = sorted(entries, key=lambda entry: (entry.label, f"{entry.id}."))
    stored = StoredImages(
        archives, np.array([entry.archive for entry in ordered], np.int32), [entry.name for entry in ordered]
    )
    labels = [entry.label for entry in ordered]
    ids = [entry.id for entry in ordered]
    classes = labels[-1] + 1 if labels else 0
    if ids and _IMAGENET_NAME.fullmatch(ids[0]):
        classes = max(classes, len(synset_indices()))
    return LabelledArchives(stored, labels, ids, classes)


def _of_parquet(number: int, file: ParquetImages) -> Iterable[_ArchivedImage]:
    for row, (path, label) in enumerate(zip(file.paths, file.labels, strict=True)):
        stem = PurePosixPath(path).stem or f"{file.path.stem}/{row}"
        match = _IMAGENET_NAME.fullmatch(stem)
        yield _ArchivedImage(label, match[1] if match else stem, number, str(row))


def _of_tars(
    paths: Sequence[Path],
    entries: Callable[[TarImages], Iterable[_ArchivedImage]],
    cache: Cache,
    keep_labels: bool = True,
) -> LabelledArchives:
    """Return the images of tar archives; what lies where is listed once, and kept in the cache.

    So are labels that are in the archive itself. Others, of a devkit beside it, follow from names each time.
    """
    tars: list[TarImages] = []
    every: list[_ArchivedImage] = []
    for number, path in enumerate(paths):
        now = np.array(identity(path), np.int64)
        arrays = cache.listing(_KIND, path, now)
        if arrays is None:
            tar = TarImages.open(path)
            listed = [*entries(tar)]
            arrays = {
                "identity": now,
                "names": packed([entry.name for entry in listed]),
                "places": np.array([tar.members[entry.name] for entry in listed], np.int64).reshape(-1, 2),
                "ids": packed([entry.id for entry in listed]),
                "labels": np.array([entry.label for entry in listed], np.int64),
            }
            cache.store(_KIND, path, arrays)
        names = unpacked(arrays["names"])
        tars.append(TarImages(path, dict(zip(names, map(TarMember._make, arrays["places"].tolist()), strict=True))))
        if not keep_labels:
            every += entries(tars[-1])
            continue
        columns = arrays["labels"].tolist(), unpacked(arrays["ids"]), names
        every += [_ArchivedImage(label, id_, number, name) for label, id_, name in zip(*columns, strict=True)]
    return _sorted(tars, every)


def _of_shard(tar: TarImages) -> Iterable[_ArchivedImage]:
    samples: dict[str, dict[str, str]] = {}
    for name in tar.members:
        folder, _, base = name.rpartition("/")
        key, _, field = base.partition(".")
        samples.setdefault(f"{folder}/{key}" if folder else key, {})[field.lower()] = name
    for key, fields in samples.items():
        images = [name for field, name in fields.items() if is_image(f"image.{field}")]
        if len(images) != 1 or not {"cls", "json"} & {*fields}:
            raise DataError(
                f"{tar.path}: {key} has the files {named(sorted(fields))}: expected an image and its class index, in "
                "`.cls` or as `label` in `.json`"
            )
        yield _ArchivedImage(_label(tar, fields), PurePosixPath(key).name, 0, images[0])


def _label(tar: TarImages, fields: dict[str, str]) -> int:
    name = fields.get("cls") or fields["json"]
    try:
        content = json.loads(tar.read(name))
        label = content if "cls" in fields else content["label"]
        if isinstance(label, int) and label >= 0:
            return label
    except (ValueError, LookupError, TypeError):
        pass
    raise DataError(f"{tar.path}: {name} holds no class index (0, 1, ...)")


@dataclass(frozen=True)
class _Devkit:
    """The labels of ImageNet's validation images come from the devkit below a folder."""

    root: Path

    def __call__(self, tar: TarImages) -> Iterable[_ArchivedImage]:
        devkit = find_devkit(self.root)
        if devkit is None:
            raise DataError(f"{tar.path} needs the devkit, which has its labels, beside it: {ARCHIVE}, unpacked or not")
        labels = devkit.labels()
        names = sorted(name for name in tar.members if is_image(PurePosixPath(name).name))
        if len(names) != len(labels):
            raise DataError(f"{tar.path} has {len(names)} images, but {devkit.place} has {len(labels)} labels")
        return [
            _ArchivedImage(label, PurePosixPath(name).stem, 0, name) for label, name in zip(labels, names, strict=True)
        ]


def _of_training(tar: TarImages) -> Iterable[_ArchivedImage]:
    index = synset_indices()
    for name in filter(lambda name: is_image(PurePosixPath(name).name), tar.members):
        path = PurePosixPath(name)
        synset = path.parts[0].removesuffix(".tar")
        if synset not in index:
            raise DataError(f"{tar.path}: {path.parts[0]} is no synset of ImageNet")
        yield _ArchivedImage(index[synset], path.stem, 0, name)
