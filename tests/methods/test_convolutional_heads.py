"""New heads of all shapes: sizes of what crosses and of what is made of it; GDN; values in a fixed number of bits."""

import pytest
import torch

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import BitstreamError, Context, MethodError, TensorSpec
from splitbench.methods.heads.gdn import GDN
from splitbench.methods.heads.linear_unit import LinearUnit

STUDENT, REDUCTION = METHODS.get("entropic-student"), METHODS.get("channel-reduction")


def learned(shape, image=(3, 32, 48), method=STUDENT, axis=None, **chosen):
    spec = TensorSpec(shape, torch.float32, "role", axis)
    context = Context(None, None, (spec,), image=image)
    rate = {"lmbda": 1.0, "channels": 5} if method is STUDENT else {"channels": 5}
    return method.learn(method.Settings(**rate | {"width": 6} | chosen), context)


@pytest.mark.parametrize(
    ("shape", "image", "axis", "sent"),
    [
        ((8, 16, 24), (3, 32, 48), None, (5, 16, 24)),
        ((8, 4, 6), (3, 32, 48), None, (5, 4, 6)),
        ((8, 10, 12), (3, 37, 45), None, (5, 10, 12)),
        ((8, 6, 6), (3, 55, 55), None, (5, 7, 7)),  # a network that rounds down: averaged to 6 x 6
        ((6, 6, 8), (3, 48, 48), None, (5, 6, 6)),  # channels last
        ((4, 6, 8), (3, 32, 48), 2, (5, 4, 6)),
        ((25, 8), (3, 32, 48), None, (5, 4, 6)),  # 4 x 6 tokens and one for the class
        ((24, 8), (3, 32, 48), None, (5, 4, 6)),
        ((8,), (3, 32, 48), None, (5, 1, 2)),
    ],
)
def test_a_head_is_made_for_every_shape(shape, image, axis, sent):
    learning = learned(shape, image, axis=axis)
    head, unit = learning.new_head, learning.unit
    cut = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    head.begin((cut,))
    latent = head.encoder(torch.randn(4, *image))
    assert tuple(latent.shape[1:]) == sent == head.sent.shape and latent.min() >= 0
    (decoded,), bits = unit(latent)
    made = head.decoder(decoded).detach()
    assert made.shape == cut.shape and bits.shape == (4,)
    # Before training the decoder's values have the mean and the deviation of the cut's.
    assert float(made.mean()) == pytest.approx(float(cut.mean()), abs=0.1)
    assert float(made.std()) == pytest.approx(float(cut.std()), rel=0.2)
    head.begin((cut.abs(),))
    assert head.decoder(decoded).min() >= 0 > made.min()


@pytest.mark.parametrize(("stride", "sent"), [(1, (5, 8, 12)), (2, (5, 4, 6)), (4, (5, 2, 3))])
def test_stride_makes_what_crosses_smaller_than_the_cut(stride, sent):
    head = learned((8, 8, 12), stride=stride).new_head
    assert tuple(head.encoder(torch.randn(2, 3, 32, 48)).shape[1:]) == sent
    assert head.decoder(torch.rand(2, *sent)).shape == (2, 8, 8, 12)


def test_images_of_another_size_are_cut_in_proportion():
    head = learned((8, 8, 12), axis=0).new_head
    assert head.decoder(head.encoder(torch.randn(2, 3, 64, 32))).shape == (2, 8, 16, 8)


def test_a_stride_that_loses_the_cuts_size_is_refused_where_sizes_vary():
    cut, image = (8, 20, 32), (3, 320, 512)
    for stride in (1, 2):
        head = learned(cut, image, axis=0, stride=stride).new_head
        assert head.decoder(head.encoder(torch.randn(2, 3, 320, 352))).shape == (2, 8, 20, 22)
    with pytest.raises(MethodError, match=r"64 pixels to one of what is sent.*smaller `stride`"):
        learned(cut, image, axis=0, stride=4)
    assert learned(cut, image, stride=4).new_head.sent.shape == (5, 5, 8)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, other = (learned((8, 8, 12)).new_head.state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(x, other[name]) for name, x in one.items())


@pytest.mark.parametrize("method", [STUDENT, REDUCTION])
@pytest.mark.parametrize(
    ("specs", "image", "said"),
    [
        ((TensorSpec((8, 4, 6), torch.float32),), None, "inside the network, which this is not"),
        ((TensorSpec((8, 4, 6), torch.float32), TensorSpec((8,), torch.float32)), (3, 32, 48), "2 cross here"),
        ((TensorSpec((3, 32, 48), torch.uint8),), (3, 32, 48), "uint8"),
    ],
)
def test_what_no_head_makes_is_refused_in_a_sentence(method, specs, image, said):
    rate = method.Settings(**{method.knob: method.rates[0]})
    with pytest.raises(MethodError, match=said):
        method.learn(rate, Context(None, None, specs, image=image))


def test_gdn_divides_by_weighted_magnitudes_and_its_inverse_multiplies():
    divide, multiply = GDN(2), GDN(2, inverse=True)
    for norm in (divide, multiply):
        norm.gamma.data, norm.beta.data = torch.tensor([[0.5, 0.25], [0.0, -2.0]]), torch.tensor([1.0, 3.0])
    x = torch.tensor([2.0, -4.0]).reshape(1, 2, 1, 1)
    by = torch.tensor([1 + 0.5 * 2 + 0.25 * 4, 3 + 2 * 4])
    assert torch.allclose(divide(x).flatten(), x.flatten() / by, atol=1e-4)
    assert torch.allclose(multiply(x).flatten(), x.flatten() * by, atol=1e-4)


@pytest.mark.parametrize(("bits", "size"), [(8, 30), (4, 15), (2, 8)])
def test_values_take_their_bits_and_decode_to_the_nearest_level(bits, size):
    unit = LinearUnit(bits)
    cut = (torch.rand(4, 5, 2, 3, generator=torch.Generator().manual_seed(0)),)
    unit.finish([cut])
    streams = [stream.data for stream in unit.codec().encode(cut)]
    assert {len(data) for data in streams} == {size}
    specs = (TensorSpec((5, 2, 3), torch.float32),)
    (decoded,) = unit.codec().decode(streams, specs)
    step = float(cut[0].max()) / (2**bits - 1)
    assert float((decoded - cut[0]).abs().max()) <= step / 2 + 1e-6
    assert torch.equal(decoded, unit(*cut)[0][0])
    assert unit(*cut)[1].tolist() == [bits * 30] * 4
    (above,) = unit.codec().decode([unit.codec().encode((cut[0] * 100,))[0].data], specs)
    assert float(above.max()) == pytest.approx(float(cut[0].max()))  # beyond the range: its end
    with pytest.raises(BitstreamError, match="bytes instead of"):
        unit.codec().decode([streams[0] + b"\0"], specs)


def test_a_unit_without_a_range_does_not_code_and_is_reopened_without_one():
    unit = LinearUnit(8)
    with pytest.raises(MethodError, match="never finished"):
        unit.codec()
    with pytest.raises(MethodError, match="no training images"):
        unit.finish([])
    unit.finish([(torch.ones(1, 1, 1, 1),)])
    unit.reopen()
    with pytest.raises(MethodError, match="never finished"):
        unit.codec()
