"""Weights written to files, and kept, averaged and put back in memory."""

from pathlib import Path

import safetensors.torch as safetensors
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from splitbench.bench.training.errors import TrainingError
from splitbench.bench.utils.files import write_whole

Weights = dict[str, Tensor]


def save(model: nn.Module, path: Path, half: bool = False) -> None:
    """Write the weights as .safetensors, complete or not at all.

    With ``half``, matrices and kernels are stored in float16; norms, biases and statistics stay as they are, being
    small and of any magnitude.

    Raises:
        TrainingError: the file cannot be written, the disk being full, say; one that was there is as it was.
    """
    weights = {
        name: (value.half() if half and value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, safetensors.save(weights, {}))
    except OSError as error:
        reason = error.strerror or error
        raise TrainingError(f"cannot save the weights {path}: {reason}; free space, or name another place") from None


def copy(model: nn.Module) -> Weights:
    """A copy of what the model's ``state_dict`` has, on the same device."""
    return {name: value.detach().clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def put(model: nn.Module, weights: Weights) -> None:
    """Put weights of :func:`copy` back. A model may leave frozen parts out of its ``state_dict``."""
    model.load_state_dict(weights, strict=False)


class Average:
    """An exponential moving average of trained parameters and of buffers; all else in ``weights`` is as it was."""

    def __init__(self, model: nn.Module, keep: float) -> None:
        self.weights = copy(model)
        self.keep = keep
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        buffers = {name for name, _ in model.named_buffers()}
        # A mask of minus infinities would average to NaN.
        self.moving = {
            name
            for name, value in self.weights.items()
            if value.is_floating_point() and (name in trained or (name in buffers and bool(value.isfinite().all())))
        }
        self.counting = {name for name in self.weights if name in buffers} - self.moving

    @torch.no_grad()
    def add(self, model: nn.Module, number: int) -> None:
        """Blend in the weights after step ``number``, counted from 0."""
        # A short memory at first, or the random weights of the beginning would stay for long.
        keep = min(self.keep, (1 + number) / (10 + number))
        now = model.state_dict()
        blend = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]  # all in one go on a GPU
        blend([self.weights[name] for name in self.moving], [now[name] for name in self.moving], None)
        for name in self.counting:
            self.weights[name].copy_(now[name])
