"""Conformance tests of methods, on a network of a few layers: ``splitbench methods NAME --check``, and the test suite.

Every combination of a method's named choices is tried at its first and last rate. Bitstreams must decode, singly as in
a batch; side information and framing must be parts of them; bytes that no encoder wrote must raise BitstreamError or
decode to tensors of the right shape; and all that the codec holds must be in tables that the ledger counts.

The cut is a feature map and a vector. A method that refuses it by MethodError is tried with the feature map alone.
"""

import random
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from splitbench.bench.evaluation import returned
from splitbench.bench.metrics import held
from splitbench.bench.tools.conformance.mutations import mutate
from splitbench.bench.tools.conformance.samples import Case, Sample, cases, deployed, places
from splitbench.bench.utils.errors import format_error
from splitbench.methods.base import BitstreamError, Codec, Cut, Method, MethodError, Specs

__all__ = [
    "DAMAGED",
    "Case",
    "NonconformingError",
    "cases",
    "check",
    "check_damaged",
    "check_description",
    "decodes",
    "faults",
]

DAMAGED = 400
"""Damaged bitstreams for each combination of settings."""


class NonconformingError(Exception):
    """A method does not conform; the message says why."""


def faults(method: Method) -> Iterator[tuple[str, str]]:
    """Yield each combination of settings with its fault; the fault is empty where there is none."""
    try:
        check_description(method)
        tried = cases(method)
    except NonconformingError as error:
        yield "", f"{returned.file_of(method)}: {error}".lstrip(": ")
        return
    for case in tried:
        try:
            check(method, case)
            check_damaged(method, case)
        except (NonconformingError, MethodError) as error:
            file = returned.file_of(method)
            yield str(case), str(error) if file in str(error) else f"{file}: {error}"
        except Exception as error:
            yield str(case), format_error(error)
        else:
            yield str(case), ""


def check_description(method: Method) -> None:
    """Check a method's description. Raises NonconformingError."""
    _hold(bool(method.summary) and "\n" not in method.summary, "`summary` must be one line")
    _hold(method.version >= 1, "`version` must be 1 or more")
    _hold(method.knob in method.Settings.model_fields, f"the knob {method.knob!r} is not a field of Settings")
    _hold(method.only_at in (None, "input", "output"), "`only_at` must be None, `input` or `output`")
    tasks = {"classification", "detection"}
    _hold(bool(method.tasks) and set(method.tasks) <= tasks, f"`tasks` must name some of {', '.join(sorted(tasks))}")
    _hold(bool(cases(method)), "`rates` must hold values that Settings take")
    for rate in method.rates:
        try:
            settings = method.Settings.model_validate({method.knob: rate})
        except ValueError as error:
            raise NonconformingError(f"{rate!r} of `rates` does not fit Settings: {error}") from None
        _hold(method.needs(settings) <= {"calibration", "train"}, "`needs` must give some of calibration, train")


def check(method: Method, case: Case) -> None:
    """Check encoding and decoding. Raises NonconformingError, and what the method raises."""
    for rate in case.rates:
        at, sample = _first_place(method, case, rate)
        codec, cut, specs = sample.deployment.codec, sample.cut, sample.specs
        held.check(deployed(method, case.chosen, rate, at=at).deployment)
        before = [x.clone() for x in cut]
        streams = returned.streams(codec, codec.encode(cut))
        _hold(all(torch.equal(x, y) for x, y in zip(cut, before, strict=True)), "encode changes the cut")
        _hold(len(streams) == len(cut[0]), f"encode gives {len(streams)} bitstreams for {len(cut[0])} images")
        data = [stream.data for stream in streams]
        decoded = returned.cut(codec, codec.decode(data, specs))
        _hold(_shapes(decoded) == _expected(specs, len(data)), _other_shapes(decoded, specs, len(data)))
        _hold(not bool(torch.isnan(sample.deployment.tail(*decoded)).any()), "the tail gives NaN for the decoded cut")
        # An image's bytes do not depend on the others of its batch, and decoding needs nothing but bytes and tables.
        _check_alone(
            deployed(method, case.chosen, rate, at=at).deployment.codec, cut, specs, data=data, decoded=decoded
        )
        _check_nan(codec, cut, specs)
        nothing = tuple(x[:0] for x in cut)
        _hold(codec.encode(nothing) == [], "encode gives bitstreams for no image")
        _hold([len(x) for x in codec.decode([], specs)] == [0] * len(specs), "decode gives images for no bitstream")
        held.check(sample.deployment, only=nn.Parameter)


def check_damaged(method: Method, case: Case) -> None:
    """Check that damaged bytes are refused or decode to the right shape. Raises NonconformingError, with the bytes."""
    rng = random.Random(0)
    for rate in dict.fromkeys(case.rates):
        sample = _first_place(method, case, rate)[1]
        codec = sample.deployment.codec
        streams = [stream.data for stream in codec.encode(sample.cut)]
        for _ in range(DAMAGED // len(set(case.rates))):
            data = mutate(streams, rng)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
                    decodes(codec, data, sample.specs)
            except NonconformingError as error:
                raise NonconformingError(f"{error}, for the damaged bytes {data.hex()}") from None
            except Exception as error:
                raise NonconformingError(
                    f"decode must refuse damaged bytes by BitstreamError, but gives {format_error(error)}, "
                    f"for {data.hex()}"
                ) from error


def decodes(codec: Codec, data: bytes, specs: Specs) -> bool:
    """Return whether bytes decode. Raises NonconformingError where they decode to other shapes."""
    try:
        decoded = codec.decode([data], specs)
    except BitstreamError:
        return False
    _hold(_shapes(decoded) == _expected(specs, 1), _other_shapes(decoded, specs, 1))
    return True


def _first_place(method: Method, case: Case, rate: object) -> tuple[str, Sample]:
    """Return the first place whose cut the method accepts, and the rate point there."""
    *others, last = places(method)
    for at in others:
        try:
            sample = deployed(method, case.chosen, rate, at=at)
            sample.deployment.codec.encode(tuple(x.clone() for x in sample.cut))
        except MethodError:
            continue
        return at, sample
    return last, deployed(method, case.chosen, rate, at=last)


def _check_alone(codec: Codec, cut: Cut, specs: Specs, *, data: Sequence[bytes], decoded: Cut) -> None:
    for index in range(len(data)):
        alone = tuple(x[index : index + 1] for x in cut)
        _hold(codec.encode(alone)[0].data == data[index], "an image's bytes depend on the others of its batch")
        for x, y in zip(codec.decode(data[index : index + 1], specs), decoded, strict=True):
            _hold(torch.equal(x[0], y[index]), "what an image decodes to depends on the others of its batch")


def _check_nan(codec: Codec, cut: Cut, specs: Specs) -> None:
    """NaN must be refused or decode to NaN."""
    spoilt = tuple(x.clone() for x in cut)
    for x in spoilt:
        if x.is_floating_point():
            x.view(-1)[0] = torch.nan
            break
    else:
        return
    try:
        decoded = codec.decode([stream.data for stream in codec.encode(spoilt)], specs)
    except MethodError:
        return
    _hold(any(bool(torch.isnan(x).any()) for x in decoded if x.is_floating_point()), "encode takes NaN for a number")


def _shapes(decoded: Sequence[Tensor]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    return [(tuple(x.shape), x.dtype) for x in decoded]


def _expected(specs: Specs, images: int) -> list[tuple[tuple[int, ...], torch.dtype]]:
    return [((images, *spec.shape), spec.dtype) for spec in specs]


def _other_shapes(decoded: Sequence[Tensor], specs: Specs, images: int) -> str:
    both = _shapes(decoded), _expected(specs, images)
    actual, expected = (" and ".join(f"{dtype} {shape}" for shape, dtype in each) for each in both)
    return f"decode gives {actual} instead of {expected}".replace("torch.", "")


def _hold(true: bool, otherwise: str) -> None:
    if not true:
        raise NonconformingError(otherwise)
