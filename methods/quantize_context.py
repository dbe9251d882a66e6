"""quantize-context: linear quantization as in quantize-rle, then range coding by channel and causal neighbours.

The strongest training-free coders here. Levels are quantize-rle's, so that the decoded cut and the accuracy
are its for equal settings; only the bytes differ.

1. *Range* and *quantization* are quantize-rle's. A symbol is a level less its zero point, so 0 stands for 0.
   ``levels: designed`` takes such as were designed for few bits (``coding/quantization/designed_levels.py``).
2. *Context*: neighbouring values are alike. Each symbol's table is chosen by its channel and by how large the symbols
   west, north, north-west and north-east of it are (of tokens: the one before, or the same place in the channel
   before), in eight classes (``coding/context/neighbours.py``), as lossless image coders do (CALIC, Wu and Memon,
   1997).
3. *Tables* are integers, counted on calibration images and stored on both sides, not sent. Channels and classes that
   are alike share a table: 64 KiB per tensor at most (``coding/context/context_tables.py``).

``model: mixing`` takes the place of 2 and 3: a magnitude is a row of binary decisions, whose probabilities several
contexts give, mixed by weights, and all of these learn while the image is coded (lossless coders such as PAQ do so;
Mahoney, 2005). Strongest of the contexts is a linear prediction from neighbours and from the channels before that go
along with this one (``coding/mixing/mixing_predictors.py``). Images start from what calibration images taught,
64 KiB per tensor at most. It saves the most bytes, and takes several times as long.

Bitstream of one image:

    ranges        2 or 4 bytes per group and tensor     side information; absent with ``range: calibrated``
    symbols       the rest                              payload: one stream through all tensors, no framing
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from splitbench.methods import base
from splitbench.methods.base import Context, Cut, Deployment, TensorSpec
from splitbench.methods.coding.channels import channels_in_front
from splitbench.methods.coding.context import context_tables
from splitbench.methods.coding.context.context_coder import ContextCoder
from splitbench.methods.coding.context.context_tables import ContextCounts, ContextTables
from splitbench.methods.coding.context.neighbours import Maps
from splitbench.methods.coding.layout import map_shape
from splitbench.methods.coding.mixing import mixing_model
from splitbench.methods.coding.mixing.mixing_coder import MixingCoder
from splitbench.methods.coding.quantization import designed_levels
from splitbench.methods.coding.quantization.quantizer import Quantizer
from splitbench.methods.coding.quantization.symbols_codec import SymbolsCodec


class Settings(designed_levels.Settings):
    """The quantizer's settings; ``model``: fixed ``tables``, or adaptive ``mixing``, which is slower and saves more."""

    model: Literal["tables", "mixing"] = "tables"

    _before: ClassVar[dict[str, Any]] = designed_levels.Settings._before | {"model": "tables"}

    def coding_revision(self) -> int:
        """See the base class."""
        return super().coding_revision() + (context_tables.REVISION if self.model == "tables" else 0)


class QuantizeContext:
    """Linear quantization and entropy coding with tables by channel and neighbours."""

    summary: ClassVar[str] = "linear quantization + range coding by channel and neighbours, no training"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "bits"
    rates: ClassVar[tuple[Any, ...]] = (1, 2, 3, 4, 5, 6, 7, 8)
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    only_at: ClassVar[str | None] = None
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Calibration images, for the tables."""
        return frozenset({"calibration"})

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Fit ranges and tables. Raises MethodError where calibration images are missing."""
        return channels_in_front(partial(_deploy, settings), context)


def _deploy(settings: Any, context: Context) -> Deployment:
    fitted = designed_levels.fit(settings, context)
    places = range(len(context.specs))
    coder: ContextCoder | MixingCoder
    if settings.model == "mixing":
        models = [mixing_model.fit(_images(fitted, context, index)) for index in places]
        coder, named = MixingCoder(models), [model.to_tensors(str(index)) for index, model in enumerate(models)]
    else:
        tables = [_tables(fitted, context, index) for index in places]
        coder, named = ContextCoder(tables), [table.to_tensors(str(index)) for index, table in enumerate(tables)]
    stored = fitted.stored()
    for tensors in named:
        stored |= tensors
    return Deployment(context.head, _Codec(fitted, [_MapLayout()] * len(places), coder), context.tail, stored, stored)


def _tables(fitted: Quantizer, context: Context, index: int) -> ContextTables:
    """Return the tables of one tensor of the cut."""
    largest = fitted.settings.top
    counts = ContextCounts(map_shape(context.specs[index].shape)[0], -largest, largest)
    return counts.fit(counts.classes(_images(fitted, context, index)), _images(fitted, context, index))


def _images(fitted: Quantizer, context: Context, index: int) -> Iterator[Maps]:
    """Yield the symbols of one tensor of the cut in each calibration image."""
    for cut in context.calibration():
        symbols = fitted.symbols(cut[index], fitted.ends_of(cut[index], index))
        yield from _MapLayout().arrange(symbols).contiguous().cpu().numpy()


class _MapLayout:
    """Symbols as maps (B, C, H, W)."""

    def arrange(self, symbols: Tensor) -> Tensor:
        return symbols.reshape(len(symbols), *map_shape(symbols.shape[1:]))

    def shape(self, spec: TensorSpec) -> tuple[int, int, int]:
        return map_shape(spec.shape)

    def restore(self, symbols: Tensor, spec: TensorSpec) -> Tensor:
        return symbols.reshape(1, *spec.shape)


class _Codec(SymbolsCodec):
    def ideal_bits(self, cut: Cut) -> list[float]:
        """Return what each image's symbols would take if coding came to the logarithms of their probabilities."""
        return [self.coder.bits(image) for image in self._symbols(cut, self._ends(cut))]


METHOD = QuantizeContext()
