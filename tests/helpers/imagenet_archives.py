"""A small ImageNet in a folder per class, and the same images in every other form that it comes in."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from splitbench.datasets.formats.devkit import synset_indices
from tests.helpers.photographs import write_photographs

_PARTS = {"val": "validation", "train": "train"}


def write_class_folders(root: Path, per_class: int = 3) -> Path:
    """``val`` and ``train``, each with folders of three synsets that lie apart; names sort otherwise than labels do."""
    synsets = [sorted(synset_indices())[index] for index in (0, 7, 999)]
    for number, synset in enumerate(synsets):
        for part, first in (("val", 0), ("train", 500)):
            files = write_photographs(root / part / synset, per_class, first=first + per_class * number, size=64)
            for index, file in enumerate(files):
                position = index * len(synsets) + len(synsets) - number
                name = f"ILSVRC2012_val_{position:08}" if part == "val" else f"{synset}_{index * 9}"
                file.rename(file.with_name(f"{name}.JPEG"))
    return root


def _images(root: Path, part: str) -> list[tuple[Path, int]]:
    """All files of a part with their labels, mixed as shards are."""
    index = synset_indices()
    files = sorted((root / part).rglob("*.JPEG"), key=lambda file: file.read_bytes())
    return [(file, index[file.parent.name]) for file in files]


def _shards(root: Path, part: str, count: int = 2) -> Iterator[tuple[int, Sequence[tuple[Path, int]]]]:
    images = _images(root, part)
    yield from ((number, images[number::count]) for number in range(count))


def write_parquet(root: Path, out: Path, row_group: int = 2) -> None:
    """As Hugging Face's: the synset stands behind ImageNet's own name of a validation image."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    (out / "data").mkdir(parents=True)
    for part, word in _PARTS.items():
        for number, images in _shards(root, part):
            rows = [{"bytes": file.read_bytes(), "path": f"{file.stem}_{file.parent.name}.JPEG"} for file, _ in images]
            table = pa.table({"image": rows, "label": [label for _, label in images]})
            file = out / "data" / f"{word}-{number:05}-of-00002.parquet"
            parquet.write_table(table, file, row_group_size=row_group)


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_shards(root: Path, out: Path, fields: Sequence[str] = ("cls", "json")) -> None:
    """As timm's tar shards for WebDataset."""
    out.mkdir()
    for part, word in _PARTS.items():
        for number, images in _shards(root, part):
            with tarfile.open(out / f"imagenet1k-{word}-{number:02}.tar", "w") as tar:
                for file, label in images:
                    about = {"cls": str(label), "json": json.dumps({"label": label, "filename": file.name})}
                    for field in fields:
                        add_file(tar, f"{file.stem}.{field}", about[field].encode())
                    add_file(tar, f"{file.stem}.jpg", file.read_bytes())


def write_json_shards(root: Path, out: Path) -> None:
    write_shards(root, out, ("json",))


def write_own_archives(root: Path, out: Path, packed: bool = False) -> None:
    """ImageNet's own: a tar of validation images with the devkit, and a tar of a tar per synset."""
    out.mkdir()
    with tarfile.open(out / "ILSVRC2012_img_val.tar", "w") as tar:
        for file, _ in _images(root, "val"):
            tar.add(file, file.name)
    with tarfile.open(out / "ILSVRC2012_img_train.tar", "w") as tar:
        for folder in sorted((root / "train").iterdir()):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar_of_class:
                for file in sorted(folder.iterdir()):
                    tar_of_class.add(file, file.name)
            add_file(tar, f"{folder.name}.tar", inner.getvalue())
    devkit = out / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    synsets = sorted(synset_indices(), reverse=True)
    numbers = [(number + 1, synset) for number, synset in enumerate(synsets)]
    rows: Any = np.array(numbers, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(devkit / "meta.mat", {"synsets": rows})
    truth = [
        synsets.index(file.parent.name) + 1 for file in sorted((root / "val").rglob("*.JPEG"), key=lambda f: f.name)
    ]
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth))
    if packed:
        with tarfile.open(out / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
            tar.add(devkit.parent, devkit.parent.name)
        for path in sorted(devkit.parent.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def write_own_archives_with_packed_devkit(root: Path, out: Path) -> None:
    write_own_archives(root, out, packed=True)


FORMS: dict[str, Callable[[Path, Path], None]] = {
    "parquet": write_parquet,
    "shards": write_shards,
    "shards with JSON alone": write_json_shards,
    "ImageNet's own archives": write_own_archives,
    "ImageNet's own archives, all packed": write_own_archives_with_packed_devkit,
}
"""What writes the images of class folders, each in another form."""
