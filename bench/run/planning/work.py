"""How long the work of a pass takes, roughly: by the time of one image in heads and tails.

What is a guess here is corrected as soon as some of the kind was measured
(:class:`splitbench.bench.utils.progress.RunProgress`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.run.planning.plan import Pass, PlannedCell
from splitbench.bench.split import SplitModel
from splitbench.bench.training.methods import Training, Trainings
from splitbench.bench.training.methods.planning import epochs_of, planned_learning
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.progress import Piece

_STEP = 3.0
"""A training step as a multiple of a forward pass: forward, and backward to activations and to weights."""
_DEPLOYING, _DESCRIBING, _SCORING = 0.02, 0.05, 0.01
"""Seconds of each cell, beside what the network computes: guesses."""
_RUNS = 9
"""How often costs are measured: as many images, and a warm-up."""

Seconds = Mapping[str, tuple[float, float]]
"""The time that one image takes in head and tail, by split point."""


@dataclass(frozen=True)
class PassWork:
    """The work of a pass, in seconds.

    Attributes:
        images: How many images are evaluated on.
        calibration: How many images methods are calibrated on.
        parts: The time of one image in each head and tail.
        trainings: Of each training, by key.
    """

    images: int
    calibration: int = 0
    parts: Seconds = field(default_factory=dict)
    trainings: Mapping[str, float] = field(default_factory=dict)

    def preparing(self, cells: Sequence[PlannedCell]) -> float:
        """Return how long it takes to deploy cells: each split's head runs once over the calibration images."""
        heads = sum(self.parts[at][0] for at in {_split(planned) for planned in cells if _is_calibrated(planned)})
        return heads * self.calibration + _DEPLOYING * len(cells)

    def describing(self, cells: Sequence[PlannedCell]) -> float:
        """Return how long it takes to measure the costs of cells."""
        return _RUNS * sum(map(sum, self.parts.values())) + _DESCRIBING * len(cells)

    def measuring(self, cells: Sequence[PlannedCell], images: int | None = None, *, beside: bool = False) -> float:
        """Return how long it takes to measure cells on so many images, by default on all.

        With ``beside``, other cells of the pass are measured anyway, and share the backbone and the heads.
        """
        shared = 0.0 if beside else self.backbone + sum(head for head, _ in self.parts.values())
        tails = sum(self.parts[_split(planned)][1] for planned in cells)
        return (shared + tails) * (self.images if images is None else images)

    def scoring(self, cells: Sequence[PlannedCell]) -> float:
        """Return how long it takes to score cells."""
        return _SCORING * len(cells)

    @property
    def backbone(self) -> float:
        """The time of one image in the whole backbone."""
        return max(map(sum, self.parts.values()), default=0.0)


@torch.no_grad()
def work_of(pass_: Pass, device: torch.device) -> PassWork:
    """Return the work of a pass that is being planned; it runs each of the splits on one image, twice."""
    parts = {at: _seconds(place, pass_.example, device) for at, place in pass_.splits.items()}
    return PassWork(
        images=len(pass_.dataset),
        calibration=len(pass_.calibration()) if any(map(_is_calibrated, pass_.cells)) else 0,
        parts=parts,
        trainings={key: training_seconds(pass_, training, parts) for key, training in pass_.trainings.items()},
    )


def stored_pieces(
    pass_: Pass, missing: Sequence[PlannedCell], work: PassWork, trainings: Trainings
) -> dict[str, Piece]:
    """Return what is stored of a pass in a run's folder, as pieces of work that are done."""
    left = {planned.key for planned in missing}
    stored = [planned for planned in pass_.cells if planned.key not in left]
    pieces = {key: Piece.stored("training", work.trainings[key]) for key in pass_.trainings if trainings.has(key)}
    return pieces | {f"stored {pass_.title}": Piece.stored("measuring", work.measuring(stored, beside=bool(left)))}


def training_seconds(pass_: Pass, training: Training, parts: Seconds) -> float:
    """Estimate a training: of a frozen backbone, the head runs once and only the tail in every step."""
    learning = planned_learning(training.cell, pass_.splits[training.cell.split])
    if learning is None:
        return 0.0
    head, tail = parts[training.cell.split]
    images, epochs = len(pass_.train()), epochs_of(learning, anew=training.neighbour is None)
    whole = learning.train_backbone or learning.new_head is not None  # a new head takes its images anew, too
    trained = head + tail if whole else tail
    teacher = trained if learning.distortion == "distill" else 0.0
    return images * (epochs * (_STEP * trained + teacher) + (0.0 if whole else head))


def _seconds(place: SplitModel, example: Any, device: torch.device) -> tuple[float, float]:
    head = median_ms(place.head, [(example,)], device)
    return head / 1000, median_ms(place.tail, [tuple(place.head(example))], device) / 1000


def _split(planned: PlannedCell) -> str:
    return planned.cell.split


def _is_calibrated(planned: PlannedCell) -> bool:
    return "calibration" in METHODS.get(planned.cell.method).needs(planned.cell.settings)
