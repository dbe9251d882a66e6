"""Range coding of maps with adaptive mixing of context models: the verbs of ``ContextCoder``.

One range coder runs through all tensors of a cut. Each image starts from the stored models (``mixing_model.py``), which
learn on as it is coded. Everything is whole numbers, so that streams decode alike on every machine.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from splitbench.methods.base import BitstreamError, MethodError
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.entropy.adaptive_range_coder import decoder, encoder, finished
from splitbench.methods.coding.entropy.range_stream import check_end, words_of
from splitbench.methods.coding.mixing.mixing_decisions import BIT
from splitbench.methods.coding.mixing.mixing_kernel import DECODE, ENCODE, LEARN, Running, most_bits, run
from splitbench.methods.coding.mixing.mixing_model import MixingModel


class MixingCoder:
    """Codes the tensors of a cut in one go.

    It holds its models alone until it codes; what it makes of them then takes milliseconds: keep it.
    """

    def __init__(self, models: Sequence[MixingModel]) -> None:
        self.models = tuple(models)

    @cached_property
    def _running(self) -> list[Running]:
        return [model.running() for model in self.models]

    def encode(self, symbols: Sequence[Maps]) -> bytes:
        """Code one image's symbols, int32 (C, H, W) for each tensor in order.

        Raises:
            MethodError: a tensor's channels are not its model's.
        """
        room = sum(maps.size * most_bits(int(np.abs(maps.astype(np.int64)).max(initial=0))) for maps in symbols)
        words, state = np.zeros(room // 32 + 8, np.uint32), encoder()
        for model, maps in zip(self._running, symbols, strict=True):
            _check(model, maps.shape)
            run(maps, words, state, model.copy(), ENCODE)
        return finished(words, state)

    def bits(self, symbols: Sequence[Maps]) -> float:
        """Return what one image's symbols would take if coding came to the logarithms of the models' probabilities."""
        state = encoder()
        for model, maps in zip(self._running, symbols, strict=True):
            _check(model, maps.shape)
            run(maps, np.zeros(1, np.uint32), state, model.copy(), LEARN)
        return int(state[2]) / BIT

    def decode(self, data: bytes | memoryview, shapes: Sequence[tuple[int, int, int]]) -> list[Maps]:
        """Return all symbols of one image, of the given shapes (C, H, W); ``data`` is all that :meth:`encode` returned.

        Raises:
            BitstreamError: the bytes end with a zero, continue behind the last symbol, or hold what no encoder writes.
        """
        words = words_of(data)
        state = decoder(words)
        decoded = []
        for model, shape in zip(self._running, shapes, strict=True):
            _check(model, shape)
            maps = np.zeros(shape, np.int32)
            if not run(maps, words, state, model.copy(), DECODE):
                raise BitstreamError("damaged bitstream: no mixing coder writes such bytes")
            decoded.append(maps)
        check_end(words, state)
        return decoded


def _check(model: Running, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[0] != len(model.means):
        raise MethodError(f"maps {shape} for a model of {len(model.means)} channels: they must be (channels, H, W)")
