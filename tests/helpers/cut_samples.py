"""Cuts of every kind, for the tests of what quantizes them."""

import torch
from hypothesis import strategies as st


@st.composite
def tensors(draw, images):
    """One or two tensors of any shape and sparsity, signed or not, for so many images."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    result = []
    for _ in range(draw(st.integers(1, 2))):
        shape = draw(st.lists(st.integers(1, 9), min_size=0, max_size=3))
        x = torch.randn(images, *shape, generator=generator) * 10 ** draw(st.integers(-6, 6))
        keep = torch.rand(x.shape, generator=generator) >= draw(st.sampled_from([0.0, 0.5, 0.95, 1.0]))
        kind = draw(st.sampled_from(["signed", "relu", "negative", "constant"]))
        x = {"signed": x, "relu": x.relu(), "negative": -x.relu(), "constant": torch.ones_like(x)}[kind]
        result.append(x * keep if kind != "constant" else x)
    return tuple(result)
