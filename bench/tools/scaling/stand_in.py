"""A stand-in for ImageNet: as many files in as many folders, each a different picture of 8 x 8 pixels.

``python -m splitbench.bench.tools.scaling.stand_in 1281167 FOLDER`` writes it.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from splitbench.datasets.formats.devkit import synset_indices

SIDE = 8
"""Rows and columns of a picture."""
CLASSES = 1000
_PICTURES = 512  # encoded ones; a comment makes files differ whose pictures are the same
_OF_TRAINING = 1_281_167
_OF_EVALUATION = 50_000


def subset_sizes(training: int) -> dict[str, int]:
    """Return how many images ``train`` and ``val`` have: in ImageNet's proportion, and one per class at least."""
    return {"train": training, "val": max(CLASSES, round(training * _OF_EVALUATION / _OF_TRAINING))}


def make_stand_in(folder: Path, training: int) -> Path:
    """Write a folder per class of both subsets below ``folder``, unless they are there, and return it."""
    pictures = list(_encoded())
    synsets = sorted(synset_indices())
    number = 0
    for subset, count in subset_sizes(training).items():
        if (folder / subset).is_dir():
            continue
        for index, synset in enumerate(synsets):
            place = folder / f".{subset}" / synset
            place.mkdir(parents=True, exist_ok=True)
            for image in range(index, count, len(synsets)):
                name = f"{synset}_{image}" if subset == "train" else f"ILSVRC2012_val_{image:08}"
                (place / f"{name}.JPEG").write_bytes(_commented(pictures[image % _PICTURES], number))
                number += 1
        (folder / f".{subset}").rename(folder / subset)  # what is there is whole
    return folder


def _encoded() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for _ in range(_PICTURES):
        colour, noise = rng.integers(40, 215, 3), rng.integers(-40, 40, (SIDE, SIDE, 3))
        stream = io.BytesIO()
        Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=80)
        yield stream.getvalue()


def _commented(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG file with a comment behind its first marker."""
    text = f"{number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


if __name__ == "__main__":
    make_stand_in(Path(sys.argv[2]), int(sys.argv[1]))
