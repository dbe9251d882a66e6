"""The training stage of a pass: trains what its cells lack, and hands out what was trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from splitbench import methods
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.split_model import Place, place_of
from splitbench.bench.sweep.schema import Cell
from splitbench.bench.training import Recipe, TrainingError, distributed
from splitbench.bench.training.methods.learner import Learner
from splitbench.bench.training.methods.losses import OBJECTIVES
from splitbench.bench.training.methods.rate_point import train_rate_point
from splitbench.bench.training.methods.trained import Training, Trainings
from splitbench.bench.training.methods.training_data import Pool
from splitbench.bench.utils import provenance
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure
from splitbench.datasets.base import Dataset
from splitbench.methods.base import Context, Learned, Learning, LearningMethod, MethodError


@dataclass
class Stage:
    """Trainings of one dataset and backbone.

    ``untrained(seed)`` is the same backbone with random weights; ``budget`` is the memory for kept examples, in bytes.
    With ``skip_unreadable``, another picture stands for one that cannot be read.
    """

    task: str
    backbone: Backbone
    untrained: Callable[[int], Backbone]
    images: Callable[[], Dataset]
    trainings: Trainings
    device: torch.device
    budget: int
    progress: bool = True
    say: Callable[[str], None] = lambda _: None
    failed: dict[str, str] = field(default_factory=dict)
    skip_unreadable: bool = False
    _keys: dict[int, str] = field(default_factory=dict)
    _pool: Pool | None = None

    def run(self, wanted: Sequence[Training]) -> int:
        """Train what is missing, in the order given; one that fails is remembered, and the others go on.

        Examples are kept for the next call, until :meth:`close`.

        Returns:
            How many were trained.
        """
        self._keys |= {id(one.cell): one.key for one in wanted}
        unknown = {one.key: one for one in wanted if one.key not in self.failed}
        missing = [one for one in unknown.values() if not self.trainings.has(one.key)]
        for number, one in enumerate(missing):
            self.say(f"training {number + 1} of {len(missing)}: {one.cell}")
            try:
                if self._pool is None:
                    self._pool = Pool(
                        self.images(),
                        self.backbone,
                        self.device,
                        self.budget,
                        self.progress,
                        self.skip_unreadable,
                    )
                self._train(one, self._pool)
            except (TrainingError, MethodError, UserError) as error:  # the same in all processes
                self.failed[one.key] = " ".join(str(error).split())
            except Exception as error:  # what breaks a training must not take the other cells with it
                if distributed.world() > 1:
                    raise  # the other processes would wait for this one for ever
                reason = Failure.from_error(error, f"training {one.cell}").reason
                provenance.refuse_stopped(self.device, f"{one.cell}: {reason}")
                self.failed[one.key] = reason
            provenance.forget(self.device)  # the model that was trained is none of the next training
        return sum(one.key not in self.failed for one in missing)

    def close(self) -> None:
        """Forget the examples."""
        self._pool = None

    def learned(self, cell: Cell, place: Place) -> Learned:
        """What was trained for a cell. Raises MethodError where that failed, UserError where its file does not fit."""
        key = self._keys[id(cell)]
        if key in self.failed:
            raise MethodError(f"training failed: {self.failed[key]}")
        learner, _ = self._learner(cell, place, 1)
        learner.restore(self.trainings.weights(key), key)
        learner.eval().requires_grad_(False).to(self.device)
        return Learned(learner.head, learner.unit, learner.tail)

    def _train(self, one: Training, pool: Pool) -> None:
        if one.neighbour in self.failed:
            raise TrainingError(f"the training that it begins with failed: {self.failed[one.neighbour]}")
        with torch.no_grad():
            place = place_of(self.backbone, one.cell.split, pool.example[:1])
        learner, learning = self._learner(one.cell, place, pool.pixels)
        if learning.scratch:
            with torch.no_grad():
                empty = place_of(self.untrained(one.cell.seed), one.cell.split, pool.example[:1])
            learner.forget(empty.head, empty.tail)
        learner.to(self.device)
        recipe = _shared(Recipe(**learning.recipe))
        if one.neighbour is not None:
            learner.restore(self.trainings.weights(one.neighbour), one.neighbour)
            learner.unit.reopen()
            recipe = replace(recipe, epochs=learning.next_epochs)
        checkpoint = self.trainings.checkpoint(one.key)
        fresh = one.neighbour is None
        told = train_rate_point(learner, learning, recipe, pool, checkpoint, one.key, fresh)
        about = {"cell": str(one.cell), "ingredients": one.ingredients, "neighbour": one.neighbour}
        self._put(one.key, learner, about | told)

    def _put(self, key: str, learner: Learner, told: dict[str, Any]) -> None:
        """Store in the first process; the others wait, since the next rate point may begin with these weights."""
        fault = ""
        if distributed.rank() == 0:
            try:
                self.trainings.put(key, learner.state(), told)
            except UserError as error:
                fault = str(error)
        if float(distributed.total(torch.tensor(float(bool(fault))))) > 0:
            raise UserError(fault or "the first process could not store the weights")

    def _learner(self, cell: Cell, place: Place, pixels: int) -> tuple[Learner, Learning]:
        method = methods.get(cell.method)
        if not isinstance(method, LearningMethod):
            raise MethodError(f"{cell.method} asks for training images, but has nothing to learn")
        context = Context(place.head, place.tail, place.specs, seed=cell.seed)
        learning = method.learn(cell.settings, context)
        objective = OBJECTIVES[self.task, learning.distortion]
        return Learner(learning, place.head, place.tail, len(place.specs), pixels, objective), learning


def _shared(recipe: Recipe) -> Recipe:
    """The recipe of each of several processes: together they take batches of the size that was asked for.

    Raises:
        TrainingError: the batch cannot be shared out evenly.
    """
    if recipe.batch_size % distributed.world() > 0:
        raise TrainingError(
            f"batches of {recipe.batch_size} images cannot be shared out among {distributed.world()} processes: "
            "choose a `batch_size` that can"
        )
    return replace(recipe, batch_size=recipe.batch_size // distributed.world())
