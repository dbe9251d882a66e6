"""Units by themselves: shapes, rates, tables and bytes that decode elsewhere."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import BitstreamError, Context, Learned, MethodError, TensorSpec
from splitbench.methods.coding.layout import channel_axis, channels_first, restored
from splitbench.methods.units.coders import CODERS
from tests.helpers.unit_samples import BOTTLENECK, context, fitted


@given(
    st.one_of(
        st.tuples(st.integers(1, 9)),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    )
)
def test_layouts_are_restored(shape):
    x = torch.arange(2 * torch.Size(shape).numel()).reshape(2, *shape)
    axis = channel_axis(TensorSpec(shape, torch.float32))
    present = channels_first(x, axis)
    assert present.shape[1] == shape[axis]
    assert torch.equal(restored(present, axis, len(shape)), x)


@pytest.mark.parametrize("name", ["bottleneck", "quantize-entropy"])
def test_images_of_another_size_have_the_same_channels(name):
    # A first image whose map looks as if its channels were last, and the same network's map of another image.
    first, second = torch.rand(4, 6, 6, 9), torch.rand(4, 6, 8, 5)
    spec, other = (TensorSpec(tuple(x.shape[1:]), x.dtype, "", 0) for x in (first, second))
    method: Any = METHODS.get(name)
    result = Context(None, None, (spec,), lambda: [(first,), (second,)])
    chosen = method.Settings(**({"lmbda": 1.0} if name == "bottleneck" else {"bits": 4}))
    if name == "bottleneck":
        unit = method.learn(chosen, result).unit
        unit.begin((first,))
        unit.finish([(first,), (second,)])
        result = replace(result, learned=lambda: Learned(None, unit, None))
    codec = method.deploy(chosen, result).codec
    for x, its in ((first, spec), (second, other)):
        (decoded,) = codec.decode([stream.data for stream in codec.encode((x,))], (its,))
        assert decoded.shape == x.shape


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5)])
def test_shapes_that_no_unit_takes_are_refused(shape):
    with pytest.raises(MethodError, match="not a tensor of shape"):
        BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0), context(shape))


def test_whole_numbers_are_refused():
    pixels = replace(context((3, 8, 8)), specs=(TensorSpec((3, 8, 8), torch.uint8),))
    with pytest.raises(MethodError, match="whole numbers cross here"):
        BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0), pixels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_are_refused(dtype):
    other = replace(context((3, 8, 8)), specs=(TensorSpec((3, 8, 8), dtype, "stem"),))
    with pytest.raises(MethodError, match=rf"a unit computes in float32, and {str(dtype)[6:]} crosses here \(stem\)"):
        BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0), other)


@settings(max_examples=18, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 6), st.integers(1, 11), st.integers(1, 11)),
            st.tuples(st.integers(1, 17), st.integers(1, 6)),
            st.tuples(st.integers(1, 9)),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([*({"coder": coder} for coder in CODERS), {"rate": "estimator"}, {"unit": "hyperprior"}]),
)
def test_any_cut_comes_back_in_its_shape_and_as_the_unit_reported(shapes, stride, chosen):
    unit, deployment, cut, specs = fitted(shapes, steps=2, stride=stride, **chosen)
    streams = deployment.codec.encode(cut)
    decoded = deployment.codec.decode([stream.data for stream in streams], specs)
    printed, _ = unit(*cut)
    assert [x.shape for x in decoded] == [x.shape for x in cut]
    assert all(torch.equal(x, y) for x, y in zip(decoded, printed, strict=True))


@pytest.mark.parametrize("shape", [(16, 24, 24), (100, 32), (14, 14, 20)])
def test_estimated_and_real_bytes_agree(shape):
    unit, deployment, cut, _ = fitted([shape], steps=150)
    _, bits = unit(*cut)
    streams = deployment.codec.encode(cut)
    assert min(len(stream.data) for stream in streams) > 100, "too few bytes to compare"
    for stream, estimate in zip(streams, bits.tolist(), strict=True):
        # Tables of counts take less than the density that was learned, and are rounded to whole bytes.
        assert -0.06 * estimate <= 8 * len(stream.data) - estimate <= 0.01 * estimate + 8 * 16


def test_a_higher_price_gives_fewer_bytes():
    sizes = []
    for price in (0.001, 1.0):
        _, deployment, cut, _ = fitted([(8, 12, 12)], steps=60, price=price)
        sizes.append(sum(len(stream.data) for stream in deployment.codec.encode(cut)))
    assert sizes[1] < sizes[0]


def test_a_learned_step_is_learned_and_a_fixed_one_is_not():
    for step, moves in (("learned", True), (0.5, False)):
        unit, *_ = fitted([(4, 8, 8)], steps=5, step=step)
        first = 0.0 if step == "learned" else torch.tensor(step).log().item()
        moved = bool((unit.units[0].log_step != first).any())
        assert moved == moves


def test_negative_values_survive_where_there_were_some():
    shape = (4, 6, 6)
    unit = BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0), context(shape)).unit
    signed = torch.randn(4, *shape)
    unit.begin((signed,))
    assert unit(signed)[0][0].min() < 0
    unit.begin((signed.abs(),))
    unit.units[0].floor.zero_()
    assert unit(signed)[0][0].min() >= 0


def test_sides_hold_what_each_needs_and_no_density():
    _, deployment, _, _ = fitted([(8, 6, 6)], steps=1, channels=3)
    device, server = deployment.device_tables, deployment.server_tables
    # Depthwise 3 x 3, its norm, 1 x 1 to three channels, its norm, the steps.
    weights = 8 * 9 + 4 * 8 + 8 * 3 + 4 * 3 + 3
    tables = sum(x.nbytes for name, x in device.items() if name.startswith("tables."))
    assert sum(x.nbytes for x in device.values()) == 4 * weights + tables
    # 1 x 1 back, its norm, the floor, depthwise, the last norm.
    weights = 3 * 8 + 4 * 8 + 1 + 8 * 9 + 4 * 8 + 3
    assert sum(x.nbytes for x in server.values()) == 4 * weights + tables
    assert not any("density" in name for name in (*device, *server))


def test_an_unfinished_unit_is_refused():
    unit = BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0), context((4, 6, 6))).unit
    with pytest.raises(MethodError, match="never finished"):
        unit.codec()
    with pytest.raises(MethodError, match="no training images"):
        unit.finish([])


def smooth(seed, images=8):
    """Cuts (B, 8, 24, 24) whose neighbouring values are alike."""
    coarse = torch.randn(images, 8, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (3 * torch.nn.functional.interpolate(coarse, (24, 24), mode="bilinear").relu(),)


def trained_for(cut):
    """Head, trained head, and what was trained with it for cuts like this one: a unit that has counted its symbols."""
    spec = TensorSpec(tuple(cut[0].shape[1:]), torch.float32)
    unit = BOTTLENECK.learn(BOTTLENECK.Settings(lmbda=1.0, stride=1), Context(None, None, (spec,), list)).unit
    unit.begin(cut)
    unit.finish([cut])
    return Learned(torch.nn.Identity(), unit.requires_grad_(False), None), (spec,)


@pytest.mark.parametrize("coder", ["context", "mixing"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_coder_that_is_fitted_after_training_sends_the_same_symbols_in_fewer_bytes(coder, frozen):
    cut = smooth(0)
    learned, specs = trained_for(cut)
    heads = []

    def by(head):
        heads.append(head)
        return [smooth(1, 16)]

    here = {"calibration": lambda: by(None)} if frozen else {"calibration_by": by}
    head = learned.head if frozen else torch.nn.Identity()
    found = replace(Context(head, None, specs), learned=lambda: learned, **here)
    counted = BOTTLENECK.deploy(BOTTLENECK.Settings(lmbda=1.0, stride=1), found)
    fitted = BOTTLENECK.deploy(BOTTLENECK.Settings(lmbda=1.0, stride=1, coder=coder), found)
    assert heads == [None if frozen else learned.head]  # each image's cut is computed once, by the head that sends

    first, second = ([stream.data for stream in one.codec.encode(cut)] for one in (counted, fitted))
    assert sum(map(len, second)) < 0.9 * sum(map(len, first))
    decoded, again = counted.codec.decode(first, specs), fitted.codec.decode(second, specs)
    assert torch.equal(decoded[0], again[0])
    with pytest.raises(BitstreamError):
        fitted.codec.decode([second[0] + b"\1" * 64], specs)

    def tables(side):
        return {name: x for name, x in side.items() if name.startswith("tables.")}

    assert tables(fitted.device_tables).keys() == tables(fitted.server_tables).keys()
    assert 0 < sum(x.nbytes for x in tables(fitted.device_tables).values()) <= 2**16
    assert torch.equal(  # what was trained is left as it was
        counted.device_tables["tables.0_frequencies"], learned.unit.sides()[0]["tables.0_frequencies"]
    )


def test_a_coder_that_is_fitted_after_training_needs_calibration_images():
    learned, specs = trained_for(smooth(0))
    chosen = BOTTLENECK.Settings(lmbda=1.0, stride=1, coder="context")
    assert BOTTLENECK.needs(chosen) == {"train", "calibration"}
    assert chosen.for_training() == BOTTLENECK.Settings(lmbda=1.0, stride=1)
    huffman = BOTTLENECK.Settings(lmbda=1.0, coder="huffman")
    assert BOTTLENECK.needs(huffman) == {"train"} and huffman.for_training() == huffman
    found = replace(Context(learned.head, None, specs), learned=lambda: learned)
    for calibration in (found.calibration, list):
        with pytest.raises(MethodError, match="no calibration images"):
            BOTTLENECK.deploy(chosen, replace(found, calibration=calibration))


ELSEWHERE = """
import json, sys
import torch
from safetensors.torch import load_file, save_file
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, TensorSpec

method = METHODS.get("bottleneck")
specs = (TensorSpec((8, 9, 7), torch.float32), TensorSpec((30, 6), torch.float32))
for name, chosen in json.loads(sys.argv[2]).items():
    folder = sys.argv[1] + "/" + name
    unit = method.learn(method.Settings(lmbda=1.0, stride=1, **chosen), Context(None, None, specs, list)).unit
    unit.load_state_dict(load_file(folder + "/unit.safetensors"))
    streams = [bytes.fromhex(row) for row in json.load(open(folder + "/streams.json"))]
    decoded = unit.eval().codec().decode(streams, specs)
    save_file({str(i): x.contiguous() for i, x in enumerate(decoded)}, folder + "/decoded.safetensors")
"""


def test_bytes_decode_in_another_process_from_saved_files(tmp_path):
    units = {"range": {}, "huffman": {"coder": "huffman"}, "hyper": {"unit": "hyperprior"}}
    expected = {}
    for coder, chosen in units.items():
        unit, deployment, cut, specs = fitted([(8, 9, 7), (30, 6)], **chosen)
        streams = [stream.data for stream in deployment.codec.encode(cut)]
        (tmp_path / coder).mkdir()
        save_file({name: x.clone() for name, x in unit.state_dict().items()}, tmp_path / coder / "unit.safetensors")
        (tmp_path / coder / "streams.json").write_text(json.dumps([data.hex() for data in streams]))
        expected[coder] = deployment.codec.decode(streams, specs)
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path), json.dumps(units)], check=True)  # noqa: S603
    for coder in units:
        present = load_file(tmp_path / coder / "decoded.safetensors")
        for index, x in enumerate(expected[coder]):
            assert torch.equal(present[str(index)], x)
