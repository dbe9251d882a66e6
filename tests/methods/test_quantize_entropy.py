"""quantize-entropy: decodes to exactly what quantize-rle does, in fewer bytes, for any cut and calibration."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, MethodError, TensorSpec
from tests.helpers.cut_samples import tensors

BOTH = {name: METHODS.get(name) for name in ("quantize-entropy", "quantize-rle")}
CHOICES = st.fixed_dictionaries(
    {
        "bits": st.one_of(st.integers(1, 8), st.sampled_from([1.6, 2.5, 6.3])),
        "granularity": st.sampled_from(["tensor", "channel"]),
        "range": st.sampled_from(["image", "calibrated"]),
        "clip": st.sampled_from(["none", "mse"]),
        "rounding": st.sampled_from(["nearest", "deadzone"]),
    }
)


def specs_of(cut):
    return tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)


def deployment(name, cut, calibration, **chosen):
    method = BOTH[name]
    context = Context(torch.nn.Identity(), torch.nn.Identity(), specs_of(cut), lambda: calibration)
    return method.deploy(method.Settings(**chosen), context)


def coded(name, cut, calibration, **chosen):
    codec = deployment(name, cut, calibration, **chosen).codec
    streams = codec.encode(cut)
    return streams, codec.decode([stream.data for stream in streams], specs_of(cut))


def cuts():
    """For 1 to 3 images, and for 2 others to calibrate on."""
    both = st.integers(3, 5).flatmap(tensors)
    return both.map(lambda cut: (tuple(x[2:] for x in cut), tuple(x[:2] for x in cut)))


@given(cuts(), CHOICES, st.sampled_from(["range", "huffman"]))
@settings(max_examples=100, deadline=None)
def test_decodes_to_what_quantize_rle_does(pair, chosen, coder):
    cut, calibration = pair
    streams, decoded = coded("quantize-entropy", cut, [calibration], coder=coder, **chosen)
    _, expected = coded("quantize-rle", cut, [calibration], **chosen)
    assert all(torch.equal(x, y) for x, y in zip(decoded, expected, strict=True))
    assert all(stream.framing == 0 for stream in streams)
    if chosen["range"] == "calibrated":
        assert all(stream.side == 0 for stream in streams)


def sparse(*shape, seed, along=1):
    """Like feature maps after a ReLU: places along one axis differ in how often they are not zero."""
    generator = torch.Generator().manual_seed(seed)
    size = [1] * len(shape)
    size[along] = shape[along]
    shift = torch.linspace(-2.5, 1, shape[along]).view(size)
    return (torch.randn(shape, generator=generator) + shift).relu()


def bytes_of(name, cut, calibration, **chosen):
    return sum(len(stream.data) for stream in coded(name, cut, [calibration], **chosen)[0]) / len(cut[0])


@pytest.mark.parametrize("bits", [1, 2, 2.5, 4, 6])
def test_takes_fewer_bytes_than_run_lengths(bits):
    cut, calibration = (sparse(4, 32, 14, 14, seed=0),), (sparse(32, 32, 14, 14, seed=1),)
    ours = bytes_of("quantize-entropy", cut, calibration, bits=bits, range="calibrated")
    assert ours < 0.9 * bytes_of("quantize-rle", cut, calibration, bits=bits, range="calibrated")


@pytest.mark.parametrize(
    ("shape", "channels"), [((32, 14, 14), 1), ((196, 32), 2), ((14, 14, 32), 3)], ids=["maps", "tokens", "maps last"]
)
def test_finds_the_channels(shape, channels):
    cut = (sparse(4, *shape, seed=0, along=channels),)
    deployed = deployment("quantize-entropy", cut, [(sparse(64, *shape, seed=1, along=channels),)], bits=4)
    assert [layout.axis for layout in deployed.codec.layouts] == [channels]
    assert len(deployed.device_tables["lengths.0"]) == 32


def test_few_symbols_get_one_table():
    cut = (sparse(2, 32, 2, 2, seed=0), sparse(2, 64, seed=0))
    deployed = deployment("quantize-entropy", cut, [cut], bits=4)
    assert [layout.axis for layout in deployed.codec.layouts] == [0, 0]


def test_tables_are_all_that_decoding_needs_and_are_counted():
    cut, calibration = (sparse(4, 32, 14, 14, seed=0),), (sparse(32, 32, 14, 14, seed=1),)
    deployed = deployment("quantize-entropy", cut, [calibration], bits=4)
    assert deployed.device_tables.keys() == {"low.0", "high.0", "frequencies.0", "lengths.0", "lowest.0"}
    assert deployed.server_tables.keys() == deployed.device_tables.keys()
    size = sum(x.numel() * x.element_size() for x in deployed.device_tables.values())
    assert size < 32 * (16 * 2 + 6) + 8


def test_calibration_is_needed():
    cut = (torch.rand(2, 3, 4, 4),)
    for chosen in ({}, {"range": "image"}):
        assert BOTH["quantize-entropy"].needs(BOTH["quantize-entropy"].Settings(bits=4, **chosen))
        with pytest.raises(MethodError, match="calibration"):
            deployment("quantize-entropy", cut, [], bits=4, **chosen)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_refused(bad):
    cut = (torch.rand(2, 3, 4, 4),)
    codec = deployment("quantize-entropy", cut, [cut], bits=4).codec
    cut[0][0, 1, 2, 3] = bad
    with pytest.raises(MethodError, match="NaN or infinite"):
        codec.encode(cut)
