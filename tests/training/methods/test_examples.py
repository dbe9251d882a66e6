"""Training images in memory, where there are a million: nothing is held twice."""

import threading
import weakref
from typing import Any

import torch

from splitbench.bench.training.methods import examples
from splitbench.bench.training.methods.examples import FrozenHead, Pictures, of_cuts
from splitbench.bench.utils import progress

IMAGES = 200


class Images:
    """Stands for a dataset whose images are their indices, and for the backbone that makes pixels of them."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.most, self.lock = 0, threading.Lock()

    def __len__(self) -> int:
        return IMAGES

    def image(self, index: int) -> int:
        return index

    def pixels(self, index: int) -> torch.Tensor:
        with self.lock:
            made = torch.full((3, 4, 4), index, dtype=torch.uint8)
            self.alive.add(made)
            self.most = max(self.most, len(self.alive))
        return made

    def together(self, pixels: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(pixels)


def test_images_are_decoded_into_one_tensor_and_not_held_one_by_one(monkeypatch):
    monkeypatch.setattr(examples, "_DECODED_AT_ONCE", 8, raising=False)
    images = Images()
    kept = Pictures(images, images).in_memory(2**20, progress.silent)
    pixels, indices, versions = kept.tensors
    assert indices.tolist() == [*range(IMAGES)] and not versions.any()
    assert torch.equal(pixels, torch.arange(IMAGES, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4))
    assert images.most <= 3 * 8


def test_the_outputs_of_a_head_fill_one_tensor_each(monkeypatch):
    images, held = Images(), []
    monkeypatch.setattr(examples, "_HEAD_BATCH", 8)

    class Head(torch.nn.Module):
        def forward(self, pixels):
            held.append(weakref.ref(out := pixels.float() + torch.arange(4.0)))
            held[:] = [x for x in held if x() is not None]
            assert len(held) <= 8
            return (out,)

    found: Any = of_cuts(
        Pictures(images, images), images, FrozenHead(Head(), 1, False), flip=True, device=torch.device("cpu")
    )
    cut, index, _ = found.train.tensors
    assert cut.shape == (IMAGES - 20, 2, 3, 4, 4) and found.head_runs == 2 * (IMAGES - 20) + 20
    expected = index[:, None, None, None] + torch.arange(4.0).expand(3, 4, 4)
    assert torch.equal(cut[:, 0], expected) and torch.equal(cut[:, 1], expected)  # the mirror of one colour is itself
    assert sorted([*index.tolist(), *found.held_out.tensors[1].tolist()]) == [*range(IMAGES)]
