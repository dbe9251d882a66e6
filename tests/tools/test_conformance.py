"""The check that methods are held to: what it must find, and what it must let pass."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from splitbench.bench.evaluation.pipeline import transmission
from splitbench.bench.tools import conformance
from splitbench.methods import base
from splitbench.methods.base import Bitstream, Deployment, MethodError
from tests.helpers.command_line import splitbench
from tests.helpers.faulty_codecs import (
    Changing,
    Halving,
    Hiding,
    Loading,
    OfTheBatch,
    SoundCodec,
    TakesNaN,
    TooFew,
    TooMuchSide,
    Trusting,
)


class Settings(base.Settings):
    top: float = 8.0


@dataclass
class PretendMethod:
    codec: SoundCodec
    maps_only: bool = False
    summary: str = "every value"
    version: int = 1
    knob: ClassVar[str] = "top"
    rates: tuple[Any, ...] = (4.0, 8.0)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings):
        return frozenset()

    def deploy(self, settings, context):
        if self.maps_only and any(len(spec.shape) != 3 for spec in context.specs):
            raise MethodError("only feature maps")
        return Deployment(context.head, self.codec, context.tail)


@pytest.mark.parametrize("maps_only", [False, True])
def test_a_method_that_does_what_it_must_passes(maps_only):
    assert list(conformance.faults(PretendMethod(SoundCodec(), maps_only))) == [("", "")]


@pytest.mark.parametrize(
    ("codec", "sentence"),
    [
        (Changing, "encode changes the cut"),
        (TooFew, "encode gives 1 bitstreams for 4 images"),
        (TooMuchSide, "cannot hold 1000000 of side information"),
        (Halving, r"decode gives float32 \(4, 6, 10, 6\)"),
        (OfTheBatch, "an image's bytes depend on the others"),
        (Hiding, r"data that no table counts: codec.table \(400 bytes\)"),
        (Loading, r"data that no table counts: codec.network.weight \(64 bytes\)"),
        (TakesNaN, "encode takes NaN for a number"),
        (Trusting, r"must refuse damaged bytes by BitstreamError, but gives KeyError: 'no such table' \(faulty_codecs"),
    ],
)
def test_each_fault_is_found(codec, sentence):
    with pytest.raises((conformance.NonconformingError, MethodError), match=sentence):
        (case,) = conformance.cases(PretendMethod(codec()))
        conformance.check(PretendMethod(codec()), case)
        conformance.check_damaged(PretendMethod(codec()), case)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (PretendMethod(SoundCodec(), summary="two\nlines"), "`summary` must be one line"),
        (PretendMethod(SoundCodec(), version=0), "`version` must be 1"),
        (PretendMethod(SoundCodec(), rates=("much",)), "`rates` must hold values that Settings take"),
        (PretendMethod(SoundCodec(), rates=(4.0, "much")), "'much' of `rates` does not fit Settings"),
    ],
)
def test_what_a_method_says_of_itself_is_checked_first(method, sentence):
    ((case, fault),) = conformance.faults(method)
    assert case == "" and sentence in fault


class OnlyBytes(SoundCodec):
    def encode(self, cut):
        return [stream.data for stream in super().encode(cut)]


class OneTensor(SoundCodec):
    def decode(self, streams, specs):
        return super().decode(streams, specs)[0]


class Text(SoundCodec):
    def encode(self, cut):
        return [Bitstream(stream.data.hex()) for stream in super().encode(cut)]


class NoDeployment(PretendMethod):
    def deploy(self, settings, context):
        return context.head, self.codec, context.tail


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (
            PretendMethod(OnlyBytes()),
            "OnlyBytes.encode must return Bitstreams, a list of one per image, not a list of ",
        ),
        (PretendMethod(Text()), "Text.encode must return Bitstreams of bytes, not of a list of str"),
        (
            PretendMethod(OneTensor()),
            "OneTensor.decode must return a tuple of tensors, one per spec, not something of ",
        ),
        (
            NoDeployment(SoundCodec()),
            "NoDeployment.deploy must return a Deployment(head, codec, tail), not a tuple of ",
        ),
        (PretendMethod(Changing()), "encode changes the cut"),
    ],
)
def test_what_a_function_must_return_is_said_with_its_file(method, sentence):
    ((_, fault),) = conformance.faults(method)
    assert fault.startswith(f"test_conformance.py: {sentence}")


@pytest.mark.parametrize(
    ("codec", "sentence"), [(OnlyBytes, "must return Bitstreams"), (OneTensor, "must return a tuple")]
)
def test_a_run_says_so_too(codec, sentence):
    cut = (torch.rand(2, 4, 3, 3),)
    specs = (base.TensorSpec((4, 3, 3), torch.float32),)
    with pytest.raises(MethodError, match=rf"test_conformance\.py: {codec.__name__}\.\w+ {sentence}"):
        transmission.decode(codec(), [stream.data for stream in transmission.encode(codec(), cut)], specs)


def test_the_command_says_each_combination_of_settings(capsys):
    assert splitbench("methods", "raw", "--check") == 0
    assert capsys.readouterr().out == "ok     raw\n"
    assert splitbench("methods", "quantise-rle", "--check") == 2
