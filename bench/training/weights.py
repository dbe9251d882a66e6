"""Weights written to files, and copied, averaged and loaded in memory."""

from pathlib import Path

import safetensors.torch as safetensors
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from splitbench.bench.training.report import TrainingError
from splitbench.bench.utils.files import write_file

Weights = dict[str, Tensor]


def save(model: nn.Module, path: Path, *, float16: bool = False) -> None:
    """Write the weights as .safetensors, complete or not at all.

    With ``float16``, matrices and kernels are stored so; norms, biases and statistics stay as they are, being small and
    of any magnitude.

    Raises:
        TrainingError: the file cannot be written; an existing one is intact.
    """
    weights = {
        name: (value.half() if float16 and value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    write_file(path, safetensors.save(weights, {}), error_type=TrainingError)


def copy_weights(model: nn.Module) -> Weights:
    """Return a copy of the model's ``state_dict``, on the same device."""
    return {name: value.detach().clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Load weights of :func:`copy_weights`. A model may leave frozen parts out of its ``state_dict``."""
    model.load_state_dict(weights, strict=False)


class MovingAverage:
    """An exponential moving average of trained parameters and of buffers; everything else in ``weights`` is constant.

    Args:
        model: The model before its first step.
        decay: How much of the average remains in each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.weights = copy_weights(model)
        self.decay = decay
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        buffers = {name for name, _ in model.named_buffers()}
        # A mask of minus infinities would average to NaN.
        self._averaged = {
            name
            for name, value in self.weights.items()
            if value.is_floating_point() and (name in trained or (name in buffers and bool(value.isfinite().all())))
        }
        self._copied = {name for name in self.weights if name in buffers} - self._averaged

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Blend in the weights after a step, counted from 0."""
        # A short memory at first, or the random weights of the beginning would stay for long.
        decay = min(self.decay, (1 + step) / (10 + step))
        current = model.state_dict()
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # all in one go on a GPU
        blend([self.weights[name] for name in self._averaged], [current[name] for name in self._averaged], None)
        for name in self._copied:
            self.weights[name].copy_(current[name])
