"""Whether a method can be trained by the task's loss: it needs labels that mean the same, and a detector's own loss."""

from collections.abc import Callable

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.split_model import Place
from splitbench.bench.sweep.schema import Cell
from splitbench.bench.utils.user_code import method
from splitbench.datasets.base import Dataset, class_names
from splitbench.methods.base import Context, LearningMethod


def refused(
    cell: Cell, place: Place, backbone: Backbone, evaluation: Dataset, train: Callable[[], Dataset], labelled: bool
) -> str:
    """Why a cell's method cannot be trained as it asks, and what to do; nothing where it can, or by another loss.

    ``labelled`` tells whether the training images are of the evaluation's dataset. Raises DataError for no images.
    """
    if not _wanted(cell, place):
        return ""
    instead = (
        "set `distortion: distill`"
        if "distortion" in type(cell.settings).model_fields
        else "let the method's `learn` ask for `distill`"
    )
    if not backbone.has_loss:
        return f"this detector has no training loss: {instead}"
    if not labelled:
        return f"another dataset's images are no use for the task's loss: {instead}"
    reason = other_numbers(evaluation, train())
    return f"{reason}; or {instead}" if reason else ""


def other_numbers(evaluation: Dataset, train: Dataset) -> str:
    """Why equal labels of the two do not mean the same; nothing where they do, as far as is known."""
    here, there = class_names(evaluation), class_names(train)
    if not here or not there or here == there:
        return ""
    odd = sorted(set(here) ^ set(there))
    return (
        f"evaluation has {len(here)} class folders and training {len(there)}, each numbered in sorted order, but some "
        f"are in one only ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''}), and equal numbers do not mean the "
        "same: put both into one folder as `val` and `train`, or name the class folders 0, 1, ..."
    )


def _wanted(cell: Cell, place: Place) -> bool:
    """Whether the method asks for the task's loss; not where it asks for nothing, which fails the cell alone."""
    asked = method(cell.method)
    if not isinstance(asked, LearningMethod):
        return False
    try:
        context = Context(place.head, place.tail, place.specs, seed=cell.seed)
        return asked.learn(cell.settings, context).distortion == "task"
    except Exception:
        return False
