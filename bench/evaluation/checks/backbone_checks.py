"""Checks of every backbone before anything is run: outputs for an image must follow from that image alone.

Images are run in batches, several times, and by several processes. A network that draws random numbers while it
evaluates, that remembers what it was given before, or whose output for an image depends on the others of its batch
would have other bytes and another accuracy with every way of running it. Three images show it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.failures import failure_on, is_out_of_memory
from splitbench.bench.evaluation.tasks.task import EvaluationTask
from splitbench.bench.split import SplitModel, same
from splitbench.bench.split.detectors import is_torchvisions, small_images
from splitbench.bench.utils import devices
from splitbench.bench.utils.errors import UserError

_COMPANY_TOLERANCE = 1e-4
"""Of the norm. In batches of one size the same kernels compute a row, bit for bit whatever the other rows are. Only
where a network gathers rows of several images by their values does rounding differ, by some 1e-6. What a batch shares,
such as the scale of its 8-bit levels, may change little more than this."""

_REPEAT_TOLERANCE = 1e-3
"""Of the norm, on a GPU, whose kernels may add up in any order."""

_BLOCKS = 3
"""Of one colour along each side of a picture of full contrast."""

_SIZE_TOLERANCE = 0.05
"""Of the norm. Kernels round differently in batches of other sizes: float32 by some 1e-6, networks that compute in half
precision or round inside by up to a few percent."""


@torch.no_grad()
def check(backbone: Backbone, example: Any, task: EvaluationTask) -> None:
    """Check the answers of a backbone.

    Args:
        backbone: The uncompressed backbone.
        example: The pixels of one image, as a batch.
        task: Whose answers they are.

    Raises:
        UserError: The network cannot be run on the image, writes into it, changes its mode, gives it another answer
            when it is run again, or another one in another batch.
    """
    whole = backbone.whole().to(example[0].device)

    def answers(pixels: Any) -> Any:
        try:
            return whole(pixels)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UserError(f"{backbone.name}: {failure_on(backbone.model, pixels, error)}") from error

    with _small(backbone.model):
        pixels = example[0].clone()
        first = answers(example)
        if not same(pixels, example[0]):
            raise UserError(f"{backbone.name}: it writes into the image that it is given: let it work on a copy")
        _check_modes(backbone)
        pairs = _in_company(answers, backbone, example)
        _check_repeats(backbone, answers, example, first)
    if pairs is not None:
        alone = task.scores(first, 0)
        beside_itself, beside_others = (task.scores(pair, 1) for pair in pairs)
        depends = not _close(beside_others, beside_itself, _COMPANY_TOLERANCE)
        if depends or not _close(beside_itself, alone, _SIZE_TOLERANCE):
            raise UserError(f"{backbone.name}: its answer for an image {_dependence(backbone)}")


@torch.no_grad()
def check_head(backbone: Backbone, split: SplitModel, example: Any) -> None:
    """Check what crosses a split point as :func:`check` does answers. Raises UserError where it depends on others."""
    if not split.how:  # nothing runs in the head, or all of it does
        return
    with _small(backbone.model):
        pairs = _in_company(split.head, backbone, example)
    if pairs is not None:
        beside_itself, beside_others = (split.cut(pair)[0] for pair in pairs)
        if not all(_close(x[1], y[1], _COMPANY_TOLERANCE) for x, y in zip(beside_others, beside_itself, strict=True)):
            raise UserError(f"{backbone.name}: what crosses at {split.at} for an image {_dependence(backbone)}")


@contextmanager
def _small(model: nn.Module) -> Iterator[None]:
    """Let torchvision's detectors resize to small images, as where a cut is checked: large ones take many seconds."""
    if is_torchvisions(model):
        with small_images(model):
            yield
    else:
        yield


def _check_modes(backbone: Backbone) -> None:
    training = [name for name, module in backbone.model.named_modules() if module.training]
    backbone.model.eval()
    stays = {name for name, module in backbone.model.named_modules() if module.training}
    changed = [name or type(backbone.model).__name__ for name in training if name not in stays]
    if changed:
        raise UserError(
            f"{backbone.name}: its forward puts {changed[0]} into training mode, by train(): leave that out, and ask "
            "`self.training` for what must differ in training"
        )


def _in_company(function: Callable[[Any], Any], backbone: Backbone, example: Any) -> tuple[Any, Any] | None:
    """Return what a function returns for an image between copies of itself, and between others.

    None where so many do not fit into memory: such images are run one by one.
    """
    image: Tensor = example[0]
    before, behind = (other.to(image.device) for other in _others(image))
    try:
        return function(backbone.together([image] * 3)), function(backbone.together([before, image, behind]))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    devices.free_memory(image.device)  # out here the error is forgotten, and with it what its frames hold
    return None


def _others(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return noise, and blocks of full contrast, which reach further than the image where a maximum is taken of all."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, image.shape, generator=generator, dtype=image.dtype)
    blocks = torch.randint(0, 2, (3, _BLOCKS, _BLOCKS), generator=generator, dtype=image.dtype) * 255
    rows, columns = (torch.arange(side) * _BLOCKS // side for side in image.shape[1:])
    return noise, blocks[:, rows[:, None], columns]


def _check_repeats(backbone: Backbone, answers: Callable[[Any], Any], example: Any, first: Any) -> None:
    """Check that an image gets its first answer again, and that no random number is drawn for it."""
    device = example[0].device
    before = _generators(device)
    again = answers(example)
    if not same(before, _generators(device)):
        raise UserError(
            f"{backbone.name}: it draws random numbers while it evaluates, so that an image has no one answer: let "
            "dropout and noise follow `self.training`, as in F.dropout(x, training=self.training)"
        )
    equal = same(again, first)
    if not equal and device.type == "cuda":
        pairs = zip(tree_leaves(again), tree_leaves(first), strict=True)
        equal = all(_close(x, y, _REPEAT_TOLERANCE) for x, y in pairs)
    if not equal:
        raise UserError(
            f"{backbone.name}: it gives the same image another answer when it is run again: nothing that the answer "
            "depends on may change from one call to the next (a counter, what was seen before, random numbers)"
        )


def _generators(device: torch.device) -> Sequence[Any]:
    """Return the states of the random generators that a network on this device may draw from."""
    name, keys, *rest = np.random.get_state(legacy=True)
    states = [
        torch.get_rng_state(),
        torch.from_numpy(np.asarray(keys).astype(np.int64)),
        [name, *rest],
        random.getstate(),
    ]
    on_gpu = device.type == "cuda" and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [*states, torch.cuda.get_rng_state(device)] if on_gpu else states


def _dependence(backbone: Backbone) -> str:
    norms = [
        f"{name} ({type(module).__name__})"
        for name, module in backbone.model.named_modules()
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
    ]
    why = (
        f"{norms[0]} normalizes over the batch: give it running statistics (track_running_stats=True), and leave it in "
        "evaluation mode"
        if norms
        else "let its forward treat every image by itself, without means, attention or differences over the batch"
    )
    return f"depends on the other images of its batch, so that rows would follow from how images are batched: {why}"


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Return whether tensors differ by no more than this part of the second's norm; the shorter one ends in zeros."""
    flat = [torch.view_as_real(torch.nan_to_num(x.detach()).flatten().to(torch.complex128)) for x in (one, other)]
    x, y = (nn.functional.pad(z, (0, 0, 0, max(map(len, flat)) - len(z))) for z in flat)
    return float((x - y).norm()) <= tolerance * float(y.norm())
