"""Probability tables in integers: what a coder and its decoder must agree on to the bit.

Symbols of one tensor come in G groups (its channels, or one group for all), (G, N) in all. Each group has a *support*
of consecutive symbols, each with a frequency of at least 1; all frequencies of a group add up to ``TOTAL``, with the
rest, at least 1, for the *escape*, which stands for every symbol outside. What an escape stands for is coded
by its *distance*: v of the symbols beyond the support's end lie between it and the symbol; above, the distance is 2 v,
below it is 2 v + 1. So every int32 symbol can be coded with any table.

Frequencies and not probabilities are stored, 2 bytes each, since both sides must derive the same coder from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitbench.methods.base import BitstreamError, MethodError

Symbols = npt.NDArray[np.int32]
"""Symbols of one tensor of one image, (G, N)."""

_Numbers = npt.NDArray[Any]

PRECISION = 16
TOTAL = 2**PRECISION

_SYMBOL = 1.44 / TOTAL  # bits that every symbol costs for one more in the support: log2(TOTAL / (TOTAL - 1))
_ESCAPE = 10.0  # bits, about, that an escape costs more than a symbol in the support
_MARGIN = 1e-3  # of TOTAL, so that rounding never gives out more than there is


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Frequencies of G groups. Equal arrays give equal bytes, on every machine.

    Attributes:
        frequencies: uint16, group after group, without the escapes', which follow from ``TOTAL``.
        lengths: How many of them each group has, uint16, (G,).
        lowest: Each group's lowest symbol in the support, int32, (G,).
    """

    frequencies: npt.NDArray[np.uint16]
    lengths: npt.NDArray[np.uint16]
    lowest: npt.NDArray[np.int32]

    _NAMES: ClassVar[tuple[str, ...]] = ("frequencies", "lengths", "lowest")

    def __post_init__(self) -> None:
        """Check what a damaged file could break. Raises MethodError."""
        if not self._valid():
            raise MethodError("invalid probability tables: the frequencies do not add up; fit or download them again")

    def _valid(self) -> bool:
        arrays = (self.frequencies, self.lengths, self.lowest)
        dtypes = [np.dtype(np.uint16), np.dtype(np.uint16), np.dtype(np.int32)]
        if [x.dtype for x in arrays] != dtypes or any(x.ndim != 1 for x in arrays):
            return False
        lengths = self.lengths.astype(np.int64)
        if (
            not 0 < len(lengths) == len(self.lowest)
            or not (lengths > 0).all()
            or lengths.sum() != len(self.frequencies)
        ):
            return False
        sums = np.add.reduceat(self.frequencies.astype(np.int64), self.starts)
        highest = self.lowest.astype(np.int64) + lengths - 1
        return bool((self.frequencies > 0).all() and (sums < TOTAL).all() and (highest < 2**31).all())

    @property
    def groups(self) -> int:
        """G."""
        return len(self.lengths)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each group's frequencies begin, (G,)."""
        lengths = self.lengths.astype(np.int64)
        return np.cumsum(lengths) - lengths

    def with_escapes(self) -> list[npt.NDArray[np.int64]]:
        """Return each group's frequencies, the escape's last; they add up to ``TOTAL``."""
        parts = np.split(self.frequencies.astype(np.int64), self.starts[1:])
        return [np.append(part, TOTAL - part.sum()) for part in parts]

    def by_group(self) -> "list[Tables]":
        """Return the tables of each group by themselves, in the same memory."""
        ends = [*self.starts[1:], len(self.frequencies)]
        return [
            Tables(self.frequencies[start:end], self.lengths[i : i + 1], self.lowest[i : i + 1])
            for i, (start, end) in enumerate(zip(self.starts, ends, strict=True))
        ]

    def indices(self, symbols: Symbols) -> tuple[Symbols, npt.NDArray[np.int64]]:
        """Places (G, N) in each group's table, the escape's where a symbol is outside; and the escapes' distances.

        ``symbols`` has as many groups as the tables, or the tables have one for all. Distances are in memory order.
        """
        self.check(symbols.shape)
        lowest, lengths = self.lowest[:, None], self.lengths[:, None].astype(np.uint32)
        # Differences of int32 modulo 2**32: what lies below the support wraps around to far above it.
        places = symbols.view(np.uint32) - lowest.view(np.uint32)
        outside = places >= lengths
        if not bool(outside.any()):
            return places.view(np.int32), np.empty(0, np.int64)
        group = np.nonzero(outside)[0] if self.groups > 1 else 0
        symbol, low = symbols[outside].astype(np.int64), self.lowest[group].astype(np.int64)
        above = symbol - (low + self.lengths[group])
        return np.minimum(places, lengths).view(np.int32), np.where(above >= 0, 2 * above, 2 * (low - 1 - symbol) + 1)

    def symbols(self, indices: Symbols, distances: Callable[[int], npt.NDArray[np.int64]]) -> Symbols:
        """Return the inverse of :meth:`indices`; ``distances(n)`` reads the distances of the n escapes.

        Raises:
            BitstreamError: a distance leads out of int32.
        """
        outside = indices == self.lengths[:, None].astype(np.int32)
        symbols = indices + self.lowest[:, None]
        escapes = int(np.count_nonzero(outside))
        if escapes == 0:
            return symbols
        group = np.nonzero(outside)[0] if self.groups > 1 else 0
        symbols[outside] = escaped_symbols(self.lowest[group], self.lengths[group], distances(escapes))
        return symbols

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise MethodError where symbols of this shape are not (G, N), or (any, N) for tables of one group."""
        if len(shape) != 2 or self.groups not in (1, shape[0]):
            raise MethodError(f"symbols {shape} for tables of {self.groups} groups: they must be (groups, N)")

    def to_tensors(self, name: str = "") -> dict[str, Tensor]:
        """Return the arrays as tensors: ``frequencies``, ``lengths`` and ``lowest``, with ``.name`` appended."""
        suffix = f".{name}" if name else ""
        return {key + suffix: torch.from_numpy(getattr(self, key)) for key in self._NAMES}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Tables":
        """Restore the tables of :meth:`to_tensors`. Raises KeyError for missing ones, MethodError for invalid ones."""
        return cls(*(tensors[key].cpu().contiguous().numpy() for key in cls._NAMES))

    @classmethod
    def from_pmf(cls, pmf: _Numbers, lowest: "int | _Numbers", escape: "float | _Numbers") -> "Tables":
        """Tables for a probability mass function, of a learned density, say.

        Ends of the support that are too improbable to be worth their place are left to the escape.

        Args:
            pmf: (G, L), not negative; need not add up to 1.
            lowest: The symbol of ``pmf[:, 0]``, one for all groups or (G,).
            escape: Probability of all other symbols, on the scale of ``pmf``; one for all groups or (G,).

        Raises:
            MethodError: L is 0 or too large for the tables, a probability is negative or no number, or a symbol is no
                int32.
        """
        groups, length = pmf.shape
        if not 0 < length < TOTAL:
            raise MethodError(f"a support of {length} symbols: tables hold 1 to {TOTAL - 1}; quantize more coarsely")
        outside = np.broadcast_to(np.asarray(escape, np.float64), groups)[:, None]
        p = np.concatenate([pmf.astype(np.float64), outside], 1)
        if not bool((p >= 0).all()) or not bool(np.isfinite(p.sum(1)).all()) or not bool((p.sum(1) > 0).all()):
            raise MethodError("invalid probability mass function: it must be finite, not negative and not all 0")
        start = np.broadcast_to(np.asarray(lowest, np.int64), groups)
        if start.min() < -(2**31) or start.max() + length > 2**31:
            raise MethodError("a support out of range: symbols are 32 bit integers; quantize more coarsely")
        p /= p.sum(1, keepdims=True)
        kept = _worth_keeping(p[:, :-1])
        p[:, -1] += np.where(kept, 0, p[:, :-1]).sum(1)
        used = np.append(kept, np.ones((groups, 1), np.bool_), 1)
        frequencies = _shared_out(p, used)[:, :-1]
        first = start + kept.argmax(1)
        return cls(frequencies[kept].astype(np.uint16), kept.sum(1).astype(np.uint16), first.astype(np.int32))


def escaped_symbols(lowest: _Numbers, lengths: _Numbers, distances: npt.NDArray[np.int64]) -> Symbols:
    """Return the symbols at distances beyond supports that begin with ``lowest`` and hold ``lengths`` symbols.

    Raises:
        BitstreamError: a distance leads out of int32.
    """
    beyond, below = np.divmod(distances, 2)
    low = lowest.astype(np.int64)
    symbols = np.where(below == 0, low + lengths + beyond, low - 1 - beyond)
    if bool(((symbols < -(2**31)) | (symbols >= 2**31)).any()):
        raise BitstreamError("damaged bitstream: an escaped symbol is out of range")
    return symbols.astype(np.int32)


def _worth_keeping(p: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return the symbols of each group's support, (G, L): at each end, the tail that costs more than it saves goes."""
    length = p.shape[1]
    count = np.arange(length)
    above = p.sum(1, keepdims=True) - np.cumsum(p, 1)
    last = (_SYMBOL * count + _ESCAPE * above).argmin(1)[:, None]
    below = np.cumsum(p, 1) - p
    first = (_SYMBOL * (length - 1 - count) + _ESCAPE * below).argmin(1)[:, None]
    mode = p.argmax(1)[:, None]
    kept: npt.NDArray[np.bool_] = (count >= np.minimum(first, mode)) & (count <= np.maximum(last, mode))
    return kept


def _shared_out(p: npt.NDArray[np.float64], used: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Frequencies (G, L): at least 1 for each used one, in proportion otherwise, ``TOTAL`` in every group."""
    room = TOTAL - used.sum(1, keepdims=True)
    excess = np.where(used, np.maximum(p * TOTAL - 1, 0), 0)
    share = excess * ((room - _MARGIN) / np.maximum(excess.sum(1, keepdims=True), _MARGIN)).clip(0)
    frequencies: npt.NDArray[np.int64] = used + np.floor(share).astype(np.int64)
    remainder = np.where(used, share - np.floor(share), -1)
    rank = (-remainder).argsort(1, kind="stable").argsort(1, kind="stable")
    frequencies += rank < TOTAL - frequencies.sum(1, keepdims=True)
    return frequencies
