"""Trains what the cells of one dataset and backbone need, one training after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.split import SplitModel
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.training import Recipe, TrainingError, distributed
from splitbench.bench.training.methods.learner import Learner
from splitbench.bench.training.methods.losses import LOSSES
from splitbench.bench.training.methods.planning import epochs_of, learning_of
from splitbench.bench.training.methods.rate_point import train_rate_point
from splitbench.bench.training.methods.training_data import TrainingData
from splitbench.bench.training.methods.trainings import Training, Trainings
from splitbench.bench.utils import devices
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.progress import Stages
from splitbench.datasets.base import Dataset
from splitbench.methods.base import Learned, MethodError


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """What the trainings of one dataset and backbone have in common.

    Attributes:
        task: ``classification`` or ``detection``.
        backbone: The pretrained backbone.
        untrained: Returns the same backbone with random weights, by a seed.
        images: Opens the training images.
        skip_unreadable: Whether another image stands for one that cannot be read.
    """

    task: str
    backbone: Backbone
    untrained: Callable[[int], Backbone]
    images: Callable[[], Dataset]
    skip_unreadable: bool = False


@dataclass(kw_only=True)
class MethodTrainer:
    """Trainings of one dataset and backbone.

    Attributes:
        inputs: What they have in common.
        trainings: Where they are stored.
        device: Where they run.
        memory: Bytes that training examples may take.
        stages: Each training is a piece of work in them, under its key.
        log: Called with a line for each training that begins.
        on_epoch: Called with a training and the row of its learning curve, after each epoch.
        failed: Those that failed, here or before, by key.
    """

    inputs: TrainingInputs
    trainings: Trainings
    device: torch.device
    memory: int
    stages: Stages = field(default_factory=Stages)
    log: Callable[[str], None] = lambda _: None
    on_epoch: Callable[[Training, Mapping[str, float]], None] = lambda training, measures: None
    failed: dict[str, Failure] = field(default_factory=dict)
    _data: TrainingData | None = None

    def run(self, trainings: Sequence[Training]) -> int:
        """Train what is missing, in this order; one that fails is noted in ``failed``, and the others go on.

        Training images stay in memory for the next call, until :meth:`close`.

        Returns:
            How many were trained.
        """
        wanted = {training.key: training for training in trainings if training.key not in self.failed}
        missing = [training for training in wanted.values() if not self.trainings.has(training.key)]
        for number, training in enumerate(missing, 1):
            self.log(f"training {number} of {len(missing)}: {training.cell}")
            try:
                self._train(training)
            except (TrainingError, MethodError, UserError) as error:  # the same in all processes
                self.failed[training.key] = Failure(" ".join(str(error).split()))
            except Exception as error:  # what breaks a training must not take the other cells with it
                if distributed.world_size() > 1:
                    raise  # the other processes would wait for this one for ever
                failure = Failure.from_error(error, f"training {training.cell}")
                devices.refuse_stopped(self.device, f"{training.cell}: {failure.reason}")
                self.failed[training.key] = failure
            devices.free_memory(self.device)  # frees the memory of the model that was trained
        return sum(training.key not in self.failed for training in missing)

    def close(self) -> None:
        """Free the training images."""
        self._data = None

    def learned(self, training: Training, split: SplitModel) -> Learned:
        """Return the trained modules. Raises MethodError where training failed, UserError where its file is wrong."""
        if training.key in self.failed:
            raise MethodError(f"training failed: {self.failed[training.key].reason}")
        learner = self._learner(training.cell, split, pixels=1)
        learner.load_trained(self.trainings.weights(training.key), training.key)
        learner.eval().requires_grad_(False).to(self.device)
        return learner.learned()

    def _train(self, training: Training) -> None:
        data, cell, neighbour = self._training_data(), training.cell, training.neighbour
        if neighbour in self.failed:
            raise TrainingError(f"the training that it begins with failed: {self.failed[neighbour].reason}")
        with torch.no_grad():
            split = self.inputs.backbone.split(cell.split, data.example[:1])
        learner = self._learner(cell, split, data.pixels)
        learning = learner.learning
        if learning.from_scratch:
            with torch.no_grad():
                learner.reset_backbone(self.inputs.untrained(cell.seed).split(cell.split, data.example[:1]))
        learner.to(self.device)
        recipe = _per_process(Recipe(**learning.recipe))
        if neighbour is not None:
            learner.load_trained(self.trainings.weights(neighbour), neighbour)
            learner.unit.reopen()
            recipe = replace(recipe, epochs=learning.neighbour_epochs)
        with self.stages.piece(training.key, _title(cell), epochs_of(learning, anew=neighbour is None)):
            report = train_rate_point(
                learner,
                data,
                recipe,
                checkpoint=self.trainings.checkpoint(training.key),
                key=training.key,
                new_unit=neighbour is None,
                distance=LOSSES[self.inputs.task, "distill"],
                show=self.stages.show,
                on_epoch=partial(self.on_epoch, training),
                say=lambda message: self.log(f"{message}: {cell}"),
            )
        identity = {"cell": str(cell), "ingredients": training.ingredients, "neighbour": neighbour}
        self._save(training.key, learner, identity | report)

    def _training_data(self) -> TrainingData:
        if self._data is None:
            self._data = TrainingData(
                self.inputs.images(),
                self.inputs.backbone,
                device=self.device,
                memory=self.memory,
                show=self.stages.show,
                skip_unreadable=self.inputs.skip_unreadable,
            )
        return self._data

    def _save(self, key: str, learner: Learner, report: dict[str, Any]) -> None:
        """Store in process 0; the others wait, since the next rate point may begin with these weights."""
        failure = ""
        if distributed.rank() == 0:
            try:
                self.trainings.save(key, learner.trained_weights(), report)
            except UserError as error:
                failure = str(error)
        if float(distributed.all_reduce(torch.tensor(float(bool(failure))))) > 0:
            raise UserError(failure or "process 0 cannot store the weights; its message says why")

    def _learner(self, cell: Cell, split: SplitModel, pixels: float) -> Learner:
        learning = learning_of(cell, split)
        return Learner(learning, split, pixels, LOSSES[self.inputs.task, learning.distortion])


def _title(cell: Cell) -> str:
    """Name a training for the display, in few words: the message that it begins says the rest."""
    words = (cell.method, f"{cell.knob}={cell.value}", f"seed={cell.seed}" if cell.seed else "", cell.split)
    return f"training {' '.join(filter(None, words))}"


def _per_process(recipe: Recipe) -> Recipe:
    """Return the recipe of each of several processes: together they take batches of the size that was asked for.

    Raises:
        TrainingError: the batch cannot be divided evenly.
    """
    processes = distributed.world_size()
    if recipe.batch_size % processes > 0:
        raise TrainingError(
            f"batches of {recipe.batch_size} images cannot be divided among {processes} processes: choose a "
            f"`batch_size` that is a multiple of {processes}"
        )
    return replace(recipe, batch_size=recipe.batch_size // processes)
