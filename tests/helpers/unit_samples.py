"""Units that were trained for a few steps, without head and tail."""

from dataclasses import replace
from typing import Any

import torch

from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, Learned, TensorSpec

BOTTLENECK: Any = METHODS.get("bottleneck")


def context(*shapes):
    return Context(None, None, tuple(TensorSpec(shape, torch.float32) for shape in shapes), list)


def fitted(shapes, steps=30, price=0.02, cut=None, **chosen):
    """A unit after a few steps for cuts with many zeros, where a bit per element costs ``price``; and its codec."""
    choice = BOTTLENECK.Settings(**({"lmbda": 1.0, "stride": 1} | chosen))
    generator = torch.Generator().manual_seed(0)
    cut = cut or tuple(torch.randn(8, *shape, generator=generator).relu() for shape in shapes)
    unit = BOTTLENECK.learn(choice, context(*shapes)).unit.train()
    unit.begin(cut)
    optimizer = torch.optim.Adam([p for p in unit.parameters() if p.requires_grad], 1e-2)
    elements = sum(x[0].numel() for x in cut)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(steps):
            decoded, bits = unit(*cut)
            errors = [(x - y).square().mean() for x, y in zip(decoded, cut, strict=True)]
            loss = price * bits.mean() / elements + sum(errors)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    unit.finish([cut])
    result = replace(
        context(*shapes), learned=lambda: Learned(None, unit.requires_grad_(False), None), calibration=lambda: [cut]
    )
    return unit, BOTTLENECK.deploy(choice, result), cut, result.specs
