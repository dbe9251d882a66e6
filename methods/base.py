"""What a method is: read this first to add one.

A *method* is a family of codecs with one rate knob. For each rate point it returns a *deployment*: the head that runs
on the device, the codec that turns the cut into bytes and back, and the tail that runs on the server. A method knows
nothing of datasets or the harness; everything it may read is in its settings and in :class:`Context`. A file that
it reads is a setting of type :class:`File`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import core_schema
from torch import Tensor, nn

T = TypeVar("T")

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
    ``framing`` counts headers and lengths. The rest of ``data`` is payload. ``layers`` are the parts of a layered
    stream, one behind the other; see :class:`Prefix`.

    Raises:
        MethodError: there are more bytes of these than there are bytes.
    """

    data: bytes
    side: int = 0
    framing: int = 0
    layers: "tuple[Bitstream, ...]" = field(default=(), repr=False)

    @classmethod
    def of_layers(cls, layers: "Sequence[Bitstream]") -> "Bitstream":
        """Return the stream of these layers, the coarsest first."""
        sides, framings = (sum(getattr(layer, part) for layer in layers) for part in ("side", "framing"))
        return cls(b"".join(layer.data for layer in layers), sides, framings, tuple(layers))

    def __post_init__(self) -> None:
        if min(self.side, self.framing, self.payload) < 0:
            raise MethodError(
                f"a bitstream of {len(self.data)} bytes cannot hold {self.side} of side information "
                f"and {self.framing} of framing"
            )

    @property
    def payload(self) -> int:
        """Bytes of ``data`` that are neither side information nor framing."""
        return len(self.data) - self.side - self.framing


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a cut as both sides know it: shape without the batch axis, dtype, and its role in the network.

    ``axis`` is that of the channels in ``shape``, where the harness knows it: sizes alone may mislead.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    role: str = ""
    axis: int | None = None

    @property
    def elements(self) -> int:
        """Number of elements per image."""
        return int(torch.Size(self.shape).numel())


Specs = tuple[TensorSpec, ...]


class Codec(Protocol):
    """Turns a cut into one bitstream per image, and back."""

    def encode(self, cut: Cut) -> list[Bitstream]:
        """Code a cut of batch size B, which is left as it is, into B bitstreams.

        Raises MethodError for what cannot be coded (NaN, infinity).
        """
        ...

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """Decode B bitstreams into a cut of batch size B whose tensors have the given specs.

        ``specs`` costs nothing to send: the server knows the network and the size of its input. Raises BitstreamError
        for bytes that no encoder wrote; never anything else, whatever the bytes.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """A codec that sends the first ``count`` layers of what another one codes: a rate point of a layered stream.

    ``codec`` gives every bitstream its ``layers``, and decodes any number of the first ones: how many there are
    follows from the bytes. Rate points that share it by ``Context.once`` encode an image once for all of them.
    """

    codec: Codec
    count: int

    def encode(self, cut: Cut) -> list[Bitstream]:
        """Encode all layers, and keep the first ones. Raises MethodError where there are fewer."""
        return self.of(self.codec.encode(cut))

    def of(self, streams: Sequence[Bitstream]) -> list[Bitstream]:
        """Return the first layers of streams that the codec made. Raises MethodError where there are fewer."""
        for stream in streams:
            if len(stream.layers) < self.count:
                raise MethodError(f"a bitstream has {len(stream.layers)} layers, of which {self.count} are to be sent")
        return [Bitstream.of_layers(stream.layers[: self.count]) for stream in streams]

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        """Decode bitstreams of as many layers as there are."""
        return self.codec.decode(streams, specs)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a method installs for one rate point.

    ``device_tables`` and ``server_tables`` are what the codec itself stores on each side (fitted ranges, probability
    tables, learned units): the ledger counts them beside the weights of head and tail. A new codec holds nothing else:
    with a tensor or array whose memory or values are in none of them, the cell fails. What only follows from them, such
    as a decoder's look-ups, is made when it is first coded.
    """

    head: nn.Module
    codec: Codec
    tail: nn.Module
    device_tables: Mapping[str, Tensor] = field(default_factory=dict)
    server_tables: Mapping[str, Tensor] = field(default_factory=dict)


class Unit(nn.Module, ABC):
    """A trainable codec between head and tail: encoder, quantizer, decoder and the entropy coder's tables.

    Its ``state_dict`` holds all that both sides need, integer tables included, so that a stored unit codes anywhere as
    it did where it was trained.
    """

    @abstractmethod
    def begin(self, cut: Cut) -> None:
        """Fit scales to the cut of a few training images; called once, before training."""

    @abstractmethod
    def forward(self, *cut: Tensor) -> tuple[Cut, Tensor]:
        """Return what the server will decode, differentiable, and the estimated bits of each image, (B,).

        In training mode the rate is that of the relaxed quantizer, in evaluation mode that of the symbols.
        """

    @abstractmethod
    def finish(self, cuts: Iterable[Cut]) -> None:
        """Build the coder's integer tables from cuts of training images; called once, after training."""

    @abstractmethod
    def reopen(self) -> None:
        """Drop the coder's tables; called before training continues from a finished unit."""

    @abstractmethod
    def codec(self) -> Codec:
        """Return the finished unit as a codec.

        Raises:
            MethodError: :meth:`finish` was never called.
        """

    @abstractmethod
    def sides(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the tensors that the device and the server store, without those that only training needs."""

    def freeze(self, cuts: Iterable[Cut]) -> None:
        """Fix, to cuts of training images, what followed from each batch; called before a decoder alone is trained."""

    def parameters_without_decay(self) -> Iterable[nn.Parameter]:
        """Return matrices and kernels that weight decay must spare, as it spares all norms and biases."""
        return ()


class VariableUnit(Unit):
    """A unit that codes at every weight of the rate within a range, trained once for all of them."""

    @abstractmethod
    def at(self, lmbda: Tensor) -> None:
        """Code for this weight of the rate from now on, shape (), or for one for each image of a batch, (B,)."""


class NewHead(nn.Module, ABC):
    """A network that takes the place of the backbone's head: its encoder on the device, its decoder on the server.

    Attributes:
        encoder: Maps images as the head's layers take them, ``(B, *Context.image)``, to the one tensor that crosses.
        decoder: Maps what was decoded of that to the one tensor of the backbone's cut, from which the tail goes on.
    """

    encoder: nn.Module
    decoder: nn.Module

    @abstractmethod
    def begin(self, cut: Cut) -> None:
        """Fit scales to the cut that the backbone's head makes of a few training images; called before training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What a method asks the harness to train for one rate point: minimize ``lmbda * bits per pixel + distortion``.

    With a ``new_head`` training has two stages. First encoder, unit and decoder learn by ``warm_up`` what the frozen
    head sends and the frozen tail makes of it, at the rate that ``lmbda`` weighs. Then encoder and unit are frozen, and
    the decoder is trained by ``recipe`` for ``distortion``, with ``train_backbone`` together with a copy of the tail.
    Without ``warm_up``, and from a neighbour's weights, all of these are trained at once.

    Attributes:
        unit: The untrained unit between head and tail.
        lmbda: Weight of the rate, in bits per pixel of a training image as the head takes it. For a ``VariableUnit``
            the least and the greatest: each image of a batch draws one, uniformly in its logarithm.
        distortion: ``task`` is the task's loss; ``distill`` is label-free distillation from the uncompressed model.
        recipe: Fields of the trainer's ``Recipe``.
        train_backbone: Whether copies of head and tail are trained with the unit. Otherwise both are frozen, running
            statistics included.
        backbone_lr_scale: Learning rate of head and tail as a multiple of the unit's.
        from_scratch: Whether head and tail begin with new random weights instead of the pretrained ones.
        flip: Whether training sees mirrored images, too.
        float16: Whether trained matrices and kernels are rounded to float16 before the coder's tables are built, and
            stored so. They run in float32.
        start: ``neighbour`` begins with the weights of the rate point before this one in the sweep, where there is one.
        neighbour_epochs: Epochs of a training that begins with a neighbour's weights, instead of the recipe's.
        warm_up: Where not None, a new unit is first trained alone to reproduce the cut of the pretrained head, by the
            recipe with these fields replaced.
        new_head: Where not None, takes the place of the backbone's head; ``unit`` codes what it sends.
    """

    unit: Unit
    lmbda: float | tuple[float, float]
    distortion: Literal["task", "distill"]
    recipe: Mapping[str, Any]
    train_backbone: bool = False
    backbone_lr_scale: float = 1.0
    from_scratch: bool = False
    flip: bool = False
    float16: bool = False
    start: Literal["own", "neighbour"] = "own"
    neighbour_epochs: int = 1
    warm_up: Mapping[str, Any] | None = None
    new_head: NewHead | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """The trained modules of one rate point; head and tail are the backbone's own where the method froze them.

    A new head's encoder is in ``head``, behind the backbone's preprocessing, and its decoder in ``tail``, in front.
    """

    head: nn.Module
    unit: Unit
    tail: nn.Module


def nothing_learned() -> Learned:
    """Return the default of ``Context.learned``. Raises MethodError."""
    raise MethodError("nothing was trained for this rate point")


def nothing_to_calibrate(*_: nn.Module) -> Iterable[Cut]:
    """Return the default of ``Context.calibration`` and ``calibration_by``. Raises MethodError."""
    raise MethodError("there are no calibration images here")


def make_again(_: Hashable, make: Callable[[], T]) -> T:
    """Return the default of ``Context.once``: what ``make`` returns, each time anew."""
    return make()


class Once(Protocol):
    """Returns what was made for a key before, or what ``make`` returns."""

    def __call__(self, key: Hashable, make: Callable[[], T], /) -> T:
        """Raise what ``make`` raises, and keep nothing then."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """All that a method may look at when it prepares a rate point.

    ``calibration()`` yields cuts of calibration images, which are never evaluation images; it raises MethodError where
    the sweep names no calibration data. ``learned()`` gives what was trained for this rate point to methods that learn,
    and ``calibration_by(head)`` cuts of the same calibration images by another head than the backbone's, such as a
    trained one. ``once(key, make)`` returns what ``make`` returns, which is called for the first of the method's rate
    points at this split point that asks with this key; it names all that the result follows from. ``image`` is the
    shape (3, H, W) of an image as the head's layers take it, preprocessed, whose cut ``specs`` describe; None where
    the split point is not inside the network.
    """

    head: nn.Module
    tail: nn.Module
    specs: Specs
    calibration: Callable[[], Iterable[Cut]] = nothing_to_calibrate
    seed: int = 0
    learned: Callable[[], Learned] = nothing_learned
    calibration_by: Callable[[nn.Module], Iterable[Cut]] = nothing_to_calibrate
    once: Once = make_again
    image: tuple[int, ...] | None = None


@dataclass(frozen=True)
class File:
    """A setting that names a file which the method reads, such as weights: its contents join the key, not its path.

    Files of the same contents are the same setting. A relative path is looked for in the current folder, as files of
    weights are, and ``~`` is the home folder.
    """

    _path: Path = field(compare=False)
    digest: str

    @property
    def path(self) -> Path:
        """Where it lies. Raises MethodError if its contents are no longer those that the key was made of."""
        try:
            changed = _digest(self._path) != self.digest
        except OSError as error:
            raise MethodError(f"{self._path} cannot be read ({error.strerror})") from None
        if changed:
            raise MethodError(f"{self._path} has changed since the run began: run again")
        return self._path

    def __str__(self) -> str:
        """For tables: its name, without spaces, and a digest of its content: ``unit.pt@5feceb66``."""
        return f"{'_'.join(self._path.name.split())}@{self.digest[:8]}"

    @classmethod
    def of(cls, given: Any) -> "File":
        """Return the file that a sweep names. Raises ValueError with what is wrong."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, str | Path):
            raise ValueError(f"expected the path of a file, not {given!r}")
        path = Path(given).expanduser().absolute()
        try:
            return cls(path, _digest(path))
        except FileNotFoundError:
            where = (
                "" if path == Path(given) else f" (relative paths are looked for in the current folder, {Path.cwd()})"
            )
            raise ValueError(f"no such file: {given}{where}") from None
        except OSError as error:
            raise ValueError(f"{given} cannot be read ({error.strerror})") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Read it from a path; in a key it is its digest."""
        as_digest = core_schema.plain_serializer_function_ser_schema(lambda file: file.digest)
        return core_schema.no_info_plain_validator_function(cls.of, serialization=as_digest)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """Show it as a path in lists of settings."""
        return {"type": "string", "format": "path"}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


class Settings(BaseModel):
    """Base of every method's settings: unknown keys are refused, values are fixed once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _before: ClassVar[dict[str, Any]] = {}
    """Settings that a method got later, each with the value that leaves all as it was before: keys leave them out."""

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = serialize(self)
        return {key: value for key, value in dumped.items() if (key, value) not in self._before.items()}

    def for_training(self) -> Self:
        """Return what a training follows from: these settings, with defaults for those that act only after training.

        Settings that agree in this share their trainings.
        """
        return self

    def coding_revision(self) -> int:
        """Return a part of a cell's key, where it is not 0: raised when what these settings do after training changes.

        Cells of the same method with other settings, and all trainings, keep their keys. See ``Method.version``.
        """
        return 0


class Method(Protocol):
    """A family of codecs with one rate knob.

    ``version`` is raised with every change that can change bytes or decoded values: it is part of a cell's key. The
    source file of a method that is not bundled is, too, with the user's own files that it imports. Where a change
    concerns some settings only, and no training, their ``coding_revision`` is raised instead.
    ``rates`` are the knob's values where a sweep gives none. ``only_at`` names the one split point where the method
    makes sense (``input`` or ``output``), or is None. ``tasks`` names the tasks that it can be used for.
    """

    summary: ClassVar[str]
    version: ClassVar[int]
    knob: ClassVar[str]
    rates: ClassVar[tuple[Any, ...]]
    tasks: ClassVar[tuple[str, ...]]
    only_at: ClassVar[str | None]
    Settings: ClassVar[type[Settings]]

    def needs(self, settings: Any) -> frozenset[str]:
        """Parts of the data that preparing a rate point looks at: ``calibration``, ``train``, both or none."""
        ...

    def deploy(self, settings: Any, context: Context) -> Deployment:
        """Prepare one rate point. ``settings`` is an instance of ``Settings``."""
        ...


@runtime_checkable
class LearningMethod(Protocol):
    """A method that learns (``needs`` names ``train``): the harness trains what the method describes."""

    def learn(self, settings: Any, context: Context) -> Learning:
        """Return the untrained unit of one rate point and how to train it; called when a sweep is planned, too.

        ``settings`` are what ``Settings.for_training`` returns, since trainings are shared by it. The same settings and
        seed must yield the same initial weights.
        """
        ...
