"""What trained methods minimise besides the rate: the task's loss, or the distance from the uncompressed model.

Distillation needs no labels: it compares what the tail computes with what the frozen tail computes of the uncompressed
cut. Squared errors are over the variance of the truth, so that they weigh the same in every network.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from splitbench.bench.training import Measures
from splitbench.methods.base import MethodError


class Objective(Protocol):
    """``distortion`` is differentiated; further measures are for the learning curve."""

    def __call__(
        self,
        tail: nn.Module,
        values: tuple[Any, ...],
        truth: Callable[[], Any],
        teacher: nn.Module,
        uncompressed: Callable[[], tuple[Any, ...]],
    ) -> Measures:
        """Measures of a batch.

        Args:
            tail: The tail in training.
            values: What it is given: the decoded cut and sizes.
            truth: Gives the targets.
            teacher: The frozen tail.
            uncompressed: Gives what the teacher is given, without gradients.
        """
        ...


Uncompressed = Callable[[], tuple[Any, ...]]
Truth = Callable[[], Any]


def classify(
    tail: nn.Module, values: tuple[Any, ...], truth: Truth, teacher: nn.Module, uncompressed: Uncompressed
) -> Measures:
    """Cross entropy with the class indices (B,)."""
    logits, targets = tail(*values), truth()
    return {"distortion": F.cross_entropy(logits, targets), "accuracy": _share(logits.argmax(1) == targets)}


def distill_classifier(
    tail: nn.Module, values: tuple[Any, ...], truth: Truth, teacher: nn.Module, uncompressed: Uncompressed
) -> Measures:
    """Kullback-Leibler divergence from the teacher's probabilities, and the error of the last linear layer's input.

    ``agreement`` is the share of images, in percent, where both tell the same class.
    """
    with _last_inputs(teacher) as wanted, torch.no_grad():
        told = teacher(*uncompressed())
    with _last_inputs(tail) as found:
        logits = tail(*values)
    divergence = F.kl_div(F.log_softmax(logits, 1), F.log_softmax(told, 1), log_target=True, reduction="batchmean")
    return {
        "distortion": divergence + relative_error(found, wanted),
        "agreement": _share(logits.argmax(1) == told.argmax(1)),
    }


def detect(
    tail: nn.Module, values: tuple[Any, ...], truth: Truth, teacher: nn.Module, uncompressed: Uncompressed
) -> Measures:
    """The sum of the detector's own losses, which torchvision's detectors have.

    Raises:
        MethodError: a detector of one's own, which has none.
    """
    if not hasattr(tail, "tail") or not hasattr(tail.tail, "detector"):
        raise MethodError("this detector has no training loss: use `distortion: distill`")
    with _switched(tail, training=True):
        losses: dict[str, Tensor] = tail(*values, targets=truth())
    return {"distortion": torch.stack(list(losses.values())).sum(), **losses}


def distill_detector(
    tail: nn.Module, values: tuple[Any, ...], truth: Truth, teacher: nn.Module, uncompressed: Uncompressed
) -> Measures:
    """The error of the features, and of the outputs of the heads where the detector has one stage.

    Raises:
        MethodError: a whole detector of two stages is to be trained, whose second stage would learn nothing from it.
    """
    if tail is not teacher and hasattr(getattr(tail.tail, "detector", None), "roi_heads"):
        raise MethodError("distillation cannot train a two-stage detector's second stage: set `distortion: task`")
    with torch.no_grad():
        wanted = _observed(teacher, uncompressed())
    return {"distortion": relative_error(_observed(tail, values), wanted)}


OBJECTIVES: Mapping[tuple[str, str], Objective] = {
    ("classification", "task"): classify,
    ("classification", "distill"): distill_classifier,
    ("detection", "task"): detect,
    ("detection", "distill"): distill_detector,
}
"""By task and the method's choice of distortion."""


def _share(right: Tensor) -> Tensor:
    return 100 * right.float().mean()


def relative_error(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Squared error over the truth's variance, the mean over all pairs; 0 where there are none."""
    errors = [F.mse_loss(x, y) / y.var().clamp_min(1e-6) for x, y in zip(found, wanted, strict=True)]
    return torch.stack(errors).mean() if errors else torch.zeros(())


@contextmanager
def _last_inputs(tail: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, what the tail's last linear layer is given is appended to the list."""
    last = [module for module in tail.modules() if isinstance(module, nn.Linear)][-1:]
    seen: list[Tensor] = []
    handles = [module.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for module in last]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class _Enough(Exception):  # noqa: N818 (not an error)
    pass


def _observed(tail: nn.Module, values: tuple[Any, ...]) -> list[Tensor]:
    """The outputs of what a detector's tail says is worth comparing; it stops there, before boxes are made of them."""
    modules: list[nn.Module] = tail.observed  # type: ignore[assignment]
    seen: list[Tensor] = []

    def note(module: nn.Module, given: Any, out: Any) -> None:
        seen.extend(x for x in tree_leaves(out) if isinstance(x, Tensor))
        if module is modules[-1]:
            raise _Enough

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        with _switched(tail, training=False):  # in training, torchvision's detectors ask for targets
            tail(*values)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen


@contextmanager
def _switched(tail: nn.Module, training: bool) -> Iterator[None]:
    """While it lasts, a detector tells its losses or what it finds; norms and dropout stay in their mode."""
    modes = [(module, module.training) for module in tail.modules()]
    keep = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for module, _ in modes:
        if not isinstance(module, keep):
            module.training = training
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
