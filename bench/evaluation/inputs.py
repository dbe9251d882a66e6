"""What one pass works on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.split_model import Place
from splitbench.bench.evaluation.decoded_cache import KeptPictures
from splitbench.bench.evaluation.loader import Batch, batches, chunks, decoded
from splitbench.bench.training.batches import to_device
from splitbench.bench.utils.precision import Precision
from splitbench.datasets.base import Dataset
from splitbench.methods.base import Learned

KEPT_BYTES = 200_000_000
"""Of calibration images, and of a split's cuts of them."""

_HALVINGS = 4
"""How often a batch that does not fit into memory is halved."""


@dataclass(frozen=True)
class Material:
    """What one pass works on. ``calibration()`` opens the calibration images; it raises where there are none.

    ``learned(name, place)`` gives what was trained for a cell; it raises MethodError where that failed. ``batch`` is
    how many images are run at once. ``naive`` shares nothing between cells, to see that sharing changes nothing.
    ``kept`` holds pictures that need not be decoded. ``precision`` is that of heads and tails.
    """

    backbone: Backbone
    dataset: Dataset
    calibration: Callable[[], Dataset]
    learned: Callable[[str, Place], Learned]
    skip_unreadable: bool
    batch: int
    device: torch.device
    naive: bool = False
    kept: KeptPictures | None = None
    precision: Precision = "float32"
    _decoded: list[Batch] = field(default_factory=list)

    @cached_property
    def plan(self) -> list[list[int]]:
        """The pass's batches in order: the indices of each one's images. The same in every process."""
        return chunks(self.dataset, self.backbone, self.batch)

    @property
    def smallest(self) -> int:
        """The fewest images that are run at once where memory runs out."""
        return max(1, self.batch >> _HALVINGS)

    def batches(self, first: int = 0, last: int | None = None) -> Iterator[Batch]:
        """The batches from number ``first`` up to ``last``, the latter not among them, decoded."""
        pixels = None if self.kept is None else self.kept.of(self.dataset, self.backbone)
        return decoded(self.dataset, self.backbone, self.plan[first:last], pixels)

    def refuses(self, batch: Batch) -> bool:
        """Whether the pass fails because some of a batch's images cannot be read."""
        return bool(batch.unreadable) and not self.skip_unreadable

    def calibration_batches(self) -> Iterable[Batch]:
        """The calibration images as pixels; decoded once where they are few enough to keep."""
        return self._decoded or self._decode()

    def _decode(self) -> Iterator[Batch]:
        kept: list[Batch] = []
        room = KEPT_BYTES
        dataset = self.calibration()
        for batch in batches(dataset, self.backbone, self.batch):
            room -= 0 if batch.pixels is None else sum(x.nbytes for x in batch.pixels)
            kept = [*kept, batch] if room >= 0 else []
            yield batch
        if room >= 0:
            self._decoded[:] = kept

    def placed(self, pixels: Any) -> Any:
        """A batch's pixels, a tensor or a list of tensors, on the device."""
        return to_device(pixels, self.device)
