"""quantize-context: exact for any symbols, decodes to what quantize-rle does, in fewer bytes than channels alone."""

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
from splitbench.methods.coding.context.context_tables import BUDGET, ContextCounts, ContextTables
from splitbench.methods.coding.context.neighbours import CLASSES, LARGEST, Neighbourhood, activities
from splitbench.methods.coding.entropy.range_stream import shortest

INT32 = np.iinfo(np.int32)


def fitted(images, lowest=-3, highest=3):
    counts = ContextCounts(images[0].shape[0], lowest, highest)
    return counts.fit(counts.classes(images), images)


def smooth_maps(rng, shape, highest=7):
    """Maps whose neighbours are alike and mostly zero, as after a ReLU."""
    channels, height, width = shape
    coarse = rng.normal(size=(channels, -(-height // 4), -(-width // 4)))
    fine = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width] + 0.3 * rng.normal(size=shape)
    return np.clip(np.round(3 * fine), 0, highest).astype(np.int32)


def activity_by_the_book(maps, weights):
    expected = np.zeros(maps.shape, np.int64)
    for c, i, j in np.ndindex(*maps.shape):
        neighbours = [(c, i, j - 1), (c, i - 1, j), (c, i - 1, j - 1), (c, i - 1, j + 1), (c - 1, i, j)]
        for weight, (d, k, m) in zip(weights, neighbours, strict=True):
            if d >= 0 and k >= 0 and 0 <= m < maps.shape[2]:
                expected[c, i, j] += weight * min(abs(int(maps[d, k, m])), LARGEST)
    return expected


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
    st.tuples(*[st.integers(0, 3)] * 5),
    st.integers(0, 2**32 - 1),
)
def test_activity_is_the_weighted_sum_of_causal_neighbours(shape, weights, seed):
    maps = np.random.default_rng(seed).integers(-400, 400, shape).astype(np.int32)
    maps.flat[0] = INT32.min
    assert np.array_equal(activities(maps, np.array(weights)), activity_by_the_book(maps, weights))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_any_symbols_come_back_whatever_tables_were_fitted_on(shapes, surprises, seed):
    rng = np.random.default_rng(seed)
    tables = [fitted([rng.integers(-3, 4, shape).astype(np.int32) for _ in range(3)]) for shape in shapes]
    coder = ContextCoder(tables)
    symbols = [rng.integers(-3, 4, shape).astype(np.int32) for shape in shapes]
    for maps in symbols:
        strange = rng.random(maps.shape) < surprises
        maps[strange] = rng.choice(
            [INT32.min, INT32.max, 256, -4, *rng.integers(INT32.min, INT32.max, 3)], strange.sum()
        )
    stream = coder.encode(symbols)
    decoded = coder.decode(stream, shapes)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, symbols, strict=True))


def test_carries_run_through_the_words_that_were_written():
    """Streams of very probable symbols have long runs of ones, through which a late carry goes."""
    rng = np.random.default_rng(3)
    shape = (1, 1, 20000)
    calibration = [np.where(rng.random(shape) < 0.9999, 3, rng.integers(-3, 4, shape)).astype(np.int32)]
    coder = ContextCoder([fitted(calibration)])
    for seed in range(20):
        symbols = np.where(np.random.default_rng(seed).random(shape) < 0.999, 3, -3).astype(np.int32)
        assert np.array_equal(coder.decode(coder.encode([symbols]), [shape])[0], symbols)


@given(st.integers(0, 2**64 - 1), st.integers(2**32, 2**64 - 1))
def test_the_ending_is_the_shortest_number_of_the_interval(low, size):
    size = min(size, 2**64 - low)
    code = shortest(np.empty(0, np.uint32), low, size)
    value = int.from_bytes(code.ljust(8, b"\0"), "big")
    assert low <= value < low + size
    shorter = {int.from_bytes(code[:-1].ljust(8, b"\0"), "big") + step * 256 ** (9 - len(code)) for step in (0, 1)}
    assert code == b"" or not any(low <= value < low + size for value in shorter)


def test_neighbours_save_what_channels_alone_cannot():
    """On maps with structure, and nothing worth mentioning is lost on noise."""
    rng = np.random.default_rng(0)
    shape = (24, 16, 16)
    images = [smooth_maps(rng, shape) for _ in range(30)]
    coder = ContextCoder([fitted(images[:20], -7, 7)])
    blind = fitted([x.reshape(24, -1, 1)[:, rng.permutation(256)].reshape(shape) for x in images[:20]], -7, 7)
    shuffled = [x.reshape(24, -1)[:, rng.permutation(256)].reshape(shape) for x in images[20:]]
    with_context = np.mean([len(coder.encode([x])) for x in images[20:]])
    without = np.mean([len(ContextCoder([blind]).encode([x])) for x in shuffled])
    assert with_context < 0.85 * without


@pytest.mark.parametrize("surprising", [False, True])
def test_streams_take_what_their_probabilities_say(surprising):
    rng = np.random.default_rng(3)
    maps = smooth_maps(rng, (24, 28, 28))
    if surprising:
        maps[:, ::9, ::9] = 300
    coder = ContextCoder([fitted([smooth_maps(rng, (24, 28, 28)) for _ in range(4)], -7, 7)] * 2)
    ideal, real = coder.bits([maps, maps]), 8 * len(coder.encode([maps, maps]))
    assert abs(real - ideal) < 16 + (0.02 if surprising else 0.001) * ideal  # next to an escape it is an estimate


@pytest.mark.parametrize("bits", [1, 2.5, 3, 8])
def test_the_cut_is_quantize_rles(bits):
    torch.manual_seed(0)
    cut = (torch.randn(3, 6, 5, 7).relu(), torch.randn(3, 9, 4), torch.randn(3, 5))
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    context = Context(nn.Identity(), nn.Identity(), specs, calibration=lambda: [tuple(x.roll(1) for x in cut)])
    decoded = []
    for name in ("quantize-rle", "quantize-context"):
        method = METHODS.get(name)
        codec = method.deploy(method.Settings(bits=bits, range="image"), context).codec
        decoded.append(codec.decode([stream.data for stream in codec.encode(cut)], specs))
    assert all(torch.equal(a, b) for a, b in zip(*decoded, strict=True))


@pytest.mark.parametrize(("channels", "side", "bits"), [(2048, 4, 3), (2048, 4, 8), (64, 24, 8)])
def test_tables_keep_to_their_budget(channels, side, bits):
    rng = np.random.default_rng(1)
    largest = 2**bits - 1
    scales = rng.uniform(0, largest / 3, (channels, 1, 1))
    images = [
        np.abs(rng.normal(size=(channels, side, side)) * scales).clip(0, largest).astype(np.int32) for _ in range(8)
    ]
    tables = fitted(images, -largest, largest)
    stored = sum(x.numel() * x.element_size() for x in tables.to_tensors().values())
    assert stored <= BUDGET + 2048
    assert tables.tables.groups > 1  # channels so unlike are worth more than one table


@pytest.mark.parametrize("few", [4, 12])
def test_tables_of_few_images_of_small_maps_are_nearly_as_good_as_those_of_many(few):
    """Deep layers have more rows than few images have symbols for: similar channels say what these are like."""
    rng = np.random.default_rng(4)
    scales = rng.lognormal(-1, 1, (512, 1, 1))

    def drawn(count):
        """Images whose channels go along with one another: active where the image is."""
        where = rng.lognormal(0, 0.7, (count, 1, 4, 4))
        return [(rng.exponential(size=(512, 4, 4)) * scales * at).astype(np.int32).clip(0, 7) for at in where]

    unseen = drawn(20)
    first, second = (sum(fitted(drawn(count), -7, 7).bits(x) for x in unseen) for count in (few, 200))
    assert first < 1.07 * second


def test_stored_tables_code_as_before():
    rng = np.random.default_rng(2)
    images = [smooth_maps(rng, (4, 8, 8)) for _ in range(8)]
    tables = fitted(images, -7, 7)
    again = ContextTables.from_tensors(tables.to_tensors())
    assert ContextCoder([again]).encode([images[0]]) == ContextCoder([tables]).encode([images[0]])


def test_damaged_tables_are_refused():
    tables = fitted([smooth_maps(np.random.default_rng(2), (4, 8, 8))], -7, 7)
    for change in (
        {"rows": torch.full_like(torch.from_numpy(tables.rows), 255)},
        {"limits": torch.tensor([5, 1, 1, 1, 1, 1, 1], dtype=torch.int32)},
        {"weights": torch.tensor([2, 2, 1, 1, -1], dtype=torch.int32)},
        {"weights": torch.tensor([2, 2], dtype=torch.int32)},
        {"rows": torch.full((4, 8), -1, dtype=torch.int8)},
        {"rows": torch.zeros(8, dtype=torch.uint8)},
    ):
        with pytest.raises(MethodError, match="invalid context tables"):
            ContextTables.from_tensors(tables.to_tensors() | change)


def test_what_no_encoder_writes_is_refused():
    rng = np.random.default_rng(2)
    images = [smooth_maps(rng, (4, 8, 8)) for _ in range(8)]
    coder = ContextCoder([fitted(images, -7, 7)])
    stream = coder.encode([images[0]])
    decode = partial(coder.decode, shapes=[(4, 8, 8)])
    with pytest.raises(BitstreamError, match="zero byte"):
        decode(stream + b"\0")
    with pytest.raises(BitstreamError, match="behind its last symbol"):
        decode(stream + b"\1" * 9)
    with pytest.raises(MethodError, match="channels, H, W"):
        coder.decode(stream, [(5, 8, 8)])


def test_the_same_symbols_in_fewer_classes_where_there_is_little_to_say_apart():
    flat = [np.zeros((2, 3, 3), np.int32)]
    counts = ContextCounts(2, -1, 1)
    context = counts.classes(flat)
    assert len(context.limits) < CLASSES
    assert counts.fit(context, flat).tables.groups == 1


def test_classes_are_intervals_of_activity():
    lookup = Neighbourhood((1, 1, 0, 0, 0), (0, 3)).lookup()
    assert lookup[[0, 1, 3, 4, 510]].tolist() == [0, 1, 1, 2, 2]


def test_without_calibration_images_it_says_what_to_do():
    counts = ContextCounts(2, -1, 1)
    with pytest.raises(MethodError, match="name some in the sweep's `calibration`"):
        counts.fit(counts.classes([]), [])
