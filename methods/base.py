"""What a method is: read this first to add one.

A *method* is a family of codecs with one rate knob. For each rate point it returns a *deployment*: the head that runs
on the device, the codec that turns the cut into bytes and back, and the tail that runs on the server. A method knows
nothing of datasets, files or the harness; everything it may look at is in :class:`Context`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

Cut = tuple[Tensor, ...]
"""Every tensor that crosses the split point, batch first: ``((B, ...), (B, ...), ...)``."""


class MethodError(Exception):
    """A method cannot do what it was asked; the message says why and what to do."""


class BitstreamError(MethodError):
    """A bitstream is damaged: it is too short, too long or says something impossible."""


@dataclass(frozen=True, slots=True)
class Bitstream:
    """The bytes of one image, and how many of them are not payload.

    ``side`` counts bytes of side information that the server could not know (ranges, tables that change per image);
    ``framing`` counts headers and lengths. The rest of ``data`` is payload.
    """

    data: bytes
    side: int = 0
    framing: int = 0

    @property
    def payload(self) -> int:
        """Bytes of ``data`` that are neither side information nor framing."""
        return len(self.data) - self.side - self.framing


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a cut as both sides know it: shape without the batch axis, dtype, and its role in the network."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    role: str = ""

    @property
    def elements(self) -> int:
        """Number of elements per image."""
        return int(torch.Size(self.shape).numel())


Specs = tuple[TensorSpec, ...]


class Codec(Protocol):
    """Turns a cut into one bitstream per image, and back."""

    def encode(self, cut: Cut) -> list[Bitstream]:
        """Code a cut of batch size B into B bitstreams. Raises MethodError for what cannot be coded (NaN, infinity)."""
        ...

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """Decode B bitstreams into a cut of batch size B whose tensors have the given specs.

        ``specs`` costs nothing to send: the server knows the network and the size of its input. Raises BitstreamError
        for bytes that no encoder wrote; never anything else, whatever the bytes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a method installs for one rate point.

    ``device_tables`` and ``server_tables`` are what the codec itself stores on each side (fitted ranges, probability
    tables, learned units): the ledger counts them beside the weights of head and tail.
    """

    head: nn.Module
    codec: Codec
    tail: nn.Module
    device_tables: Mapping[str, Tensor] = field(default_factory=dict)
    server_tables: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """All that a method may look at when it prepares a rate point.

    ``calibration()`` yields cuts of calibration images, which are never evaluation images; it raises MethodError where
    the sweep names no calibration data.
    """

    head: nn.Module
    tail: nn.Module
    specs: Specs
    calibration: Callable[[], Iterable[Cut]]
    seed: int = 0


class Settings(BaseModel):
    """Base of every method's settings: unknown keys are refused, values are fixed once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(Protocol):
    """A family of codecs with one rate knob.

    ``version`` is raised with every change that can change bytes or decoded values: it is part of a cell's key.
    ``rates`` are the knob's values where a sweep gives none. ``only_at`` names
    the one split point where the method makes sense (``input`` or ``output``), or is None.
    """

    summary: ClassVar[str]
    version: ClassVar[int]
    knob: ClassVar[str]
    rates: ClassVar[tuple[Any, ...]]
    only_at: ClassVar[str | None]
    Settings: ClassVar[type[Settings]]

    def needs(self, settings: Any) -> frozenset[str]:
        """Parts of the data that preparing a rate point looks at: ``calibration``, or nothing."""
        ...

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Prepare one rate point. ``settings`` is an instance of ``Settings``."""
        ...
