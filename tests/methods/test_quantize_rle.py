"""quantize-rle: what is decoded is the quantized cut, for any cut; what cannot be coded is refused."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, MethodError, TensorSpec
from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.quantization import linear, ranges
from splitbench.methods.quantize_rle import QuantizeRLE, Settings
from tests.helpers.cut_samples import tensors

METHOD = METHODS.get("quantize-rle")
VARIANTS = [
    {"granularity": g, "clip": c, "literals": x, "rounding": r}
    for g, c, x, r in itertools.product(
        ("tensor", "channel"), ("none", "mse"), ("fixed", "rice"), ("nearest", "deadzone")
    )
]


BITS = st.one_of(st.integers(1, 8), st.floats(1, 8))


def specs_of(cut):
    return tuple(TensorSpec(tuple(x.shape[1:]), x.dtype, axis=0) for x in cut)


def codec(cut, calibration=(), **chosen):
    context = Context(torch.nn.Identity(), torch.nn.Identity(), specs_of(cut), lambda: calibration)
    return METHOD.deploy(QuantizeRLE.Settings(**chosen), context).codec


def cuts():
    """For 0 to 3 images."""
    return st.integers(0, 3).flatmap(tensors)


@given(cuts(), BITS, st.sampled_from(VARIANTS))
@settings(max_examples=150)
def test_decodes_to_the_quantized_tensor(cut, bits, variant):
    used, top = codec(cut, bits=bits, **variant), round(2**bits) - 1
    streams = used.encode(cut)
    decoded = used.decode([stream.data for stream in streams], specs_of(cut))
    assert len(streams) == len(cut[0])
    for x, y in zip(cut, decoded, strict=True):
        groups = linear.grouped(x, variant["granularity"])
        span = ranges.of_images(groups, top, variant["clip"], variant["rounding"])
        expected = linear.dequantize(linear.quantize(groups, span, top, variant["rounding"]), span, top).reshape(
            x.shape
        )
        assert torch.equal(y, expected)


@given(cuts(), BITS, st.sampled_from(VARIANTS))
def test_calibrated_ranges_are_not_sent_and_decode_the_same(cut, bits, variant):
    if len(cut[0]) == 0:
        return
    used, top = codec(cut, calibration=[cut], bits=bits, range="calibrated", **variant), round(2**bits) - 1
    streams = used.encode(cut)
    assert all(stream.side <= len(cut) for stream in streams)  # at most the coder's parameters, a byte per tensor
    decoded = used.decode([stream.data for stream in streams], specs_of(cut))
    fitted = ranges.fitted(lambda: [cut], variant["granularity"], top, variant["clip"], variant["rounding"])
    for x, y, span in zip(cut, decoded, fitted, strict=True):
        groups = linear.grouped(x, variant["granularity"])
        expected = linear.dequantize(linear.quantize(groups, span, top, variant["rounding"]), span, top)
        assert torch.equal(y, expected.reshape(x.shape))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_refused(bad):
    cut = (torch.zeros(2, 3, 4),)
    cut[0][1, 2, 3] = bad
    with pytest.raises(MethodError, match="NaN or infinite"):
        codec(cut, bits=4).encode(cut)


def test_bits_may_lie_between_whole_numbers_which_stay_what_they_are():
    assert [Settings(bits=bits).top + 1 for bits in (1, 1.6, 2, 2.5, 3.0, 8)] == [2, 3, 4, 6, 8, 256]
    assert Settings(bits=3.0).model_dump_json() == Settings(bits=3).model_dump_json()
    assert repr(Settings(bits=3).model_dump(mode="json")["bits"]) == "3"  # as keys hold it
    x = torch.randn(1, 8, 32, 32, generator=torch.Generator().manual_seed(0)).relu()
    sizes = [len(codec((x,), bits=bits).encode((x,))[0].data) for bits in (2, 2.3, 2.6, 3)]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4


def test_a_symbol_that_is_no_level_is_refused():
    """Six levels are coded in three bits, which have room for eight."""
    x = torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    six, eight = codec((x,), bits=2.5), codec((x,), bits=3)
    (stream,) = eight.encode((x,))
    with pytest.raises(BitstreamError, match="no level of the quantizer"):
        six.decode([stream.data], specs_of((x,)))


def test_all_zeros_cost_a_few_bytes():
    cut = (torch.zeros(1, 256, 28, 28),)
    (stream,) = codec(cut, bits=4).encode(cut)
    assert len(stream.data) <= 12


def test_without_calibration_images_says_so():
    with pytest.raises(MethodError, match="calibration"):
        codec((torch.zeros(1, 2),), bits=4, range="calibrated")


def test_a_dead_zone_saves_bytes_and_costs_exactness():
    cut = (torch.randn(1, 8, 32, 32, generator=torch.Generator().manual_seed(0)).relu(),)
    sizes, errors = [], []
    for rounding in ("nearest", "deadzone"):
        used = codec(cut, bits=4, rounding=rounding)
        (stream,) = used.encode(cut)
        (decoded,) = used.decode([stream.data], specs_of(cut))
        sizes.append(len(stream.data))
        errors.append(float((decoded - cut[0]).square().mean()))
    assert sizes[1] < 0.98 * sizes[0] and errors[0] < errors[1] < 2 * errors[0]


def test_more_bits_are_more_exact():
    cut = (torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0)).relu(),)
    errors = []
    for bits in range(1, 9):
        used = codec(cut, bits=bits)
        (decoded,) = used.decode([stream.data for stream in used.encode(cut)], specs_of(cut))
        errors.append(float((decoded - cut[0]).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4
