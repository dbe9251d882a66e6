"""Context mixing: exact for any symbols and the same on every machine, and what it saves against fixed tables."""

import hashlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import BitstreamError, Context, MethodError, TensorSpec
from splitbench.methods.coding.context.context_coder import ContextCoder
from splitbench.methods.coding.context.context_tables import ContextCounts
from splitbench.methods.coding.mixing.mixing_coder import MixingCoder
from splitbench.methods.coding.mixing.mixing_contexts import Intervals
from splitbench.methods.coding.mixing.mixing_kernel import DECISIONS, slot_count, weight_count
from splitbench.methods.coding.mixing.mixing_logistic import SQUASH, STRETCH, adapt, counts_of, logits_of, slots_at
from splitbench.methods.coding.mixing.mixing_model import MixingModel, fit
from splitbench.methods.coding.mixing.mixing_predictors import Predictors

INT32 = np.iinfo(np.int32)
STORED_AT_MOST = 2**16


def correlated_maps(rng, channels, side, highest=7):
    """Maps that are smooth, mostly zero, and of which channels are alike, as after a ReLU."""
    coarse = rng.normal(size=(4, -(-side // 4), -(-side // 4))).repeat(4, 1).repeat(4, 2)[:, :side, :side]
    mixture = np.random.default_rng(0).normal(size=(channels, 4)) / 2
    fine = np.einsum("ck,kij->cij", mixture, coarse) + 0.3 * rng.normal(size=(channels, side, side))
    return np.clip(np.round(3 * fine), 0, highest).astype(np.int32)


def drawn_model(seed, channels, signed):
    """A model of whole numbers alone, which no arithmetic of floating point has touched."""
    rng = np.random.default_rng(seed)
    limits = [np.unique(rng.integers(0, 40, count)).astype(np.int32) for count in (5, 15, 11, 11, 23)]
    earlier = np.array([rng.integers(0, max(c, 1), 3) if c > 2 else [channels] * 3 for c in range(channels)])
    return MixingModel(
        np.array([7, signed], np.int32),
        Intervals(*limits),
        Predictors(
            rng.integers(-20, 60, (channels, 7)).astype(np.int8),
            rng.integers(-20, 60, channels).astype(np.int16),
            earlier.astype(np.uint16),
        ),
        rng.integers(0, 900, channels).astype(np.uint16),
        rng.integers(0, 256, slot_count(channels, signed)).astype(np.uint8),
        rng.integers(-5000, 30000, weight_count()).astype(np.int32),
    )


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_any_symbols_come_back_whatever_the_model(shapes, signed, surprises, seed):
    rng = np.random.default_rng(seed)
    coder = MixingCoder([drawn_model(seed, shape[0], signed) for shape in shapes])
    symbols = [rng.geometric(0.4, shape).astype(np.int32) - (3 if signed else 1) for shape in shapes]
    for maps in symbols:
        strange = rng.random(maps.shape) < surprises
        unusual = [INT32.min, INT32.max, -1, 255, 256, 8, 7, *rng.integers(INT32.min, INT32.max, 3)]
        maps[strange] = rng.choice(unusual, strange.sum())
    stream = coder.encode(symbols)
    decoded = coder.decode(stream, shapes)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, symbols, strict=True))
    assert coder.encode(symbols) == stream  # an image leaves nothing behind


def test_the_bytes_are_the_same_on_every_machine():
    """Pinned: whoever changes them raises the method's version."""
    rng = np.random.default_rng(5)
    models = [drawn_model(1, 6, False), drawn_model(2, 5, True)]
    symbols = [
        (rng.geometric(0.3, (6, 9, 8)) - 1).astype(np.int32),
        (rng.geometric(0.1, (5, 1, 40)) * rng.choice([-1, 1], (5, 1, 40))).astype(np.int32),
    ]
    digest = hashlib.sha256(MixingCoder(models).encode(symbols)).hexdigest()
    tables = hashlib.sha256(SQUASH.astype("<i4").tobytes() + STRETCH.astype("<i4").tobytes()).hexdigest()
    assert (digest[:16], tables[:16]) == GOLDEN


GOLDEN = ("ed95c1b0a377d557", "2681c5d2a192cd86")


def test_squash_is_the_logistic_function_and_stretch_its_inverse():
    logits = np.arange(-2047, 2048)
    assert np.abs(SQUASH[logits + 2048] - 65536 / (1 + np.exp(-logits / 256))).max() <= 1
    assert (np.diff(SQUASH) >= 0).all() and SQUASH.min() > 0 and SQUASH.max() < 65536
    probable = (np.arange(4096) + 0.5) / 4096
    exact = (256 * np.log(probable / (1 - probable))).clip(-2047, 2047)
    assert np.abs(STRETCH - exact)[16:-16].max() <= 2


def test_a_slot_becomes_the_share_of_ones():
    slots = slots_at(np.zeros(1, np.int64), np.zeros(1, np.int64))
    rng = np.random.default_rng(0)
    for bit in rng.random(4000) < 0.2:
        adapt(slots, 0, bool(bit), 255)
    assert counts_of(slots)[0] == 255
    assert abs(1 / (1 + np.exp(-logits_of(slots)[0] / 256)) - 0.2) < 0.05


def test_mixing_saves_what_fixed_tables_cannot():
    """On images whose channels and neighbours are alike, a seventh at least; on noise it costs next to nothing."""
    rng = np.random.default_rng(0)
    images = [correlated_maps(rng, 24, 16) for _ in range(30)]
    counts = ContextCounts(24, -7, 7)
    tables = ContextCoder([counts.fit(counts.classes(images[:20]), images[:20])])
    mixing = MixingCoder([fit(images[:20])])
    sizes = [sum(len(coder.encode([x])) for x in images[20:]) for coder in (mixing, tables)]
    assert sizes[0] < 6 / 7 * sizes[1]
    noise = [(rng.geometric(0.5, (24, 16, 16)) - 1).clip(0, 7).astype(np.int32) for _ in range(30)]
    entropy = 2 * 24 * 256 / 8  # of the geometric distribution: two bits a symbol
    assert np.mean([len(MixingCoder([fit(noise[:20])]).encode([x])) for x in noise[20:23]]) < 1.02 * entropy


@pytest.mark.parametrize("highest", [3, 300])
def test_streams_take_what_their_probabilities_say(highest):
    rng = np.random.default_rng(3)
    maps = correlated_maps(rng, 16, 28, highest) * np.int32(max(1, highest // 10))
    coder = MixingCoder([fit([correlated_maps(rng, 16, 28) for _ in range(2)])] * 2)
    ideal, real = coder.bits([maps, -maps]), 8 * len(coder.encode([maps, -maps]))
    assert abs(real - ideal) < 16 + 0.001 * ideal


def test_what_calibration_taught_is_there_from_the_first_symbol():
    rng = np.random.default_rng(1)
    images = [correlated_maps(rng, 24, 4) for _ in range(60)]
    mixing = MixingCoder([fit(images[:50])])
    nothing = MixingCoder([replace(fit(images[:50]), slots=np.full(slot_count(24, False), 128, np.uint8))])
    assert sum(len(mixing.encode([x])) for x in images[50:]) < 0.9 * sum(len(nothing.encode([x])) for x in images[50:])


@pytest.mark.parametrize(
    ("channels", "side", "negative"), [(2048, 2, False), (2048, 2, True), (512, 6, True), (64, 8, False)]
)
def test_models_keep_to_their_budget(channels, side, negative):
    rng = np.random.default_rng(1)
    shape = (channels, side, side)
    images = [(rng.geometric(0.4, shape) - (3 if negative else 1)).astype(np.int32) for _ in range(6)]
    tensors = fit(images).to_tensors()
    assert sum(x.numel() * x.element_size() for x in tensors.values()) <= STORED_AT_MOST


def test_a_stored_model_codes_as_before():
    rng = np.random.default_rng(2)
    images = [correlated_maps(rng, 4, 8) - 1 for _ in range(8)]
    model = fit(images)
    again = MixingModel.from_tensors(model.to_tensors())
    assert MixingCoder([again]).encode([images[0]]) == MixingCoder([model]).encode([images[0]])


def test_damaged_models_are_refused():
    model = fit([correlated_maps(np.random.default_rng(2), 4, 8)])
    tensors = model.to_tensors()
    for change in (
        {"earlier": torch.full_like(tensors["earlier"], 3)},  # of itself, and of later channels
        {"earlier": tensors["earlier"][:3]},
        {"slots": tensors["slots"][1:]},
        {"mixing": tensors["mixing"][1:]},
        {"places": torch.tensor([3, 1], dtype=torch.int32)},
        {"predicted": torch.arange(24, dtype=torch.int32)},
        {"extent": torch.tensor([0, 0], dtype=torch.int32)},
        {"coefficients": tensors["coefficients"].int()},
    ):
        with pytest.raises(MethodError, match="invalid model for mixing"):
            MixingModel.from_tensors(tensors | change)


def test_what_no_encoder_writes_is_refused():
    images = [correlated_maps(np.random.default_rng(seed), 4, 8) for seed in range(8)]
    coder = MixingCoder([fit(images)])
    stream = coder.encode([images[0]])
    decode = partial(coder.decode, shapes=[(4, 8, 8)])
    with pytest.raises(BitstreamError, match="zero byte"):
        decode(stream + b"\0")
    with pytest.raises(BitstreamError, match="behind its last symbol"):
        decode(stream + b"\1" * 9)
    with pytest.raises(MethodError, match="channels, H, W"):
        coder.decode(stream, [(5, 8, 8)])
    refused = 0
    for seed in range(50):
        noise = np.random.default_rng(seed).integers(1, 256, 40, np.uint8).tobytes()
        try:
            assert decode(noise)[0].shape == (4, 8, 8)
        except BitstreamError:
            refused += 1
    assert refused > 0


def test_symbols_far_beyond_those_mixed_cost_a_few_bits_more():
    rng = np.random.default_rng(3)
    images = [np.round(np.abs(rng.normal(0, 40, (4, 16, 16)))).clip(0, 255).astype(np.int32) for _ in range(40)]
    assert max(x.max() for x in images) > 10 * DECISIONS
    size = np.mean([len(MixingCoder([fit(images[:32])]).encode([x])) for x in images[32:]])
    bits = 0.5 * np.log2(2 * np.pi * np.e * 40**2) - 1  # of half a Gaussian
    assert size < 1.05 * bits / 8 * 4 * 256


@pytest.mark.parametrize("bits", [1, 2.5, 8])
def test_the_cut_is_that_of_the_tables(bits):
    torch.manual_seed(0)
    cut = (torch.randn(3, 6, 5, 7).relu(), torch.randn(3, 9, 4), torch.randn(3, 5))
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [tuple(x.roll(1) for x in cut)])
    method = METHODS.get("quantize-context")
    decoded = []
    for model in ("tables", "mixing"):
        codec = method.deploy(method.Settings(bits=bits, range="image", model=model), context).codec
        decoded.append(codec.decode([stream.data for stream in codec.encode(cut)], specs))
    assert all(torch.equal(a, b) for a, b in zip(*decoded, strict=True))


def test_keys_from_before_there_were_two_models_stay():
    settings = METHODS.get("quantize-context").Settings
    assert "model" not in settings(bits=3).model_dump(mode="json")
    assert settings(bits=3, model="mixing").model_dump(mode="json")["model"] == "mixing"


def test_without_calibration_images_it_says_what_to_do():
    with pytest.raises(MethodError, match="name some in the sweep's `calibration`"):
        fit([])
