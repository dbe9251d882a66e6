"""Models and methods: a model cut in two, and a codec for what crosses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from splitbench.bench.split import split as split_model
from splitbench.bench.split.points import split_points
from splitbench.bench.sweep import key_help
from splitbench.bench.tools import conformance
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import DATASETS, METHODS
from splitbench.bench.utils.validation_errors import format_validation_error
from splitbench.methods.base import Bitstream, Context, Cut, Deployment, Settings, Specs, nothing_to_calibrate


class Split(NamedTuple):
    """A model cut in two: ``tail(*head(x))`` equals ``model(x)`` bit for bit.

    Attributes:
        head: Runs on the device; returns a tuple of the tensors that cross, batch first.
        tail: Runs on the server; takes them.
        specs: Shape (without the batch axis), type and role of every tensor that crosses.
    """

    head: nn.Module
    tail: nn.Module
    specs: Specs


def split(model: nn.Module, at: str, example: Any = None) -> Split:
    """Cut a model in two at a named place, and check on an example that nothing changed by it.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)).eval()
    >>> head, tail, specs = split(model, "1", torch.rand(2, 3, 16, 16))
    >>> specs[0].shape
    (8, 14, 14)

    Args:
        model: A classifier or any other module of one tensor, or one of torchvision's detectors.
        at: A module's path such as ``layer2``; :func:`points` lists good ones.
        example: An input batch (B, ...) to trace and check with; for detectors a list of images (3, H, W). By default
            random images of the model's input size.

    Raises:
        UserError: There is no such place, or the model cannot be cut there; the message says why.
    """
    result = split_model(model, at, example)
    return Split(result.head, result.tail, result.specs)


def points(model: nn.Module, example: Any) -> pd.DataFrame:
    """List the split points of a model, in order of execution, with what each costs for one image.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)).eval()
    >>> points(model, torch.rand(1, 3, 16, 16)).loc["1", ["elements", "macs_head"]].tolist()
    [1568, 42336]

    Args:
        model: The model.
        example: An input batch (B, ...), of which only the shape matters; for a detector a list of images (3, H, W).

    Returns:
        A row per split point, by name, with ``shapes`` of the tensors that cross, ``elements`` in them, ``bytes`` of
        these in float32, ``macs_head`` and ``macs_tail`` (multiply-adds), ``parameters_head`` and ``parameters_tail``.

    Raises:
        UserError: The model cannot be traced.
    """
    columns = ("shapes", "elements", "bytes", "macs_head", "macs_tail", "parameters_head", "parameters_tail")
    listed = split_points(model, example)
    rows = [[getattr(point, column) for column in columns] for point in listed]
    return pd.DataFrame(rows, columns=list(columns), index=pd.Index([point.name for point in listed], name="split"))


@dataclass(frozen=True)
class ConfiguredMethod:
    """A method with all of its settings chosen, ready to be deployed at a split point.

    Attributes:
        name: The method's name.
        settings: Its settings.
    """

    name: str
    settings: Settings

    def deploy(self, split: Split, calibration: Iterable[Tensor] = (), *, seed: int = 0) -> "DeployedCodec":
        """Prepare the codec for what crosses at a split point.

        Args:
            split: As :func:`split` returns it.
            calibration: Batches of inputs (B, ...), none of which is evaluated later; for methods that fit ranges or
                tables on them. They may be iterated over more than once.
            seed: Seed of whatever is random.

        Raises:
            MethodError: Calibration inputs are missing, or the method cannot code this cut.
            UserError: The method is trained, or sends something else than a cut: both need a sweep.
        """
        method = METHODS.get(self.name)
        if "train" in method.needs(self.settings):
            raise UserError(f"{self.name} is trained: name its training images in a sweep, and use splitbench.run")
        if method.only_at is not None:
            raise UserError(f"{self.name} works at {method.only_at!r} alone, without a cut: use splitbench.run")
        batches = list(calibration)
        cuts = _calibration_cuts(split.head, batches) if batches else nothing_to_calibrate
        context = Context(head=split.head, tail=split.tail, specs=split.specs, calibration=cuts, seed=seed)
        with torch.no_grad():
            return DeployedCodec(method.deploy(self.settings, context), split.specs)


def _calibration_cuts(head: nn.Module, batches: Sequence[Tensor]) -> Callable[[], Iterator[Cut]]:
    @torch.no_grad()
    def cuts() -> Iterator[Cut]:
        for batch in batches:
            yield tuple(head(batch))

    return cuts


@dataclass(frozen=True)
class DeployedCodec:
    """A codec deployed at a split point.

    Attributes:
        deployment: Head, codec and tail as the method deployed them, and the tables that each side stores.
        specs: What both sides know of the cut.
    """

    deployment: Deployment
    specs: Specs

    @torch.no_grad()
    def encode(self, cut: Tensor | Sequence[Tensor]) -> list[Bitstream]:
        """Encode what the head returned (a tensor or several, batch first) into one bitstream per image.

        Raises MethodError for what cannot be coded.
        """
        tensors = (cut,) if isinstance(cut, Tensor) else tuple(cut)
        return self.deployment.codec.encode(tuple(tensor.clone() for tensor in tensors))

    @torch.no_grad()
    def decode(self, streams: Sequence[Bitstream | bytes]) -> Cut:
        """Decode bitstreams, or their bytes, into the tail's arguments. Raises BitstreamError for damaged ones."""
        data = [stream.data if isinstance(stream, Bitstream) else bytes(stream) for stream in streams]
        return self.deployment.codec.decode(data, self.specs)

    @torch.no_grad()
    def __call__(self, x: Any) -> Any:
        """Run head, encoder, decoder and tail on a batch of inputs."""
        return self.deployment.tail(*self.decode(self.encode(self.deployment.head(x))))


def method(name: str, **settings: Any) -> ConfiguredMethod:
    """Choose a method and its settings, the knob included.

    >>> method("quantize-rle", bits=3).settings.bits
    3

    Args:
        name: A name that ``splitbench methods`` lists, or a user's module that holds a ``METHOD``.
        **settings: Its settings, as in a sweep; ``splitbench methods NAME`` lists them.

    Raises:
        UserError: The name or a setting is unknown, or a value does not fit.
    """
    kind = METHODS.get(name).Settings
    try:
        return ConfiguredMethod(name, kind.model_validate(settings))
    except ValidationError as error:
        raise UserError(format_validation_error(error, name, kind)) from None


def options(name: str) -> pd.DataFrame:
    """Return the settings of a method, or the options of a dataset: a row per key, with its type and default.

    >>> options("raw").values.tolist()
    [['dtype', 'float32 | float16', 'no default']]

    Args:
        name: A method or a dataset, as a sweep names it.

    Raises:
        UserError: Neither a method nor a dataset has that name.
    """
    if name in DATASETS.names():
        return pd.DataFrame(key_help.keys(DATASETS.get(name).Options))
    return pd.DataFrame(key_help.keys(METHODS.get(name).Settings))


def check_method(name: str) -> pd.DataFrame:
    """Run the conformance tests on a method, as ``splitbench methods NAME --check`` does.

    Args:
        name: A name that ``splitbench methods`` lists, or a user's module that holds a ``METHOD``.

    Returns:
        A row per combination of settings that was tried, with the ``fault``, which is empty where there is none.

    Raises:
        UserError: There is no such method.
    """
    return pd.DataFrame(conformance.faults(METHODS.get(name)), columns=["settings", "fault"])
