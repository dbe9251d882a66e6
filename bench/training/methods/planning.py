"""What a plan needs to know of methods that learn: what they ask for, and whether it can be trained."""

from collections.abc import Callable

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.split import SplitModel
from splitbench.bench.sweep.cells import Cell
from splitbench.bench.utils.plugins import METHODS
from splitbench.datasets.base import Dataset, class_names
from splitbench.datasets.formats.categories import categories_problem
from splitbench.methods.base import Context, Learning, LearningMethod, MethodError


def learning_of(cell: Cell, split: SplitModel) -> Learning:
    """Return what a cell's method asks to train. Raises MethodError, or whatever else the method raises."""
    method = METHODS.get(cell.method)
    if not isinstance(method, LearningMethod):
        raise MethodError(f"{cell.method} asks for training images, but has nothing to learn")
    context = Context(split.head, split.tail, split.specs, seed=cell.seed, image=split.image)
    return method.learn(cell.settings.for_training(), context)


def planned_learning(cell: Cell, split: SplitModel) -> Learning | None:
    """Return the same, or None where the method fails to say: the cell then fails by itself when it is trained."""
    try:
        return learning_of(cell, split)
    except Exception:
        return None


def epochs_of(learning: Learning, *, anew: bool) -> int:
    """Return the epochs of a training, its warm-up included; ``anew`` says that it begins with no neighbour."""
    if not anew:
        return learning.neighbour_epochs
    warm_up = {} if learning.from_scratch else learning.warm_up or {}
    return int(learning.recipe["epochs"]) + int(warm_up.get("epochs", 0))


def task_loss_problem(
    cell: Cell, backbone: Backbone, evaluation: Dataset, train: Callable[[], Dataset], *, labelled: bool
) -> str:
    """Return why a cell cannot be trained by the task's loss and what to do, or "" where it can.

    Args:
        cell: Its method asks for the task's loss.
        backbone: Its detector must have a training loss.
        evaluation: The evaluation images.
        train: Opens the training images, whose class numbers must be those of the evaluation images.
        labelled: Whether the training images are of the evaluation's dataset.

    Raises:
        DataError: there are no training images.
    """
    instead = (
        "set `distortion: distill`"
        if "distortion" in type(cell.settings).model_fields
        else "let the method's `learn` ask for `distill`"
    )
    if not backbone.has_loss:
        return f"this detector has no training loss: {instead}"
    if not labelled:
        return f"another dataset's images are no use for the task's loss: {instead}"
    problem = class_number_problem(evaluation, train())
    return f"{problem}; or {instead}" if problem else ""


def class_number_problem(evaluation: Dataset, train: Dataset) -> str:
    """Return why equal class numbers of the two do not mean the same, or "" where they do, as far as is known."""
    if problem := categories_problem(train):
        return f"training images: {problem}"
    here, there = class_names(evaluation), class_names(train)
    if not here or not there or here == there:
        return ""
    different = sorted(set(here) ^ set(there))
    return (
        f"evaluation has {len(here)} class folders and training {len(there)}, each numbered in sorted order, but some "
        f"are in one only ({', '.join(different[:3])}{', ...' if len(different) > 3 else ''}), and equal numbers do "
        "not mean the same: put both into one folder as `val` and `train`, or name the class folders 0, 1, ..."
    )
