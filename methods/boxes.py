"""boxes: everything runs on the device, only the boxes that it found are sent. label-only's twin for detection.

Sent are the boxes with a score of at least ``score``, the ``most`` likeliest of them, likeliest first. Corners are
rounded to multiples of ``step`` pixels, and those left of or above the image moved to its edge. A score s is sent as
round(-16 log2 s), from 0 to 255, so that it comes out within 2.2 %.

Bitstream of one image:

    count          1 byte, or 2 with the first above 127     framing
    widths         3 bytes, absent without boxes             side information
    boxes          bits, most significant first              payload, to the next full byte

The widths are six numbers of 4 bits: how many bits, less 1, each box's label, left, top, width and height take in this
image, and the parameter k of the Rice codes (v >> k ones, a zero, the k low bits of v) that scores are sent by. A box
is: what its score's code is above the one before, then label, left, top, width and height.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs

Floats = npt.NDArray[np.float64]

_PARTS_OF_A_BIT = 16
_LAST = 255
_WIDEST = 16
_SIDE = 3
_ONE_BYTE, _TWO_BYTES = 128, 0x8000  # counts below it take one byte; what marks one of two
_UNUSED = -1.0
_STEPS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


class Settings(base.Settings):
    """``score``, below which boxes are not sent, is the knob."""

    score: float = Field(ge=0, le=1)
    most: int = Field(default=100, ge=1, lt=2**14)
    step: float = 1.0

    @field_validator("step")
    @classmethod
    def _power_of_two(cls, step: float) -> float:
        if step not in _STEPS:
            raise ValueError(f"expected one of {', '.join(map(str, _STEPS))}, not {step}")
        return step


class Boxes:
    """The boxes, coded."""

    summary: ClassVar[str] = "everything on the device; the boxes that it found are sent"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "score"
    rates: ClassVar[tuple[Any, ...]] = (0.05, 0.1, 0.2, 0.3, 0.5)
    only_at: ClassVar[str | None] = "output"
    tasks: ClassVar[tuple[str, ...]] = ("detection",)
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Nothing to prepare. Raises MethodError where the output is not a list of boxes, labels and scores."""
        shapes = [spec.shape for spec in context.specs]
        room = shapes[0][:1]
        if shapes != [(*room, 4), room, room]:
            raise MethodError(f"boxes needs the boxes, labels and scores of a detector, not {shapes}")
        return Deployment(context.head, _Codec(settings), context.tail)


class _Codec:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def encode(self, cut: Cut) -> list[Bitstream]:
        boxes, labels, scores = (x.cpu().numpy() for x in cut)
        return [
            self._encode(*rows)
            for rows in zip(boxes.astype(np.float64), labels, scores.astype(np.float64), strict=True)
        ]

    def _encode(self, boxes: Floats, labels: npt.NDArray[np.int64], scores: Floats) -> Bitstream:
        if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
            raise MethodError("the detector's boxes or scores are not finite numbers")
        likely = np.argsort(-scores, kind="stable")
        kept = likely[scores[likely] >= self.settings.score][: self.settings.most]
        count = bytes([len(kept)]) if len(kept) < _ONE_BYTE else (len(kept) | _TWO_BYTES).to_bytes(2, "big")
        if len(kept) == 0:
            return Bitstream(count, framing=len(count))
        corners = np.maximum(np.rint(boxes[kept] / self.settings.step), 0).astype(np.int64)
        corners[:, 2:] = np.maximum(corners[:, 2:] - corners[:, :2], 0)
        fields = np.concatenate([labels[kept, None], corners], 1)
        if fields.min() < 0 or fields.max() >= 2**_WIDEST:
            raise MethodError(f"boxes cannot send labels or corners (in steps) outside 0 to {2**_WIDEST - 1}")
        widths = [max(int(column.max()).bit_length(), 1) for column in fields.T]
        with np.errstate(divide="ignore"):
            codes = np.clip(np.rint(-_PARTS_OF_A_BIT * np.log2(scores[kept])), 0, _LAST).astype(np.int64)
        steps = np.diff(codes, prepend=0).tolist()
        k = min(range(8), key=lambda k: sum((step >> k) + k for step in steps))
        text = "".join(
            _rice(step, k) + "".join(f"{value:0{width}b}" for value, width in zip(row, widths, strict=True))
            for step, row in zip(steps, fields.tolist(), strict=True)
        )
        header = "".join(f"{number:04b}" for number in (*(width - 1 for width in widths), k))
        return Bitstream(count + _packed(header) + _packed(text), _SIDE, len(count))

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        (room, _) = specs[0].shape
        boxes = np.zeros((len(streams), room, 4))
        labels = np.zeros((len(streams), room), np.int64)
        scores = np.full((len(streams), room), _UNUSED)
        for index, data in enumerate(streams):
            rows = self._decode(data, room)
            boxes[index, : len(rows)] = rows[:, 2:] * self.settings.step
            labels[index, : len(rows)] = rows[:, 1]
            scores[index, : len(rows)] = 2.0 ** (-rows[:, 0] / _PARTS_OF_A_BIT)
        return tuple(torch.from_numpy(x).to(spec.dtype) for x, spec in zip((boxes, labels, scores), specs, strict=True))

    def _decode(self, data: bytes, room: int) -> npt.NDArray[np.int64]:
        """Score's code, label and corners of every box, (N, 6)."""
        two = data[:1] >= bytes([_ONE_BYTE])
        framing = 2 if two else 1
        count = int.from_bytes(data[:framing], "big") & ~(_TWO_BYTES if two else 0)
        least = framing + (_SIDE if count else 0)
        if len(data) < least or count > min(room, self.settings.most) or (two and count < _ONE_BYTE):
            raise BitstreamError("damaged bitstream: its number of boxes is impossible")
        numbers = [nibble for byte in data[framing:least] for nibble in (byte >> 4, byte & 15)]
        bits = "".join(f"{byte:08b}" for byte in data[least:])
        rows = np.zeros((count, 6), np.int64)
        at = code = 0
        for row in rows:
            stop = bits.find("0", at)
            k, widths = numbers[5], [number + 1 for number in numbers[:5]]
            if stop < 0 or stop + 1 + k + sum(widths) > len(bits):
                raise BitstreamError("damaged bitstream: it ends within a box")
            code += (stop - at << k) | int(bits[stop + 1 : stop + 1 + k] or "0", 2)
            at = stop + 1 + k
            row[0] = code
            for place, width in enumerate(widths, 1):
                row[place] = int(bits[at : at + width], 2)
                at += width
        if code > _LAST or len(bits) - at >= 8 or "1" in bits[at:]:
            raise BitstreamError("damaged bitstream: it does not end with its last box")
        rows[:, 4:] += rows[:, 2:4]
        return rows


def _rice(value: int, k: int) -> str:
    low = value & ((1 << k) - 1)
    return "1" * (value >> k) + "0" + (f"{low:0{k}b}" if k else "")


def _packed(bits: str) -> bytes:
    """Text of 0 and 1 as bytes, the last one filled with zeros."""
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return int(padded, 2).to_bytes(len(padded) // 8, "big")


METHOD = Boxes()
