"""The coded boxes: what comes out, how many bytes it takes, and what is refused."""

import numpy as np
import pytest
import torch

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import BitstreamError, Context, MethodError, TensorSpec

ROOM = 300
SPECS = (
    TensorSpec((ROOM, 4), torch.float32, "boxes"),
    TensorSpec((ROOM,), torch.int64, "labels"),
    TensorSpec((ROOM,), torch.float32, "scores"),
)


def codec(**settings):
    method = METHODS.get("boxes")
    nothing = torch.nn.Identity()
    return method.deploy(method.Settings(**{"score": 0.0} | settings), Context(nothing, nothing, SPECS, list)).codec


def cut(count, seed=0, width=640, height=480):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, [width * 0.7, height * 0.7], (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, [width * 0.3, height * 0.3], (count, 2))], 1)
    padded = np.zeros((1, ROOM, 4)), np.zeros((1, ROOM), np.int64), np.full((1, ROOM), -1.0)
    padded[0][0, :count], padded[1][0, :count] = boxes, rng.integers(1, 91, count)
    padded[2][0, :count] = rng.beta(1, 4, count)
    return tuple(torch.from_numpy(x).to(spec.dtype) for x, spec in zip(padded, SPECS, strict=True))


def sent(given, **settings):
    coder = codec(**settings)
    (stream,) = coder.encode(given)
    return stream, *(x[0] for x in coder.decode([stream.data], SPECS))


@pytest.mark.parametrize("count", [0, 1, 5, 127, 128, 300])
@pytest.mark.parametrize("step", [0.125, 1.0, 4.0])
def test_boxes_come_out_likeliest_first_within_a_step(count, step):
    given = cut(count)
    stream, boxes, labels, scores = sent(given, step=step, most=ROOM)
    order = given[2][0, :count].argsort(descending=True, stable=True)
    assert labels[:count].tolist() == given[1][0, order].tolist()
    assert (boxes[:count] - given[0][0, order]).abs().max().item() <= step / 2 + 1e-4 if count else True
    torch.testing.assert_close(scores[:count], given[2][0, order], rtol=0.022, atol=2e-5)
    assert (scores[count:] == -1).all() and (boxes[count:] == 0).all()
    assert stream.framing == (1 if count < 128 else 2) and stream.side == (3 if count else 0)
    if count:
        # By hand: a label to 90 takes 7 bits; corners to 448 x 336, widths to 192 and heights to 144 pixels.
        fields = 7 + sum(int(np.ceil(np.log2(length / step))) for length in (448, 336, 192, 144))
        assert stream.payload <= -(-count * (fields + 9 + 4) // 8) + 33


def test_only_likely_boxes_are_sent_and_of_these_the_likeliest():
    given = cut(50)
    scores = given[2][0].sort(descending=True).values
    for threshold in (0.1, 0.3):
        _, _, _, got = sent(given, score=threshold)
        assert (got >= 0).sum() == (scores >= threshold).sum()
    _, _, labels, got = sent(given, most=3)
    assert (got >= 0).sum() == 3
    assert labels[:3].tolist() == given[1][0, given[2][0].argsort(descending=True)[:3]].tolist()


def test_corners_outside_the_image_move_to_its_edge_and_scores_above_one_are_one():
    given = cut(1)
    given[0][0, 0] = torch.tensor([-5.0, -3.0, 20.0, 30.0])
    given[2][0, 0] = 1.5
    _, boxes, _, scores = sent(given)
    assert boxes[0].tolist() == [0, 0, 20, 30] and scores[0] == 1


def test_what_it_cannot_send_is_refused():
    given = cut(2)
    given[0][0, 0, 2] = float("nan")
    with pytest.raises(MethodError, match="not finite"):
        sent(given)
    large = cut(1)
    large[0][0, 0] = torch.tensor([0.0, 0.0, 9000.0, 10.0])
    with pytest.raises(MethodError, match="outside 0 to 65535"):
        sent(large, step=0.125)
    assert sent(large, step=1.0)[1][0, 2] == 9000
    with pytest.raises(ValueError, match=r"expected one of 0\.125"):
        METHODS.get("boxes").Settings(score=0.1, step=0.3)
    scores = (TensorSpec((1000,), torch.float32, "scores"),)
    with pytest.raises(MethodError, match="needs the boxes, labels and scores of a detector"):
        method = METHODS.get("boxes")
        nothing = torch.nn.Identity()
        method.deploy(method.Settings(score=0.1), Context(nothing, nothing, scores, list))


def test_more_boxes_than_there_is_room_for_are_refused():
    (stream,) = codec(most=ROOM).encode(cut(20))
    fewer = (TensorSpec((10, 4), torch.float32), TensorSpec((10,), torch.int64), TensorSpec((10,), torch.float32))
    with pytest.raises(BitstreamError, match="number of boxes is impossible"):
        codec(most=ROOM).decode([stream.data], fewer)
