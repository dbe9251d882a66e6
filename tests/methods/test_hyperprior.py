"""Scale hyperpriors: scales are the same everywhere; what is sent, stored and computed, and what training keeps."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.coding.entropy.counts import Counts
from splitbench.methods.coding.entropy.probability_tables import Tables
from splitbench.methods.coding.entropy.range_coder import RangeCoder
from splitbench.methods.units.hyper import scale_counts
from splitbench.methods.units.hyper.hyperprior import LEAST_SCALE, SCALES, SCALES_PER_E, masses
from splitbench.methods.units.hyper.scales import Scales
from tests.helpers.unit_samples import BOTTLENECK, fitted

HYPER = {"unit": "hyperprior"}
ESTIMATOR = {"rate": "estimator"}
SHAPES = [(8, 9, 7), (30, 6), (5,)]


def extreme(rows=3, channels=4, side=8):
    """Weights at the ends of what is stored, which give the largest sums."""
    rng = np.random.default_rng(0)

    def of(shape, largest, dtype):
        return torch.from_numpy(rng.choice([-largest, largest, largest - 1], shape)).to(dtype)

    return {
        "widen": of((channels, side, 1, 1), 2**15 - 1, torch.int16),
        "widen_bias": of((channels,), 2**30, torch.int32),
        "grow": of((channels, 1, rows, 3), 2**15 - 1, torch.int16),
        "grow_bias": of((channels,), 2**30, torch.int32),
    }


def by_hand(stored, side, size):
    """The numbers of the scales with Python's integers, place by place."""
    widen, widen_bias, grow, grow_bias = (stored[name].tolist() for name in stored)
    rows = len(grow[0][0])
    step = (rows + 1) // 2
    numbers = np.zeros((len(grow), *size), int)
    for c in range(len(grow)):
        logarithm = [[grow_bias[c]] * size[1] for _ in range(size[0])]
        for i, j in np.ndindex(*side.shape[1:]):
            z = [max(-(2**11), min(2**11, int(value))) for value in side[:, i, j]]
            hidden = max(0, widen_bias[c] + sum(w[0][0] * x for w, x in zip(widen[c], z, strict=True)))
            for a, b in np.ndindex(rows, 3):
                y, x = step * i + a - rows // 2, 2 * j + b - 1
                if 0 <= y < size[0] and 0 <= x < size[1]:
                    logarithm[y][x] += grow[c][0][a][b] * hidden
        for y, x in np.ndindex(*size):
            numbers[c, y, x] = max(0, min(SCALES - 1, (8 * logarithm[y][x] + 2**19) // 2**20))
    return numbers


@pytest.mark.parametrize(("rows", "size"), [(3, (5, 6)), (3, (1, 1)), (1, (1, 9))])
@pytest.mark.parametrize("shrunk", [1, 2**12])
def test_scales_are_those_of_integers_of_any_size(rows, size, shrunk):
    stored = {name: (x // shrunk).to(x.dtype) for name, x in extreme(rows).items()}
    shape = (8, -(-size[0] // ((rows + 1) // 2)), -(-size[1] // 2))
    side = np.random.default_rng(1).choice([-(2**31), -(2**11), -3, 0, 1, 5, 2**11, 2**31 - 1], shape)
    present = Scales(stored).numbers(torch.from_numpy(side)[None], size)[0]
    assert (present.numpy() == by_hand(stored, side, size)).all()
    assert Scales(stored).side_size(size) == shape[1:]


def other_machine(monkeypatch):
    """Convolutions that sum in another order, and leave errors in the last bits of the largest sums."""
    generator = torch.Generator().manual_seed(0)

    def perturbed(function, permute):
        def call(x, weight, bias, **options):
            order = torch.randperm(x.shape[1], generator=generator)
            x, weight = (x[:, order], weight[:, order]) if permute else (x, weight)
            out = function(x, weight, bias, **options)
            return out + 0.4 * (2 * torch.rand(out.shape, generator=generator, dtype=out.dtype) - 1)

        return call

    monkeypatch.setattr(torch.nn.functional, "conv2d", perturbed(torch.nn.functional.conv2d, True))
    monkeypatch.setattr(torch.nn.functional, "conv_transpose2d", perturbed(torch.nn.functional.conv_transpose2d, False))


def test_a_decoder_with_other_arithmetic_decodes_the_same(monkeypatch):
    unit, deployment, cut, _ = fitted(SHAPES, **HYPER)
    streams = [stream.data for stream in deployment.codec.encode(cut)]
    expected = deployment.codec.coder.decode(streams[0], [(2, 9, 7), (2, 1, 30), (2, 1, 1)])
    with monkeypatch.context() as patch:
        other_machine(patch)
        other = unit.codec().coder.decode(streams[0], [(2, 9, 7), (2, 1, 30), (2, 1, 1)])
    assert all((x == y).all() for x, y in zip(other, expected, strict=True))


def test_an_encoder_with_other_arithmetic_may_send_another_side_latent():
    unit, deployment, cut, specs = fitted(SHAPES, **HYPER)
    other = copy.deepcopy(unit).codec()
    for analysis in other.coder.analyses:
        for weights in analysis.parameters():
            weights.data.add_(0.3)
    streams = [[stream.data for stream in codec.encode(cut)] for codec in (deployment.codec, other)]
    assert streams[0] != streams[1]
    decoded = [deployment.codec.decode(data, specs) for data in streams]
    assert all(torch.equal(x, y) for x, y in zip(*decoded, strict=True))


def test_gaussians_are_distributions_of_symbols_from_0_on():
    scale = LEAST_SCALE * torch.exp(torch.arange(SCALES).double() / SCALES_PER_E)[:, None]
    assert scale[-1] == pytest.approx(256, rel=0.01)
    assert torch.allclose(masses(torch.arange(4000).double(), scale).sum(1), torch.ones(SCALES).double())
    one = masses(torch.tensor([0.0, 1.0, 40.0]), torch.tensor(1.0))
    phi = [0.5 * math.erfc(-x / math.sqrt(2)) for x in (-0.5, 0.5, 1.5)]
    assert one[:2].tolist() == pytest.approx([(phi[1] - phi[0]) / phi[1], (phi[2] - phi[1]) / phi[1]], rel=1e-5)
    assert 0 <= one[2] < 1e-30


def activity(images=16):
    """Cuts (B, 8, 16, 16), each with a few regions of large values."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.nn.functional.interpolate(torch.randn(images, 1, 4, 4, generator=generator), (16, 16))
    return (torch.randn(images, 8, 16, 16, generator=generator).relu() * (2 * coarse).exp(),)


def entropy_by_channel(symbols):
    """The fewest bytes that tables per channel can come to, however they are fitted."""
    bits = 0.0
    for channel in symbols.transpose(0, 1).flatten(1):
        counts = torch.bincount(channel.long()).double()
        bits -= (counts * (counts / counts.sum()).clamp_min(1e-300).log2()).sum().item()
    return bits / 8


def test_a_side_latent_pays_where_scales_vary_by_place():
    unit, deployment, cut, _ = fitted([(8, 16, 16)], steps=150, cut=activity(), channels=4, **HYPER)
    streams = deployment.codec.encode(cut)
    size = sum(len(stream.data) for stream in streams)
    assert size < 0.9 * entropy_by_channel(unit.units[0].latent(cut[0]).round())
    assert 0.01 * size < sum(stream.side for stream in streams) < 0.3 * size


def test_estimated_and_real_bytes_agree(monkeypatch):
    unit, deployment, cut, _ = fitted([(8, 16, 16)], steps=150, cut=activity(), channels=4, **HYPER)
    fewer = sum(len(stream.data) for stream in deployment.codec.encode(cut))
    monkeypatch.setattr(scale_counts, "PRIOR", 1e12)  # nothing but the Gaussians that training learned
    unit.finish([cut])
    streams = unit.codec().encode(cut)
    assert fewer < 0.95 * sum(len(stream.data) for stream in streams)  # what counting is for
    prior = unit.units[0].hyperprior
    side = -prior.density(prior.analysis(unit.units[0].latent(cut[0]).round())).log2().flatten(1).sum(1)
    for stream, estimate in zip(streams, (unit(*cut)[1] - side).tolist(), strict=True):
        # Symbols that a Gaussian takes for impossible are escapes, which take fewer bits than it says.
        assert -0.06 * estimate - 8 * 2 <= 8 * stream.payload - estimate <= 0.01 * estimate + 8 * 2
    assert 8 * sum(stream.side for stream in streams) < side.sum()  # its tables are counted, too


def test_the_side_latent_is_counted_as_side_information():
    _, deployment, cut, _ = fitted(SHAPES, **HYPER)
    codec = deployment.codec
    tables = codec.coder.tensors
    for index, stream in enumerate(codec.encode(cut)):
        sides = []
        for unit, x, analysis in zip(codec.units, cut, codec.coder.analyses, strict=True):
            symbols = unit.latent(x[index : index + 1]).round()
            side = analysis(symbols.reshape(1, 2, *([1] * (4 - symbols.dim())), *symbols.shape[2:])).round().int()
            sides.append(side.flatten(2)[0].numpy())
        alone = RangeCoder([table.side for table in tables]).encode(sides)
        assert stream.side == len(alone) > 0 and stream.framing == 0
        assert stream.payload == len(stream.data) - len(alone)


def test_a_side_latent_that_says_nothing_takes_nothing():
    unit, _, cut, _ = fitted([(8, 16, 16)], **HYPER)
    for weights in unit.units[0].hyperprior.analysis.parameters():
        weights.data.zero_()
    unit.finish([cut])
    assert [stream.side for stream in unit.codec().encode(cut)] == [0] * 8


def test_sides_hold_what_each_needs_and_the_analysis_is_on_the_device_alone():
    _, deployment, _, _ = fitted([(8, 6, 6)], steps=1, channels=3, **HYPER)
    device, server = deployment.device_tables, deployment.server_tables
    tables = {name: x for name, x in server.items() if name.startswith("tables.")}
    assert tables.keys() == {name for name in device if name.startswith("tables.")}
    sizes = {name.removeprefix("tables.0_"): x.nbytes for name, x in tables.items()}
    # 1 x 1 from three channels to three in int16 and its biases in int32; depthwise 3 x 3 likewise.
    assert [sizes[name] for name in ("widen", "widen_bias", "grow", "grow_bias")] == [2 * 9, 4 * 3, 2 * 27, 4 * 3]
    used = len(tables["tables.0_lengths"])
    assert sizes["lengths"] == 2 * used and sizes["lowest"] == 4 * used and sizes["first"] == 4 and used <= SCALES
    assert sizes["side_lengths"] == 2 * 3 and sizes["side_lowest"] == 4 * 3
    assert sizes["frequencies"] == 2 * int(tables["tables.0_lengths"].int().sum())
    # Depthwise 3 x 3, its norm, 1 x 1 to three channels, its norm, the steps; the analysis with biases.
    weights = 8 * 9 + 4 * 8 + 8 * 3 + 4 * 3 + 3 + (3 * 9 + 3 + 3 * 3 + 3)
    assert sum(x.nbytes for x in device.values()) == 4 * weights + sum(sizes.values())
    weights = 3 * 8 + 4 * 8 + 1 + 8 * 9 + 4 * 8 + 3
    assert sum(x.nbytes for x in server.values()) == 4 * weights + sum(sizes.values())


def test_its_computation_is_counted_on_both_sides():
    counted = {}
    for name, chosen in (("plain", {}), ("hyper", HYPER)):
        _, deployment, cut, specs = fitted([(8, 6, 6)], steps=1, channels=3, **chosen)
        one = tuple(x[:1] for x in cut)
        streams = [stream.data for stream in deployment.codec.encode(one)]
        counted[name] = (
            count_macs(deployment.codec.encode, one),
            count_macs(deployment.codec.decode, streams, specs),
        )
    analysis = 9 * (3 * 9 + 3 * 3)  # at 3 x 3 places
    synthesis = 9 * (3 * 3 + 3 * 9)
    assert counted["hyper"][0] - counted["plain"][0] == analysis + synthesis
    assert counted["hyper"][1] - counted["plain"][1] == synthesis


def test_an_estimator_leaves_nothing_behind():
    plain, estimated = (fitted(SHAPES, **chosen) for chosen in ({}, ESTIMATOR))
    for side in ("device_tables", "server_tables"):
        names = [getattr(deployment, side).keys() for _, deployment, *_ in (plain, estimated)]
        assert names[0] == names[1] and not any("hyperprior" in name for name in names[1])
    unit, deployment, cut, _ = estimated
    streams = deployment.codec.encode(cut)
    assert [stream.side for stream in streams] == [0] * 8
    (count,) = [Counts(2, 0, 1023)]
    count.add(unit.units[0].latent(cut[0]).round().int().flatten(2))
    stored = {name.removeprefix("tables.0_"): x for name, x in deployment.device_tables.items() if "tables.0_" in name}
    assert (Tables.from_tensors(stored).frequencies == count.tables().frequencies).all()


def test_an_estimator_and_a_hyperprior_train_the_same_networks():
    weights = [fitted([(8, 9, 7)], **chosen)[0].units[0].state_dict() for chosen in (ESTIMATOR, HYPER)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(x, weights[1][name]) for name, x in weights[0].items())


@pytest.mark.parametrize("name", ["bottleneck", "retrained", "bottleneck-variable", "retrained-variable"])
def test_keys_from_before_stay(name):
    method: Any = METHODS.get(name)
    assert not {"unit", "rate"} & method.Settings(lmbda=1.0).model_dump(mode="json").keys()
    if "variable" not in name:
        for chosen in (HYPER, ESTIMATOR):
            found = method.Settings(lmbda=1.0, **chosen)
            assert found.model_dump(mode="json").items() >= chosen.items()
            assert found.for_training() == found and method.needs(found) == {"train"}


def test_choices_that_exclude_each_other_are_refused():
    for coder in ("huffman", "context", "mixing"):
        with pytest.raises(ValidationError, match=f"without `coder: {coder}`"):
            BOTTLENECK.Settings(lmbda=1.0, coder=coder, **HYPER)
    with pytest.raises(ValidationError, match="leave out `rate: estimator`"):
        BOTTLENECK.Settings(lmbda=1.0, **HYPER, **ESTIMATOR)
