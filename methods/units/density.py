"""The learned density of a unit's symbols: CompressAI's, without what makes a GPU wait."""

import warnings

from torch import Tensor

with warnings.catch_warnings():  # what CompressAI does as it is imported; nothing that a user could change
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    from compressai.entropy_models import EntropyBottleneck

__all__ = ["Density", "EntropyBottleneck"]


class Density(EntropyBottleneck):  # type: ignore[misc]
    """Computes what ``EntropyBottleneck`` does, bit for bit.

    That one brings the channels to the front by an order of axes that it makes on the device and reads back, element by
    element, three times in every call; each time, the host waits until the GPU has done all that was queued.
    """

    def forward(self, x: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Values (B, C, ...) with noise, or rounded where not in training, and their likelihoods, in the same shape."""
        noisy = self.training if training is None else training
        first = x.transpose(0, 1).contiguous()
        values = first.reshape(len(first), 1, -1)
        values = self.quantize(values, "noise" if noisy else "dequantize", self._get_medians())
        likelihood, _, _ = self._likelihood(values)
        if self.use_likelihood_bound:
            likelihood = self.likelihood_lower_bound(likelihood)
        back = [y.reshape(first.shape).transpose(0, 1).contiguous() for y in (values, likelihood)]
        return back[0], back[1]
