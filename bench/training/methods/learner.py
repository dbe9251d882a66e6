"""Head, unit and tail as one module for the trainer: what is frozen is kept out of its parameters and its modes."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from splitbench.bench.training import Measures
from splitbench.bench.training.methods.losses import Objective
from splitbench.bench.utils.errors import UserError
from splitbench.methods.base import Learning

Sent = tuple[Any, ...]
"""What a head returns: the cut's tensors, then sizes that follow from the input's size."""


class _Own(nn.ModuleDict):
    share: float = 1.0
    """Of the learning rate: the trainer looks for it."""


class Learner(nn.Module):
    """Maps a batch to the measures of one rate point.

    Attributes:
        unit: The unit in training.
        frozen: The backbone's own head and tail, in a tuple that hides them from ``nn.Module``: they are in no state
            dict, and never leave evaluation mode.
    """

    def __init__(
        self,
        learning: Learning,
        head: nn.Module,
        tail: nn.Module,
        tensors: int,
        pixels: float,
        objective: Objective,
    ) -> None:
        super().__init__()
        self.unit = learning.unit
        self.rate_weight = learning.rate
        self.tensors = tensors
        self.pixels = pixels
        self.objective = objective
        self.halved = learning.half
        self.frozen = (head, tail)
        self.own = _Own()
        if learning.everything:
            self.own.update({"head": copy.deepcopy(head), "tail": copy.deepcopy(tail)})
            self.own.requires_grad_(True)
            self.own.share = learning.share

    @property
    def head(self) -> nn.Module:
        """The head of this rate point."""
        return self.own["head"] if self.own else self.frozen[0]

    @property
    def tail(self) -> nn.Module:
        """The tail of this rate point."""
        return self.own["tail"] if self.own else self.frozen[1]

    def forward(self, inputs: Any, truth: Callable[[], Any], sent: Sent | None = None) -> Measures:
        """Measures of a batch.

        Args:
            inputs: What the head takes; unused where ``sent`` is given.
            truth: Gives the targets, to a loss that needs them.
            sent: What the frozen head made of the inputs, where that is known already.
        """

        def uncompressed() -> Sent:
            with torch.no_grad():
                out: Sent = sent or self.frozen[0](inputs)
                return out

        values: Sent = self.own["head"](inputs) if self.own else uncompressed()
        decoded, bits = self.unit(*values[: self.tensors])
        rate = bits.mean() / self.pixels
        teacher = uncompressed if self.own else lambda: values
        measures = self.objective(self.tail, (*decoded, *values[self.tensors :]), truth, self.frozen[1], teacher)
        loss: Tensor = self.rate_weight * rate + measures["distortion"]
        return {"loss": loss, "bits_per_pixel": rate.detach()} | {k: v.detach() for k, v in measures.items()}

    def forget(self, head: nn.Module, tail: nn.Module) -> None:
        """Begin with the weights of these halves, of a backbone that was never trained, instead of the pretrained."""
        self.own["head"].load_state_dict(head.state_dict())
        self.own["tail"].load_state_dict(tail.state_dict())

    def state(self) -> dict[str, Tensor]:
        """What is stored of a finished training, nothing of it sharing memory; halved kernels as float16."""
        trained = {name for name, value in self.named_parameters() if value.ndim > 1}
        return {
            name: value.detach().half() if self.halved and name in trained else value.detach().clone()
            for name, value in self.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }

    def restore(self, state: Mapping[str, Tensor], name: str) -> None:
        """Put a stored training's tensors in. Raises UserError where they are another learner's."""
        try:
            found = self.load_state_dict(dict(state), strict=False)
        except RuntimeError as error:
            raise UserError(f"trained weights {name} do not fit: {' '.join(str(error).split())[:300]}") from None
        missing = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
        if missing or found.unexpected_keys:
            wrong = ", ".join([*missing, *found.unexpected_keys][:3])
            raise UserError(f"trained weights {name} are of another backbone, split or unit ({wrong})")

    @torch.no_grad()
    def halve(self) -> None:
        """Round trained matrices and kernels to what float16 holds, where the method asked for it."""
        if not self.halved:
            return
        for parameter in self.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half())
