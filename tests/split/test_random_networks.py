"""Random small networks, cut at random nodes: exact, and nothing is sent in vain."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from splitbench.bench.split import same, split

CHANNELS, SIDE = 3, 4


@dataclass(frozen=True)
class Step:
    kind: str
    first: int
    second: int


class RandomNetwork(nn.Module):
    """Runs steps one after the other; each reads earlier values. Everything that nothing reads ends in the output."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        torch.manual_seed(len(steps))
        self.steps = steps
        self.layers = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in steps)
        self.rectify = nn.ReLU(inplace=True)
        self.offset = nn.Parameter(torch.randn(CHANNELS, 1, 1))
        self.register_buffer("scale", torch.rand(1, CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        values, read = [x + 0], set[int]()
        for step, layer in zip(self.steps, self.layers, strict=True):
            a, b = values[step.first % len(values)], values[step.second % len(values)]
            read |= {step.first % len(values), step.second % len(values)}
            values.append(self.apply_step(step.kind, layer, a, b))
        total = values[-1]
        for i, value in enumerate(values[:-1]):
            if i not in read:
                total = total + value
        return total

    def apply_step(self, kind: str, layer: nn.Module, a: Tensor, b: Tensor) -> Any:
        match kind:
            case "layer":
                return layer(a) + b
            case "relu":
                return torch.relu(a) + b
            case "relu in place":
                return self.rectify(a) + 0 * b
            case "add in place":
                a += 0.5 * b
                return a
            case "view":
                batch, channels, height, width = a.shape
                return a.flatten(2).view(batch, channels, height, width)
            case "chunk":
                left, right = a.chunk(2, dim=3)
                return torch.cat([right, left], dim=3) * b
            case "transpose":
                return layer(a.transpose(2, 3)).transpose(2, 3)
            case _:
                table = (self.offset * self.scale).expand(a.shape[0], -1, -1, -1)
                return a * table + b


KINDS = ["layer", "relu", "relu in place", "add in place", "view", "chunk", "transpose", "parameters"]
PURE = [kind for kind in KINDS if "place" not in kind]


def steps(kinds: list[str]) -> st.SearchStrategy[list[Step]]:
    index = st.integers(0, 11)
    return st.lists(st.builds(Step, st.sampled_from(kinds), index, index), min_size=1, max_size=12)


def nodes(model: nn.Module, example: Tensor) -> list[str]:
    from splitbench.bench.split.tracing.trace import trace

    traced = trace(model, example)
    return [n.name for n, fact in traced.facts.items() if fact.data and fact.single and n.op != "placeholder"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(steps(KINDS), st.integers(0, 10**6))
def test_random_networks_are_cut_exactly(steps, where):
    model = RandomNetwork(steps).eval()
    x = torch.randn(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    names = nodes(model, x)
    at = names[where % len(names)]
    before = x.clone()
    parts = split(model, at, x)
    with torch.no_grad():
        for batch in (x, x[:1], torch.cat([x, x])):
            cut = parts.head(batch)
            kept = [t.clone() for t in cut[: len(parts.specs)]]
            assert same(parts.tail(*cut), model(batch))
            assert same(kept, list(cut[: len(parts.specs)])), "the tail changed what it was given"
    assert torch.equal(x, before)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(steps(PURE), st.integers(0, 10**6))
def test_no_tensor_is_sent_in_vain(steps, where):
    model = RandomNetwork(steps).eval()
    x = torch.randn(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    names = nodes(model, x)
    at = names[where % len(names)]
    parts = split(model, at, x)
    head, tail = parts.sides
    with torch.no_grad():
        cut = head(x)
        tensors = cut[: len(parts.specs)]
        for i in range(len(tensors)):
            # NaN goes through every one of these operations: without this tensor the tail cannot know the output.
            without = [torch.full_like(t, torch.nan) if i == j else t for j, t in enumerate(tensors)]
            assert tail(*without, *cut[len(tensors) :]).isnan().any(), f"{parts.roles[i]} is not needed"
    storages = [t.untyped_storage().data_ptr() for t in tensors]
    sizes = {s: sum(t.numel() for t, other in zip(tensors, storages, strict=True) if other == s) for s in storages}
    assert all(
        sizes[s] * t.element_size() <= t.untyped_storage().nbytes() for s, t in zip(storages, tensors, strict=True)
    )
