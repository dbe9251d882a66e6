"""The first stage of training a new head: it learns what the frozen head sends, before anything else is trained."""

from typing import Any

import torch
from torch import nn

from splitbench.bench.training import Measures
from splitbench.bench.training.methods.learner import Learner
from splitbench.bench.training.methods.losses import Loss, LossInputs, relative_error
from splitbench.bench.training.recipe import ParameterGroups, parameter_groups
from splitbench.methods.base import MethodError


class HeadDistillation(nn.Module):
    """Trains a learner's new head and unit for rate, the error of the cut, and what the frozen tail makes of the cut.

    No label is asked for. The encoder is frozen afterwards, so this stage alone decides what is sent.

    Args:
        learner: With a new head.
        distance: How far the frozen tail's answers to the decoded cut are from those to the uncompressed one.
    """

    def __init__(self, learner: Learner, distance: Loss) -> None:
        super().__init__()
        if not isinstance(learner.learning.lmbda, float):
            raise MethodError("a new head is trained for one `lmbda`, a float")
        self.lmbda = learner.learning.lmbda
        self.unit = learner.unit
        self.new_head = learner.learning.new_head
        self.learner = (learner,)  # in a tuple: a copy of the tail is not trained yet
        self.distance = distance

    def forward(self, inputs: Any, targets: Any, sent: Any = None) -> Measures:
        """Return the measures of a batch; the arguments are those of :class:`Learner`."""
        (learner,) = self.learner
        head, tail = learner.frozen
        with torch.no_grad():
            expected = sent or head(inputs)
        decoded, bits = learner.coded(learner.head(inputs))
        sizes = expected[learner.tensors :]
        error = relative_error(list(decoded), list(expected[: learner.tensors]))
        measures = self.distance(
            LossInputs(
                tail=tail, values=(*decoded, *sizes), teacher=tail, teacher_values=lambda: expected, targets=targets
            )
        )
        rate = bits.mean() / learner.pixels
        loss = self.lmbda * rate + error + measures["distortion"]
        return {
            "loss": loss,
            "bits_per_pixel": rate.detach(),
            "cut_error": error.detach(),
            **{name: value.detach() for name, value in measures.items()},
        }

    def parameter_groups(self, weight_decay: float) -> ParameterGroups:
        """Return the optimizer's groups."""
        return parameter_groups(self.parameters(), weight_decay, without_decay=self.unit.parameters_without_decay())
