"""Head, unit and tail as one module for the trainer, which keeps frozen parts out of its parameters and modes."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from splitbench.bench.split import SplitModel
from splitbench.bench.split.new_head import new_sides
from splitbench.bench.training import Measures
from splitbench.bench.training.methods.losses import Loss, LossInputs, relative_error
from splitbench.bench.training.recipe import ParameterGroups, parameter_groups
from splitbench.bench.utils.errors import UserError
from splitbench.methods.base import Cut, Learned, Learning, MethodError, VariableUnit

HeadOutput = tuple[Any, ...]
"""What a head returns: the cut's tensors, then sizes that follow from the input's size."""

_WARM_UP_RATE = 0.05
"""Weight in the warm-up of a bit per element of the cut, against errors relative to the cut's variance. A rate point's
own lambda weighs bits against another distortion, and means nothing there."""


class Learner(nn.Module):
    """Computes the measures of a batch for one rate point.

    Args:
        learning: What the method asks for; its unit is trained where it lies.
        split: The backbone's own head and tail.
        pixels: Pixels of a training image, on average.
        loss: The distortion.

    Attributes:
        unit: The unit in training.
        own: What is trained besides: copies of head and tail, or a new head and perhaps a copy of the tail. The names
            of stored weights begin with ``own``.
        frozen: The backbone's own head and tail, in a tuple that hides them from ``nn.Module``: they are in no state
            dict, and never leave evaluation mode.
        tensors: Number of tensors of the cut.
    """

    def __init__(self, learning: Learning, split: SplitModel, pixels: float, loss: Loss) -> None:
        super().__init__()
        self.unit = learning.unit
        self.learning = learning
        self.tensors = len(split.specs)
        self.pixels = pixels
        self.loss = loss
        self.frozen = (split.head, split.tail)
        self.own = nn.ModuleDict()
        if learning.new_head is not None:
            self.own["new_head"] = learning.new_head
        elif learning.train_backbone:
            self.own["head"] = copy.deepcopy(split.head)
        if learning.train_backbone:
            self.own["tail"] = copy.deepcopy(split.tail)
        self.own.requires_grad_(True)
        self._new_sides = () if learning.new_head is None else new_sides(split, learning.new_head, self._own_tail)
        self._encoder_frozen = False

    @property
    def head(self) -> nn.Module:
        """The head of this rate point."""
        if self._new_sides:
            return self._new_sides[0]
        return self.own["head"] if "head" in self.own else self.frozen[0]

    @property
    def tail(self) -> nn.Module:
        """The tail of this rate point; behind a new head it begins with the decoder."""
        return self._new_sides[1] if self._new_sides else self._own_tail

    @property
    def has_frozen_head(self) -> bool:
        """Whether the backbone's own head is this rate point's."""
        return self.head is self.frozen[0]

    @property
    def _own_tail(self) -> nn.Module:
        return self.own["tail"] if "tail" in self.own else self.frozen[1]

    def learned(self) -> Learned:
        """Return the modules of this rate point."""
        return Learned(self.head, self.unit, self.tail)

    def begin(self, inputs: Any, cut: Cut) -> None:
        """Fit scales to a few training images and the cut that the frozen head makes of them."""
        if self.learning.new_head is not None:
            self.learning.new_head.begin(cut)
            cut = tuple(self.head(inputs)[: self.tensors])
        self.unit.begin(cut)

    def coded(self, sent: HeadOutput) -> tuple[Cut, Tensor]:
        """Return the backbone's cut that the server makes of what this rate point's head sent, and the bits, (B,)."""
        decoded, bits = self.unit(*sent[: self.tensors])
        if self.learning.new_head is not None:
            decoded = tuple(self.learning.new_head.decoder(x) for x in decoded)
        return decoded, bits

    def freeze_encoder(self) -> None:
        """Train no more of a new head than its decoder, nor its unit: what is sent stays as it is."""
        if self.learning.new_head is not None:
            self._encoder_frozen = True
            self.learning.new_head.encoder.requires_grad_(False)
            self.unit.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """See the base class; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self._encoder_frozen and self.learning.new_head is not None:
            self.learning.new_head.encoder.eval()
            self.unit.eval()
        return self

    def forward(self, inputs: Any, targets: Callable[[], Any], sent: HeadOutput | None = None) -> Measures:
        """Return the measures of a batch.

        Args:
            inputs: What the head takes; unused where ``sent`` is given.
            targets: Returns the targets, for a loss that needs them.
            sent: What the frozen head made of the inputs, where that is known already.
        """

        def uncompressed() -> HeadOutput:
            with torch.no_grad():
                out: HeadOutput = sent or self.frozen[0](inputs)
                return out

        values: HeadOutput = uncompressed() if self.has_frozen_head else self.head(inputs)
        images = len(values[0]) if self.training else None
        weights = rates(self.learning, images)
        several = [self._measure(lmbda, values, uncompressed, targets) for lmbda in weights]
        if len(several) == 1:
            return several[0]
        return {name: torch.stack([measures[name] for measures in several]).mean() for name in several[0]}

    def _measure(
        self,
        lmbda: float | Tensor,
        values: HeadOutput,
        uncompressed: Callable[[], HeadOutput],
        targets: Callable[[], Any],
    ) -> Measures:
        decoded, bits = self.coded(values)
        rate = bits.mean() / self.pixels
        weighted = lmbda * rate if isinstance(lmbda, float) else (lmbda.to(bits) * bits).mean() / self.pixels
        measures = self.loss(
            LossInputs(
                tail=self._own_tail,
                values=(*decoded, *values[self.tensors :]),
                teacher=self.frozen[1],
                teacher_values=(lambda: values) if self.has_frozen_head else uncompressed,
                targets=targets,
            )
        )
        loss: Tensor = weighted + measures["distortion"]
        return {"loss": loss, "bits_per_pixel": rate.detach()} | {k: v.detach() for k, v in measures.items()}

    def parameter_groups(self, weight_decay: float) -> ParameterGroups:
        """Return the optimizer's groups: the unit's, and the backbone's at its own learning rate."""
        groups = parameter_groups(
            self.unit.parameters(), weight_decay, without_decay=self.unit.parameters_without_decay()
        )
        if self.learning.new_head is not None:
            groups += parameter_groups(self.learning.new_head.parameters(), weight_decay)
        if self.learning.train_backbone:
            backbone = [p for name, module in self.own.items() if name != "new_head" for p in module.parameters()]
            groups += parameter_groups(backbone, weight_decay, lr_scale=self.learning.backbone_lr_scale)
        return groups

    def reset_backbone(self, untrained: SplitModel) -> None:
        """Begin with the weights of a backbone that was never trained, instead of the pretrained ones."""
        for name, side in (("head", untrained.head), ("tail", untrained.tail)):
            if name in self.own:
                self.own[name].load_state_dict(side.state_dict())

    def trained_weights(self) -> dict[str, Tensor]:
        """Return a copy of what is stored of a finished training, kernels as float16 if the method asks."""
        trained = {name for name, value in self.named_parameters() if value.ndim > 1}
        return {
            name: value.detach().half() if self.learning.float16 and name in trained else value.detach().clone()
            for name, value in self.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }

    def load_trained(self, weights: Mapping[str, Tensor], name: str) -> None:
        """Load weights of :meth:`trained_weights`. Raises UserError where they are another learner's."""
        try:
            result = self.load_state_dict(dict(weights), strict=False)
        except RuntimeError as error:
            raise UserError(f"trained weights {name} do not fit: {' '.join(str(error).split())[:300]}") from None
        missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
        if missing or result.unexpected_keys:
            wrong = ", ".join([*missing, *result.unexpected_keys][:3])
            raise UserError(f"trained weights {name} are of another backbone, split or unit ({wrong})")

    @torch.no_grad()
    def round_to_float16(self) -> None:
        """Round trained matrices and kernels to float16, where the method asks for it."""
        if self.learning.float16:
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(parameter.half())


def rates(learning: Learning, images: int | None) -> Iterator[float | Tensor]:
    """Yield the lambdas that a batch is measured at, with the unit set to each.

    For a variable unit that is one for each of ``images`` at random, or without their number, in validation, both
    bounds and their geometric mean.
    """
    if not isinstance(learning.lmbda, tuple):
        yield learning.lmbda
        return
    if not isinstance(learning.unit, VariableUnit):
        raise MethodError("a range of lambdas needs a `VariableUnit`")
    least, most = learning.lmbda
    for places in torch.tensor([0.0, 0.5, 1.0]) if images is None else [torch.rand(images)]:
        lmbda = least * (most / least) ** places
        learning.unit.at(lmbda)
        yield lmbda


class WarmUp(nn.Module):
    """Trains a learner's new unit to reproduce the cut that the frozen head sends, before the tail is considered.

    It needs no tail nor, where the head's outputs are in memory, the head. The training that follows begins near the
    uncompressed model, instead of with a unit that passes nothing on.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.unit, self.tensors, self.pixels = learner.unit, learner.tensors, learner.pixels
        self.learning = learner.learning
        self.frozen = (learner.frozen[0],)

    def forward(self, inputs: Any, targets: Any, sent: HeadOutput | None = None) -> Measures:
        """Return the measures of a batch; ``inputs`` and ``sent`` as for :class:`Learner`, ``targets`` unused."""
        with torch.no_grad():
            values: HeadOutput = sent or self.frozen[0](inputs)
        cut = values[: self.tensors]
        next(rates(self.learning, len(cut[0]) if self.training else None))
        decoded, bits = self.unit(*cut)
        elements = sum(x[0].numel() for x in cut)
        error = relative_error(list(decoded), list(cut))
        return {
            "loss": error + _WARM_UP_RATE * bits.mean() / elements,
            "bits_per_pixel": (bits.mean() / self.pixels).detach(),
            "distortion": error.detach(),
        }

    def parameter_groups(self, weight_decay: float) -> ParameterGroups:
        """Return the optimizer's groups."""
        return parameter_groups(
            self.unit.parameters(), weight_decay, without_decay=self.unit.parameters_without_decay()
        )
