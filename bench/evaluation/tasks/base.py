"""What a task is: how answers are compared with the truth, and what they come to.

How pictures become a model's input is the backbone's business (:class:`splitbench.bench.backbones.registry.Backbone`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.records import Records
from splitbench.datasets.base import Dataset


@dataclass(frozen=True)
class Scored:
    """The records of all images, completed by what needs them all, and a task's own measures of them."""

    records: Records
    columns: Mapping[str, float | None] = field(default_factory=dict)
    resampled: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """The metric in bootstrap samples of the images, the same samples for every cell of a pass; empty without."""


class Task(Protocol):
    """One task.

    ``ragged`` names the records with several entries per image, and the record that counts them; ``paired`` names those
    of the uncompressed backbone that are kept beside every cell's own, for paired comparisons.
    """

    name: ClassVar[str]
    ragged: ClassVar[Mapping[str, str]]
    paired: ClassVar[tuple[str, ...]]

    def mismatch(self, dataset: Dataset, backbone: Backbone, example: Any) -> str:
        """Why this backbone cannot be measured on this dataset, or nothing. ``example`` is a batch of pixels."""
        ...

    def doubt(self, baseline: float, dataset: Dataset) -> str:
        """What is odd about the uncompressed backbone's metric on this dataset, or nothing."""
        ...

    def truth(self, dataset: Dataset, index: int) -> Any:
        """What is known of an image."""
        ...

    def record(self, outputs: Any, truths: Sequence[Any]) -> Records:
        """What is kept of a batch's outputs. Raises MethodError for outputs that are not numbers."""
        ...

    def score(self, records: Records, truths: Sequence[Any]) -> Scored:
        """Complete the records of all images."""
        ...

    def summary(self, scored: Scored, baseline: Scored) -> dict[str, Any]:
        """The accuracy columns of a cell, from its records and the uncompressed backbone's on the same images."""
        ...
