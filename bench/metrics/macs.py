"""Multiply-accumulates (MACs) of forward passes and training steps."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_macs(function: Callable[..., Any], *inputs: Any) -> int:
    """Count the multiply-accumulates (MACs) of ``function(*inputs)`` in one real run without gradients.

    ``torch.utils.flop_counter`` watches the operations that are really dispatched and counts 2 floating-point
    operations per multiply-accumulate of every convolution (grouped, transposed), matrix product and scaled
    dot-product attention. What it does not count: normalisation, activations, softmax outside attention kernels,
    pooling, resizing, additions and products of elements, embeddings, region pooling and suppression of boxes. These
    are a few percent of a network's arithmetic; published tables leave them out too. Custom kernels count only where
    they registered a formula. Attention runs as the matrix products that it is made of: not every release of PyTorch
    has a formula for each of its fused kernels, and those for their gradients count what such kernels compute twice.

    Args:
        function: A module (in the mode it is in: put it in eval mode first) or any function of tensors.
        *inputs: Its inputs. The count is for the whole batch that they hold, not per image. Meta tensors work too.

    Returns:
        The number of MACs.
    """
    # The inference fast path of nn.TransformerEncoderLayer is one fused operation without a formula: it would count 0.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            function(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return int(counter.get_total_flops()) // 2


def count_training_macs(loss: Callable[[], Tensor]) -> int:
    """Count the MACs of computing a loss and its gradients, as :func:`count_macs` does."""
    mapping = {torch.ops.aten.convolution_backward: _convolution_gradients}
    counting = FlopCounterMode(display=False, custom_mapping=mapping)
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counting as counter:
        loss().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2


def count_step_macs(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Count the MACs of one training step of ``model``; its weights and statistics are restored, not its mode."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    with torch.random.fork_rng(devices=[]):
        with torch.no_grad():
            loss()  # what is computed once and cached is no part of a step
        macs = count_training_macs(loss)
    model.zero_grad(set_to_none=True)
    model.load_state_dict(before)
    return macs


def _convolution_gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    _1: Any,
    _2: Any,
    _3: Any,
    _4: Any,
    transposed: bool,
    *rest: Any,
    **_: Any,
) -> int:
    """Return the FLOPs of a convolution's gradients: for its input, for its weights, each as many as forward.

    PyTorch's counter passes the operator's arguments by position.

    PyTorch's formula assumes that every channel meets every other in the weights' gradient, whatever the groups are:
    for a depthwise convolution of C channels that is C times too many.
    """
    *_5, (for_input, for_weights, _bias) = rest
    places = (x if transposed else gradient).shape[2:]
    return 2 * len(gradient) * math.prod(places) * math.prod(weight.shape) * (int(for_input) + int(for_weights))


_convolution_gradients._get_raw = True  # type: ignore[attr-defined]  # the counter gives tensors then, not shapes
