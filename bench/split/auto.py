"""Chooses split points: where stages end, or the best by what the device computes and what it sends."""

from collections.abc import Sequence
from math import log
from statistics import median_high

from splitbench.bench.split.point import SplitPoint
from splitbench.bench.utils.errors import UserError

DEEPEST = 0.9
"""The share of the computation before a split from which on it is a poor choice."""

STEP = 2
"""A new stage begins where a feature map has this many times fewer places than the one before (or more)."""


def auto_points(points: Sequence[SplitPoint], n: int | None = None) -> list[SplitPoint]:
    """Choose split points: the stage boundaries, or the ``n`` best.

    Args:
        points: All of a model's, in order of execution.
        n: None for stage boundaries: the last block before the feature maps become smaller. A model whose features
            keep their size (a plain vision transformer) is cut at its quarters by MACs. Or a number: that many points
            of the Pareto front of (MACs on the device, bytes); of a front that has more, those that cover most of it
            (hypervolume); where it has fewer, the next fronts fill up. Points with more than :data:`DEEPEST` of the
            MACs before them come last: finishing on the device and sending the answer is cheaper there.

    Returns:
        The chosen points in order of execution.

    Raises:
        UserError: ``n`` is less than 1.
    """
    if n is None:
        chosen = _stages(points)
    elif n < 1:
        raise UserError(f"splits: auto wants at least 1 point, not {n}")
    else:
        deep = [p for p in points if p.macs_head > DEEPEST * (p.macs_head + p.macs_tail)]
        chosen = []
        for rest in ([p for p in points if p not in deep], deep):
            while rest and len(chosen) < n:
                front = pareto_front(rest)
                rest = [p for p in rest if p not in front]
                chosen += _widest(front, n - len(chosen))
    return [p for p in points if p in chosen]


def places(point: SplitPoint) -> int:
    """Places in the smallest feature map that crosses: height x width whichever axes they are, or tokens."""
    sizes = []
    for shape in point.shapes:
        if len(shape) == 3:
            channels_last = shape[0] == shape[1] != shape[2]
            sizes.append(shape[0] * shape[1] if channels_last else shape[1] * shape[2])
        else:
            sizes.append(shape[0] if len(shape) > 1 else 1)
    return min(sizes)


def pareto_front(points: Sequence[SplitPoint]) -> list[SplitPoint]:
    """Points to which no other is better in MACs on the device or bytes without being worse in the other."""
    front: list[SplitPoint] = []
    for point in sorted(points, key=lambda p: (p.macs_head, p.bytes)):
        if not front or point.bytes < front[-1].bytes:
            front.append(point)
    return front


def _stages(points: Sequence[SplitPoint]) -> list[SplitPoint]:
    maps = [p for p in points if places(p) > 1]
    blocks = [p for p in maps if p.block]
    groups = _by_size(blocks)
    if len(groups) > 2:
        # Stages are modules of one depth; an expansion inside the next block may still run on the same size.
        outermost = [min(p.name.count(".") for p in group) for group in groups]
        usual = median_high(outermost)
        return [
            [p for p in group if p.name.count(".") <= max(usual, depth)][-1]
            for group, depth in zip(groups, outermost, strict=True)
        ]
    if len(_by_size(maps)) > 2:
        # Without blocks (VGG) the last layer of a stage is the one before pooling: the smallest is the better place.
        return [min(reversed(group), key=lambda p: p.bytes) for group in _by_size(maps)]
    if not maps:
        return []
    total = maps[0].macs_head + maps[0].macs_tail
    return [min(blocks or maps, key=lambda p: abs(p.macs_head - share * total)) for share in (0.25, 0.5, 0.75)]


def _by_size(points: Sequence[SplitPoint]) -> list[list[SplitPoint]]:
    groups: list[list[SplitPoint]] = []
    for point in points:
        here, before = places(point), places(groups[-1][0]) if groups else 0
        if groups and before < STEP * here and here < STEP * before:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _widest(front: list[SplitPoint], n: int) -> list[SplitPoint]:
    """Drop the points that cover least of the front, one by one, until ``n`` are left."""
    kept = list(front)  # in order of rising MACs and falling bytes
    top, right = log(1 + max(p.bytes for p in kept)), float(max(p.macs_head for p in kept)) or 1.0

    def cover(i: int) -> float:
        above = log(1 + kept[i - 1].bytes) if i else 1.1 * top
        beyond = kept[i + 1].macs_head if i + 1 < len(kept) else 1.1 * right
        return (above - log(1 + kept[i].bytes)) * (beyond - kept[i].macs_head)

    while len(kept) > n:
        kept.pop(min(range(len(kept)), key=cover))
    return kept
