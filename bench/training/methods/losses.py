"""Distortions that methods minimize besides the rate: the task's loss, or the distance from the uncompressed model.

Distillation needs no labels: it compares what the tail computes of the decoded cut with what the frozen tail computes
of the uncompressed one. Squared errors are divided by the variance of the latter, so that they weigh the same in every
network.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from splitbench.bench.training import Measures
from splitbench.methods.base import MethodError


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInputs:
    """What a loss may use of a batch.

    Attributes:
        tail: The tail in training.
        values: What it is given: the decoded cut and sizes.
        teacher: The frozen tail.
        teacher_values: Returns what the teacher is given: the uncompressed cut and sizes, without gradients.
        targets: Returns class indices (B,), or a dict of boxes and labels for each image.
    """

    tail: nn.Module
    values: tuple[Any, ...]
    teacher: nn.Module
    teacher_values: Callable[[], tuple[Any, ...]]
    targets: Callable[[], Any]


Loss = Callable[[LossInputs], Measures]
"""Returns ``distortion``, which is differentiated, and further measures for the learning curve."""


def classify(batch: LossInputs) -> Measures:
    """Cross entropy with the class indices."""
    logits, targets = batch.tail(*batch.values), batch.targets()
    return {"distortion": F.cross_entropy(logits, targets), "accuracy": _percent(logits.argmax(1) == targets)}


def distill_classifier(batch: LossInputs) -> Measures:
    """Kullback-Leibler divergence from the teacher's probabilities, and the error of the last linear layer's input.

    ``agreement`` is the percentage of images for which both predict the same class.
    """
    with _last_inputs(batch.teacher) as teacher_features, torch.no_grad():
        teacher_logits = batch.teacher(*batch.teacher_values())
    with _last_inputs(batch.tail) as features:
        logits = batch.tail(*batch.values)
    divergence = F.kl_div(
        F.log_softmax(logits, 1), F.log_softmax(teacher_logits, 1), log_target=True, reduction="batchmean"
    )
    return {
        "distortion": divergence + relative_error(features, teacher_features),
        "agreement": _percent(logits.argmax(1) == teacher_logits.argmax(1)),
    }


def detect(batch: LossInputs) -> Measures:
    """Return the sum of the losses that a detector computes itself, as torchvision's do.

    Raises:
        MethodError: a user's detector, which has none.
    """
    if not hasattr(batch.tail, "tail") or not hasattr(batch.tail.tail, "detector"):
        raise MethodError("this detector has no training loss: use `distortion: distill`")
    with _detector_mode(batch.tail, training=True):
        losses: dict[str, Tensor] = batch.tail(*batch.values, targets=batch.targets())
    return {"distortion": torch.stack(list(losses.values())).sum(), **losses}


def distill_detector(batch: LossInputs) -> Measures:
    """Return the error of the features, and of the outputs of the heads where the detector has one stage.

    Raises:
        MethodError: a whole detector of two stages is to be trained, whose second stage would learn nothing from it.
    """
    if batch.tail is not batch.teacher and hasattr(getattr(batch.tail.tail, "detector", None), "roi_heads"):
        raise MethodError("distillation cannot train a two-stage detector's second stage: set `distortion: task`")
    with torch.no_grad():
        expected = _observed(batch.teacher, batch.teacher_values())
    return {"distortion": relative_error(_observed(batch.tail, batch.values), expected)}


LOSSES: Mapping[tuple[str, str], Loss] = {
    ("classification", "task"): classify,
    ("classification", "distill"): distill_classifier,
    ("detection", "task"): detect,
    ("detection", "distill"): distill_detector,
}
"""By task and the method's choice of distortion."""


def relative_error(values: list[Tensor], expected: list[Tensor]) -> Tensor:
    """Squared error over the variance of ``expected``, the mean over all pairs; 0 where there are none."""
    errors = [F.mse_loss(x, y) / y.var().clamp_min(1e-6) for x, y in zip(values, expected, strict=True)]
    return torch.stack(errors).mean() if errors else torch.zeros(())


def _percent(right: Tensor) -> Tensor:
    return 100 * right.float().mean()


@contextmanager
def _last_inputs(tail: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list to which inputs of the tail's last linear layer are appended."""
    last = [module for module in tail.modules() if isinstance(module, nn.Linear)][-1:]
    seen: list[Tensor] = []
    handles = [module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for module in last]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class _Done(Exception):  # noqa: N818 (not an error)
    """Everything worth comparing was computed."""


def _observed(tail: nn.Module, values: tuple[Any, ...]) -> list[Tensor]:
    """Return the outputs that a detector's tail declares worth comparing; stops there, before boxes are computed."""
    modules: list[nn.Module] = tail.observed  # type: ignore[assignment]
    seen: list[Tensor] = []

    def record(module: nn.Module, inputs: Any, out: Any) -> None:
        seen.extend(x for x in tree_leaves(out) if isinstance(x, Tensor))
        if module is modules[-1]:
            raise _Done

    handles = [module.register_forward_hook(record) for module in modules]
    try:
        with _detector_mode(tail, training=False):  # in training, torchvision's detectors ask for targets
            tail(*values)
    except _Done:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen


@contextmanager
def _detector_mode(tail: nn.Module, training: bool) -> Iterator[None]:
    """Let a detector return its losses (training) or its detections; norms and dropout stay in their mode."""
    modes = [(module, module.training) for module in tail.modules()]
    unchanged = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for module, _ in modes:
        if not isinstance(module, unchanged):
            module.training = training
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
