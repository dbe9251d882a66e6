"""A model's split points in order of execution, and what each costs on either side."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.split.auto import auto_points
from splitbench.bench.split.cut import seeds, traced_or_error
from splitbench.bench.split.cut_plan import Plan, image_shape
from splitbench.bench.split.detectors import PREFIX, is_torchvisions
from splitbench.bench.split.point import SplitPoint
from splitbench.bench.split.tracing.facts import BATCH, Trace, evaluating

__all__ = ["SplitPoint", "auto_points", "network_input", "share_of_zeros", "split_points"]


def split_points(model: nn.Module, example: Any) -> list[SplitPoint]:
    """List a model's split points: modules on its trunk, and stages even where more than one tensor crosses.

    A module is on the trunk where nothing but its output crosses: a residual block is, a branch inside it is not.
    Every other module and node can be split at too: it is only not listed.

    Args:
        model: A classifier, or one of torchvision's detectors.
        example: An input batch (B, ...); for a detector, images (3, H, W). Only the shapes matter.

    Returns:
        The split points in order of execution, ``input`` and ``output`` not among them.

    Raises:
        UserError: The model cannot be traced.
    """
    batch = network_input(model, example)
    if not is_torchvisions(model):
        points, _ = _survey(model, batch)
        return points
    with evaluating(model):
        total = count_macs(model, example) // len(example)
    backbone = cast(nn.Module, model.backbone)
    points, inside = _survey(backbone, batch, PREFIX)
    numbers = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in backbone.parameters())
    beyond = max(0, total - inside)  # batches are padded: one image's share can be a little below the batch's
    return [replace(p, macs_tail=p.macs_tail + beyond, parameters_tail=p.parameters_tail + numbers) for p in points]


def network_input(model: nn.Module, example: Any) -> Tensor:
    """Return the batch (B, 3, H, W) that the network itself works on: of a detector, the images resized and padded."""
    if not is_torchvisions(model):
        return cast(Tensor, example)
    with torch.no_grad(), evaluating(model):
        return cast(Tensor, cast(Any, model.transform)(list(example))[0].tensors)


def _survey(model: nn.Module, example: Tensor, prefix: str = "") -> tuple[list[SplitPoint], int]:
    """Return the split points of a module of one tensor, and its MACs for one image."""
    traced = traced_or_error(model, example)
    by_cut: dict[tuple[fx.Node, ...], SplitPoint] = {}
    try:
        for name in _candidates(traced, bool(prefix)):
            plan = Plan(traced, seeds(traced, name))
            if not plan.tensors or not (_on_trunk(plan, name) or _is_stage(traced, name)):
                continue
            point = _point(plan, f"{prefix}.{name}".strip("."), prefix, example)
            key = tuple(plan.tensors)
            # A block and the last layer in it send the same: the block gives the point its name.
            if point is not None and (key not in by_cut or point.name.count(".") < by_cut[key].name.count(".")):
                by_cut[key] = point
    finally:
        traced.scrub()
    if not prefix:
        by_cut.pop(tuple(traced.graph.output_node().all_input_nodes), None)  # known as `output`
    return list(by_cut.values()), sum(fact.macs for fact in traced.facts.values()) // BATCH


def _candidates(traced: Trace, whole: bool) -> list[str]:
    """Modules to consider, in the order in which they end; of those that end together, the innermost first."""
    ends = {
        name: max(traced.order[n] for n in nodes)
        for name, nodes in traced.outputs.items()
        if name and any(traced.facts[n].data for n in nodes) and _worth_a_name(traced.model.get_submodule(name), name)
    }
    names = sorted(ends, key=lambda name: (ends[name], -name.count(".")))
    return [*names, ""] if whole else names


def _worth_a_name(module: nn.Module, name: str) -> bool:
    block = any(True for _ in module.children())
    return block or (name.count(".") < 2 and not isinstance(module, nn.Identity | nn.Flatten | _DROPOUT))


_DROPOUT = nn.modules.dropout._DropoutNd


def _on_trunk(plan: Plan, name: str) -> bool:
    """Return whether nothing but the module's output crosses."""
    if not name:
        return True
    return set(plan.tensors) <= {plan.same.get(n, n) for n in plan.trace.outputs[name]}


def _is_stage(traced: Trace, name: str) -> bool:
    """Return whether a module is a part of the model itself, or of a mere container of stages."""
    parent, _, _ = name.rpartition(".")
    module = traced.model.get_submodule(name)
    container = not parent or ("." not in parent and isinstance(traced.model.get_submodule(parent), _CONTAINERS))
    return container and any(True for _ in module.children())


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def _point(plan: Plan, name: str, prefix: str, example: Tensor) -> SplitPoint | None:
    """Return what a cut costs for one image, or None where something crosses that is not one part per image."""
    shapes = [image_shape(tensor.shape) for node in plan.tensors for tensor in plan.facts[node].tensors]
    per_image = tuple(shape for shape in shapes if shape is not None)
    if len(per_image) < len(shapes):
        return None
    module = plan.trace.model.get_submodule(name.removeprefix(prefix).strip("."))
    numbers = sum(int(torch.Size(shape).numel()) for shape in per_image)
    ran = plan.runs
    return SplitPoint(
        name=name,
        shapes=per_image,
        macs_head=sum(plan.facts[n].macs for n in ran) // BATCH,
        macs_tail=sum(plan.facts[n].macs for n in plan.tail) // BATCH,
        parameters_head=_parameters(plan.trace.model, ran),
        parameters_tail=_parameters(plan.trace.model, plan.tail),
        larger_than_input=numbers > example[0].numel(),
        block=any(True for _ in module.children()),
    )


def _parameters(model: nn.Module, nodes: Iterable[fx.Node]) -> int:
    """Numbers in the parameters that the nodes use, each counted once."""
    used: set[nn.Parameter] = set()
    for node in nodes:
        if node.op == "call_module":
            used.update(model.get_submodule(str(node.target)).parameters())
        elif node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(model.get_submodule(owner), name, None)
            if isinstance(value, nn.Parameter):
                used.add(value)
    return sum(parameter.numel() for parameter in used)


def share_of_zeros(model: nn.Module, points: Sequence[SplitPoint], batch: Any) -> dict[str, float]:
    """Return the share of zeros among the numbers that cross at each split point, in one pass over real images.

    Args:
        model: The model whose split points they are.
        points: Split points of it.
        batch: Preprocessed images (B, ...), or for a detector images (3, H, W) with values in [0, 1].

    Returns:
        Name to a share from 0 to 1.

    Raises:
        UserError: The model cannot be traced, or a split point is not the model's.
    """
    batch = network_input(model, batch)
    if is_torchvisions(model):
        names = {p.name: p.name.removeprefix(PREFIX).removeprefix(".") for p in points}
        model = cast(nn.Module, model.backbone)
    else:
        names = {p.name: p.name for p in points}
    traced = traced_or_error(model, batch)
    try:
        plans = {name: Plan(traced, seeds(traced, inside)) for name, inside in names.items()}
        watch = {node for plan in plans.values() for node in plan.tensors}
        with torch.no_grad(), evaluating(model):
            counter = _Zeros(fx.GraphModule(model, traced.graph), watch)
            counter.run(batch)
    finally:
        traced.scrub()
    totals = {name: [counter.counts[node.name] for node in plan.tensors] for name, plan in plans.items()}
    return {name: sum(z for z, _ in pairs) / sum(n for _, n in pairs) for name, pairs in totals.items()}


class _Zeros(fx.Interpreter):
    """Runs a graph and counts zeros at chosen nodes: (zeros, numbers) per node."""

    def __init__(self, module: fx.GraphModule, watch: Iterable[fx.Node]) -> None:
        super().__init__(module)
        self.watch = {node.name for node in watch}
        self.counts: dict[str, tuple[int, int]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.watch:
            tensors = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
            self.counts[n.name] = (sum(int((t == 0).sum()) for t in tensors), sum(t.numel() for t in tensors))
        return result
