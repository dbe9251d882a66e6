"""What context mixing starts an image with: probabilities and weights as calibration images left them.

An image is short: what a model would learn from its beginning must be known before. Fitting codes the calibration
images one after another with one model (``mixing_kernel.py``) and stores its state, a byte for each slot: 7 bits of
its logit, and whether it was asked often. Every image starts from there, and learns on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.base import MethodError
from splitbench.methods.coding.context.neighbours import LARGEST, Maps
from splitbench.methods.coding.entropy.adaptive_range_coder import encoder
from splitbench.methods.coding.mixing import mixing_contexts, mixing_predictors
from splitbench.methods.coding.mixing.mixing_contexts import MEAN_ONE, Intervals, per_channel
from splitbench.methods.coding.mixing.mixing_kernel import LEARN, Running, new_slots, run, slot_count, weight_count
from splitbench.methods.coding.mixing.mixing_logistic import Slots, counts_of, logits_of, slots_at
from splitbench.methods.coding.mixing.mixing_predictors import Predictors

BUDGET = 2**16 - 1024
"""Bytes that the model of one tensor takes, about: intervals come on top."""

_MEAN_ONE = 256  # of stored means
_STEP = 32  # of stored logits
_OFTEN, _CERTAIN, _UNCERTAIN = 16, 30, 4  # asked so often: what counts as often, and what either counts as
_FIRST_WEIGHT = 13000  # of 65536
_SYMBOLS = 2**25  # of calibration images, at most: they are in memory at once


@dataclass(frozen=True, slots=True, eq=False)
class MixingModel:
    """The model of one tensor with C channels.

    Attributes:
        extent: The largest magnitude in calibration images, and whether there were negative symbols, int32, (2,).
        intervals: Of what contexts are made of.
        predictors: Of magnitudes.
        means: Of each channel, in 1/256, uint16, (C,).
        slots: Stored probabilities, uint8.
        weights: Of the mixer, in 1/65536, int32.

    Raises:
        MethodError: the parts do not fit together, as in a damaged file.
    """

    extent: npt.NDArray[np.int32]
    intervals: Intervals
    predictors: Predictors
    means: npt.NDArray[np.uint16]
    slots: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check what a damaged file could break."""
        if not self._sound():
            raise MethodError("invalid model for mixing: fit or download it again")

    def _sound(self) -> bool:
        parts, channels = self.predictors, len(self.means)
        arrays = (self.extent, self.means, self.slots, self.weights)
        arrays_of_parts = (parts.coefficients, parts.constants, parts.earlier)
        dtypes = [x.dtype.type for x in (*arrays, *arrays_of_parts)]
        if dtypes != [np.int32, np.uint16, np.uint8, np.int32, np.int8, np.int16, np.uint16]:
            return False
        if self.extent.shape != (2,) or parts.earlier.ndim != 2 or not self.intervals.sound():
            return False
        top, signed = self.extent.tolist()
        count = parts.earlier.shape[1]
        shapes = [x.shape for x in (*arrays[1:], *arrays_of_parts)]
        rows = [(channels, mixing_predictors.NEIGHBOURS + count), (channels,), (channels, count)]
        if shapes != [(channels,), (slot_count(channels, bool(signed)),), (weight_count(),), *rows]:
            return False
        known = (parts.earlier < np.arange(channels)[:, None]) | (parts.earlier == channels)
        return 0 < top <= LARGEST and count > 0 and bool(known.all())

    def running(self) -> Running:
        """Return the model, laid out for the compiled loop."""
        return _running(self, _stored_slots(self.slots), self.weights.astype(np.int64))

    def to_tensors(self, name: str = "") -> dict[str, Tensor]:
        """Return the arrays as tensors to store, with ``.name`` behind their names."""
        arrays = {
            "extent": self.extent,
            "coefficients": self.predictors.coefficients,
            "constants": self.predictors.constants,
            "earlier": self.predictors.earlier,
            "channel_means": self.means,
            "slots": self.slots,
            "mixing": self.weights,
        }
        tensors = {key: torch.from_numpy(array) for key, array in arrays.items()} | self.intervals.to_tensors()
        return {f"{key}.{name}" if name else key: tensor for key, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "MixingModel":
        """Restore the model of :meth:`to_tensors`. Raises KeyError for missing parts, MethodError for invalid ones."""
        arrays = {key: tensor.cpu().numpy() for key, tensor in tensors.items()}
        predictors = Predictors(*(arrays[key] for key in ("coefficients", "constants", "earlier")))
        others = (arrays[key] for key in ("channel_means", "slots", "mixing"))
        return cls(arrays["extent"], Intervals.from_tensors(tensors), predictors, *others)


def fit(images: Iterable[Maps]) -> MixingModel:
    """Return a model for maps (C, H, W) of calibration images, all of one shape or of several.

    Raises:
        MethodError: there are no images.
    """
    several = _several(images)
    if not several:
        raise MethodError("no calibration images: name some in the sweep's `calibration`")
    largest = max(several.values(), key=lambda maps: sum(x.size for x in maps))  # of one shape
    magnitudes = np.stack([_magnitudes(maps) for maps in largest])
    channels = magnitudes.shape[1]
    negative = any(bool((maps < 0).any()) for alike in several.values() for maps in alike)
    top = max(1, int(magnitudes.max(initial=0)))
    if magnitudes.size == 0:
        magnitudes = np.zeros((1, channels, 1, 1), np.uint8)
    slots = new_slots(channels, negative)
    predictors, predicted = mixing_predictors.fitted(
        magnitudes, BUDGET - len(slots) - 4 * weight_count() - 2 * channels
    )
    model = MixingModel(
        np.array([top, negative], np.int32),
        mixing_contexts.fitted(magnitudes, predicted, top),
        predictors,
        np.round(magnitudes.mean((0, 2, 3)) * _MEAN_ONE).astype(np.uint16),
        _to_store(slots),
        np.full(weight_count(), _FIRST_WEIGHT, np.int32),
    )
    learning = _running(model, slots, model.weights.astype(np.int64))
    for alike in several.values():
        for maps in alike:
            run(maps, np.zeros(1, np.uint32), encoder(), learning, LEARN)
    stored = _to_store(learning.slots), learning.weights.clip(-(2**31), 2**31 - 1).astype(np.int32)
    return MixingModel(model.extent, model.intervals, model.predictors, model.means, *stored)


def _several(images: Iterable[Maps]) -> dict[tuple[int, ...], list[Maps]]:
    """Images by shape, as many as there is room for."""
    several: dict[tuple[int, ...], list[Maps]] = {}
    room = _SYMBOLS
    for maps in images:
        room -= maps.size
        if several and room < 0:
            break
        several.setdefault(maps.shape, []).append(maps.copy())
    return several


def _magnitudes(maps: Maps) -> "npt.NDArray[np.uint8]":
    return np.abs(maps.astype(np.int64)).clip(0, LARGEST).astype(np.uint8)


def _running(model: MixingModel, slots: Slots, weights: "npt.NDArray[np.int64]") -> Running:
    top = int(model.extent[0])
    return Running(
        slots=slots,
        weights=weights,
        coefficients=model.predictors.coefficients.astype(np.int64),
        constants=model.predictors.constants.astype(np.int64),
        earlier=model.predictors.earlier.astype(np.int64),
        means=model.means.astype(np.int64) * (MEAN_ONE // _MEAN_ONE),
        lookups=model.intervals.lookups(),
        shifts=(mixing_contexts.shift(top, mixing_predictors.ONE), mixing_contexts.shift(top, MEAN_ONE)),
        per_channel=per_channel(len(model.means)),
        signed=bool(model.extent[1]),
    )


def _to_store(slots: Slots) -> "npt.NDArray[np.uint8]":
    steps = ((logits_of(slots) + _STEP // 2) // _STEP).clip(-63, 63) + 64
    return (2 * steps + (counts_of(slots) >= _OFTEN)).astype(np.uint8)


def _stored_slots(stored: "npt.NDArray[np.uint8]") -> Slots:
    steps, often = np.divmod(stored.astype(np.int32), 2)
    return slots_at((steps - 64).clip(-63, 63) * _STEP, np.where(often > 0, _CERTAIN, _UNCERTAIN))
