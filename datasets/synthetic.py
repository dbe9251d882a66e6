"""The synthetic dataset: scenes that the project draws itself, for machines without any other.

Twelve silhouettes (arrow to star) of any colour, texture, size and direction lie among clutter on grounds of 1/f noise,
partly hidden, lit from somewhere, and photographed with blur, noise and JPEG's artefacts. Image ``index`` of a subset
is drawn from (seed, subset, index) alone, with integer arithmetic alone: every machine draws the same pixels.

This file is the classification view: the largest thing of a scene, close by, under one to three more pieces of clutter,
as one of eighteen kinds of silhouettes. ``synthetic_detection`` sees the same scenes whole, with a box around every
labelled thing.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from PIL import Image
from pydantic import Field

from splitbench.datasets import base
from splitbench.datasets.base import Subset
from splitbench.datasets.drawing.kinds import KINDS, kind
from splitbench.datasets.drawing.render import CLOSE, CLOSE_VERSION, draw
from splitbench.datasets.drawing.scene import compose

SIDE = CLOSE
"""Pixels along each side of an image."""

SIZES: dict[Subset, int] = {"evaluation": 2000, "calibration": 500, "train": 20000}
"""Images in each subset. Subsets draw from separate streams, so that no image is in two."""

SUBSETS: dict[Subset, int] = {"train": 0, "calibration": 1, "evaluation": 2}
"""What stands for each subset in the key of a scene."""


class Options(base.Options):
    """For both synthetic datasets: how many images to use, from the first, and the seed of the drawing."""

    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)


class Scenes:
    """What both views share: names, and digests of what determines the drawing."""

    task: str
    version: int

    def __init__(self, options: Options, subset: Subset) -> None:
        self.seed = options.seed
        self.subset = subset
        self._size = min(SIZES[subset], options.limit or SIZES[subset])

    def __len__(self) -> int:
        return self._size

    @cached_property
    def ids(self) -> Sequence[str]:
        """``evaluation-000123``: the subset and the index."""
        return tuple(f"{self.subset}-{index:06d}" for index in range(self._size))

    global_ids = False  # another seed draws other images under the same names

    def content(self, index: int) -> str:
        """As :meth:`digest`: what is drawn follows from the same numbers."""
        return self.digest(index)

    def digest(self, index: int) -> str:
        """Return a digest of the numbers that image and target are drawn from, which takes no drawing."""
        # The dataset's first name, which every stored fingerprint and key follows from.
        key = f"embedded {self.task} {self.version} {self.seed} {self.subset} {index}"
        return hashlib.sha256(key.encode()).hexdigest()[:16]


class SyntheticClassification(Scenes):
    """Images of SIDE x SIDE pixels, each with one of eighteen classes."""

    task = "classification"
    version = CLOSE_VERSION
    classes = len(KINDS)
    class_names: Sequence[str] = KINDS

    def image(self, index: int) -> Image.Image:
        """Return the drawn image, RGB, SIDE x SIDE."""
        return Image.fromarray(draw(self.seed, SUBSETS[self.subset], index, close=True).pixels)

    def target(self, index: int) -> int:
        """Return the class index, which takes no drawing."""
        scene = compose(self.seed, SUBSETS[self.subset], index)
        return kind(scene.label, scene.main.key)


class SyntheticClasses:
    """Drawn images of one thing each, for trying everything out."""

    task: ClassVar[str] = "classification"
    Options: ClassVar[type[base.Options]] = Options

    def load(self, options: Any, subset: Subset) -> SyntheticClassification:
        """Return the subset's images; nothing is drawn yet, and nothing can be missing."""
        return SyntheticClassification(options, subset)


DATASET = SyntheticClasses()
