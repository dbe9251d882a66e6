"""The inputs of one pass: a backbone, a dataset, and how to run the one on the other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.pipeline.loader import Batch, load, plan_batches, plan_pass
from splitbench.bench.split import SplitModel
from splitbench.bench.utils.devices import to_device
from splitbench.bench.utils.precisions import Precision
from splitbench.datasets.base import Dataset
from splitbench.methods.base import Learned

CACHE_BYTES = 200_000_000
"""Limit for cached calibration images, and for a split's cached cuts of them."""

_HALVINGS = 4
"""How often a batch that does not fit into memory is halved."""


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """What one pass over a dataset needs.

    Attributes:
        backbone: The pretrained model.
        dataset: The evaluation images.
        calibration: Opens the calibration images; raises DataError where there are none.
        learned: Returns what was trained for a cell, given its key and split; raises MethodError where that failed.
        skip_unreadable: Leave out images that cannot be read, instead of failing the pass.
        batch: Images per batch.
        device: Where heads and tails run.
        naive: Share nothing between cells, to check that sharing changes no result.
        precision: Of heads and tails.
    """

    backbone: Backbone
    dataset: Dataset
    calibration: Callable[[], Dataset]
    learned: Callable[[str, SplitModel], Learned]
    batch: int
    device: torch.device
    skip_unreadable: bool = False
    naive: bool = False
    precision: Precision = "float32"
    _calibration_cache: list[Batch] = field(default_factory=list)

    @cached_property
    def plan(self) -> list[list[int]]:
        """The indices of each batch's images, in order; the same in every process."""
        return plan_pass(self.dataset, self.backbone, self.batch)

    @property
    def smallest_batch(self) -> int:
        """The fewest images that are run at once where memory runs out."""
        return max(1, self.batch >> _HALVINGS)

    def batches(self, first: int = 0, last: int | None = None) -> Iterator[Batch]:
        """Load the batches numbered ``first`` to ``last``, exclusive."""
        return load(self.dataset, self.backbone, self.plan[first:last])

    def rejects(self, batch: Batch) -> bool:
        """Return whether unreadable images in this batch fail the pass."""
        return bool(batch.unreadable) and not self.skip_unreadable

    def calibration_batches(self) -> Iterable[Batch]:
        """Load the calibration images; few enough of them are cached."""
        return self._calibration_cache or self._load_calibration()

    def _load_calibration(self) -> Iterator[Batch]:
        cache: list[Batch] = []
        room = CACHE_BYTES
        dataset = self.calibration()
        for batch in load(dataset, self.backbone, plan_batches(dataset, self.backbone, self.batch)):
            room -= 0 if batch.pixels is None else sum(x.nbytes for x in batch.pixels)
            cache = [*cache, batch] if room >= 0 else []
            yield batch
        if room >= 0:
            self._calibration_cache[:] = cache

    def to_device(self, pixels: Any) -> Any:
        """Move a batch's pixels, a tensor or a list of tensors, to the device."""
        return to_device(pixels, self.device)
