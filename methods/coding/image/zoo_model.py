"""An image codec of CompressAI's zoo: its networks, its encoder's bitstreams, and a decoder that takes any bytes.

CompressAI's models come in three kinds: a factorized prior codes the latent y with tables per channel; a hyperprior
sends a second latent z first, from which both sides predict the scales (and means) of y; with a context model, the
values around count, too, so that y is decoded place by place (Ballé et al., 2018; Minnen et al., 2018; Cheng et al.,
2020). ``compress`` is CompressAI's; decoding takes the same steps and floats, but reads by ``rans.py``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.image.rans import Cdfs, RansDecoder

_ENCODER, _DECODER = ("g_a", "h_a"), ("g_s",)
_TRAINING = ("matrices", "biases", "factors", "target")  # of the entropy bottleneck: its tables follow from them
_KERNEL = 5  # of the context model, and what it reaches to each side
_REACH = 2


class ZooModel:
    """A model of ``compressai.zoo`` with everything that only training needs taken out.

    Args:
        model: It, in CompressAI's classes. It is changed.

    Raises:
        MethodError: its tables cannot be used.
    """

    def __init__(self, model: Any) -> None:
        model.eval().requires_grad_(False)
        if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
            raise MethodError("these weights cannot be used: some are not finite")  # its encoder would never end
        model.update()
        for name in _TRAINING:
            delattr(model.entropy_bottleneck, name)
        self.model = model
        self.stride = int(model.downsampling_factor)
        self.hyper, self.context = hasattr(model, "h_s"), hasattr(model, "context_prediction")
        self.cdfs = {name: _cdfs(module) for name, module in model.named_children() if hasattr(module, "quantized_cdf")}

    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """What the device stores, and what the server does: all but the networks of the other."""
        state = {name: value for name, value in self.model.state_dict().items() if value.numel()}
        device = {name: value for name, value in state.items() if name.partition(".")[0] not in _DECODER}
        server = {name: value for name, value in state.items() if name.partition(".")[0] not in _ENCODER}
        return device, server

    def compress(self, x: Tensor) -> tuple[bytes, bytes]:
        """The streams of z, empty where there is none, and y, of one picture (1, 3, H, W) from 0 to 1."""
        y, *z = (streams[0] for streams in self.model.compress(x)["strings"])
        return (z[0] if z else b""), y

    def decompress(self, z: bytes, y: bytes, height: int, width: int) -> Tensor:
        """The picture (1, 3, height, width). Raises BitstreamError for bytes that no encoder wrote."""
        height, width = height // self.stride, width // self.stride
        if not self.hyper:
            latent = self._bottleneck(y, height, width)
        else:
            params = self.model.h_s(self._bottleneck(z, height, width))
            reader = RansDecoder(y)
            latent = self._with_context(reader, params) if self.context else self._conditional(reader, params)
            reader.end()
        decoded: Tensor = self.model.g_s(latent)
        if not bool(torch.isfinite(decoded).all()):
            raise BitstreamError("damaged bitstream: its picture is not finite")
        return decoded

    def _bottleneck(self, data: bytes, height: int, width: int) -> Tensor:
        """The latent (1, C, height, width) that is coded with tables per channel."""
        medians: Tensor = self.model.entropy_bottleneck.quantiles[:, :, 1:2]
        channels = len(medians)
        indexes = torch.arange(channels, dtype=torch.int32)[:, None, None].expand(channels, height, width)
        reader = RansDecoder(data)
        values = self._read(reader, "entropy_bottleneck", indexes)
        reader.end()
        return (values + medians)[None]

    def _conditional(self, reader: RansDecoder, params: Tensor) -> Tensor:
        """The latent whose scales, and means where the model has them, are ``params``."""
        gaussian = self.model.gaussian_conditional
        if params.shape[1] == self.model.M:
            return self._read(reader, "gaussian_conditional", gaussian.build_indexes(params))
        scales, means = params.chunk(2, 1)
        return self._read(reader, "gaussian_conditional", gaussian.build_indexes(scales)) + means

    def _with_context(self, reader: RansDecoder, params: Tensor) -> Tensor:
        """The latent, place by place, each predicted from ``params`` and from those above and to the left."""
        model = self.model
        channels, (height, width) = model.M, params.shape[2:]
        latent = params.new_zeros(1, channels, height + 2 * _REACH, width + 2 * _REACH)
        weight, bias = model.context_prediction.weight * model.context_prediction.mask, model.context_prediction.bias
        for row in range(height):
            for column in range(width):
                around = latent[:, :, row : row + _KERNEL, column : column + _KERNEL]
                context = nn.functional.conv2d(around, weight, bias)
                here = params[:, :, row : row + 1, column : column + 1]
                predicted = model.entropy_parameters(torch.cat((here, context), 1))
                place = self._conditional(reader, predicted)
                latent[:, :, row + _REACH, column + _REACH] = place[:, :, 0, 0]
        return latent[:, :, _REACH:-_REACH, _REACH:-_REACH]

    def _read(self, reader: RansDecoder, name: str, indexes: Tensor) -> Tensor:
        values = reader.values(np.ascontiguousarray(indexes.numpy(), np.int32).ravel(), self.cdfs[name])
        return torch.from_numpy(values).reshape(indexes.shape).float()


def _cdfs(module: Any) -> Cdfs:
    try:
        return Cdfs(module.quantized_cdf.numpy(), module.cdf_length.numpy(), module.offset.numpy())
    except ValueError as error:
        raise MethodError(f"these weights cannot be used: {error}") from None
