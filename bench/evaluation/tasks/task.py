"""What a task is: how answers are compared with what is annotated, and which columns follow.

How images become a model's input is the backbone's business (:class:`splitbench.bench.backbones.registry.Backbone`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.metrics.records import Records
from splitbench.datasets.base import Dataset


@dataclass(frozen=True)
class Scored:
    """The records of all images, completed by what depends on them all.

    Attributes:
        records: Per image.
        columns: The measures that only this task has.
        bootstrap: The metric in bootstrap samples of the images, the same samples for every cell of a pass, (S,); empty
            where the task needs none.
    """

    records: Records
    columns: Mapping[str, float | None] = field(default_factory=dict)
    bootstrap: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class EvaluationTask(Protocol):
    """One task.

    Attributes:
        name: As in sweeps and datasets.
        ragged: Records with several entries per image, each with the record that counts them.
        paired: Records of the uncompressed backbone that are stored beside every cell's own, for paired comparisons.
    """

    name: ClassVar[str]
    ragged: ClassVar[Mapping[str, str]]
    paired: ClassVar[tuple[str, ...]]

    def mismatch(self, dataset: Dataset, backbone: Backbone, example: Any) -> str:
        """Return why this backbone cannot be measured on this dataset, or an empty text.

        ``example`` is a batch of pixels.
        """
        ...

    def scores(self, outputs: Any, image: int) -> Tensor:
        """Return the scores in a batch's outputs for one image, (N,), by which outputs are compared."""
        ...

    def doubt(self, baseline: float, dataset: Dataset) -> str:
        """Return what is suspicious about the uncompressed backbone's metric on this dataset, or an empty text."""
        ...

    def target(self, dataset: Dataset, index: int) -> Any:
        """Return what is annotated for an image."""
        ...

    def record(self, outputs: Any, targets: Sequence[Any]) -> Records:
        """Return the records of a batch's outputs. Raises MethodError for outputs that are not numbers."""
        ...

    def score(self, records: Records, targets: Sequence[Any]) -> Scored:
        """Complete the records of all images."""
        ...

    def summary(self, scored: Scored, baseline: Scored) -> dict[str, Any]:
        """Return a cell's accuracy columns, from its records and the uncompressed backbone's on the same images."""
        ...
