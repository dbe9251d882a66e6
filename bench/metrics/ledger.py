"""The ledger: what a deployment stores and what switching loads, measured from its objects.

A tensor counts as the backbone's where its content equals one of the backbone's; only others differ between rate
points. What all rate points of a method store, and what a switch between two of them loads, follows when the cells of
a run are collected (:func:`over_rate_points`), since it depends on which rate points there are.

Each is counted twice: as tensors lie in memory, and packed, as a deployment would store them, where float32 tensors
that hold nothing but float16 values (kernels that a training rounded) take two bytes per element.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.utils.weight_files import content
from splitbench.methods.base import Deployment

SIDES = ("device", "server")
SWITCHES_PER_SECOND = (1, 10, 30)
_REPEATS = 5


class TensorDigests:
    """TensorDigests of tensors, each computed once as long as its memory is the same."""

    def __init__(self, backbone: nn.Module) -> None:
        self._known: dict[tuple[Any, ...], tuple[Tensor, tuple[str, int]]] = {}
        self.backbone = {self.of(tensor) for tensor in backbone.state_dict().values()}

    def of(self, tensor: Tensor) -> str:
        """Return a short digest of the tensor's type, shape and content."""
        return self._facts(tensor)[0]

    def packed_bytes(self, tensor: Tensor) -> int:
        """Return how many bytes the tensor takes where float16 stands for float32 values that it holds exactly."""
        return self._facts(tensor)[1]

    def _facts(self, tensor: Tensor) -> tuple[str, int]:
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if place not in self._known:
            head = f"{tensor.dtype} {tuple(tensor.shape)}\n".encode()
            digest = hashlib.sha256(head + content(tensor)).hexdigest()[:12]
            # The tensor is kept so that its address cannot come to mean another one.
            self._known[place] = tensor, (digest, _packed_bytes(tensor))
        return self._known[place][1]


def _packed_bytes(tensor: Tensor) -> int:
    exact = tensor.dtype == torch.float32 and torch.equal(tensor.half().float(), tensor)
    return 2 * tensor.numel() if exact else tensor.nbytes


def stored(deployment: Deployment, digests: TensorDigests) -> dict[str, Any]:
    """Return, per side, the bytes of the backbone's tensors, and digest and bytes of every other tensor, also packed.

    Counters of training batches are left out: inference does not need them.
    """
    sides = zip(
        SIDES,
        (deployment.head, deployment.tail),
        (deployment.device_tables, deployment.server_tables),
        strict=True,
    )
    result: dict[str, Any] = {}
    for side, module, tables in sides:
        tensors = {name: t for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")}
        shared, separate = 0, dict[str, int]()
        shared_packed, separate_packed = 0, dict[str, int]()
        for tensor in _distinct((*tensors.values(), *tables.values())):
            digest = digests.of(tensor)
            if digest in digests.backbone:
                shared += tensor.nbytes
                shared_packed += digests.packed_bytes(tensor)
            else:
                copies = sum(name.startswith(digest) for name in separate)
                separate[f"{digest}.{copies}"] = tensor.nbytes
                separate_packed[f"{digest}.{copies}"] = digests.packed_bytes(tensor)
        result[side] = {"backbone": shared, "own": separate}
        result[side] |= {"packed_backbone": shared_packed, "packed": separate_packed}
    return result


def _distinct(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    """Return tensors that share memory once; equal ones in different memory are stored twice."""
    return {(t.data_ptr(), t.dtype, tuple(t.shape), t.stride()): t for t in tensors}.values()


def over_rate_points(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return storage and switching columns of one method's rate points, from what :func:`stored` said of each.

    Cells of versions that did not count packed tensors have no packed columns.
    """
    columns: dict[str, float] = {}
    for side in SIDES:
        sides = [point[side] for point in points]
        columns |= _over_rate_points(sides, "backbone", "own", f"{side}_bytes")
        if all("packed" in tensors for tensors in sides):
            columns |= _over_rate_points(sides, "packed_backbone", "packed", f"{side}_packed_bytes")
    if all(f"switch_{side}_bytes" in columns for side in SIDES):
        megabits = sum(columns[f"switch_{side}_bytes"] for side in SIDES) * 8 / 1e6
        columns |= {f"switch_mbps_{times}": megabits * times for times in SWITCHES_PER_SECOND}
    return columns


def _over_rate_points(points: Sequence[Mapping[str, Any]], backbone: str, own: str, name: str) -> dict[str, float]:
    """Return the columns of one side: what all points store, and what a switch loads where there are several."""
    tensors: list[dict[str, int]] = [point[own] for point in points]
    every = {digest: size for sizes in tensors for digest, size in sizes.items()}
    columns: dict[str, float] = {f"storage_{name}": max(point[backbone] for point in points) + sum(every.values())}
    switches = [
        sum(size for digest, size in after.items() if digest not in before)
        for before, after in itertools.permutations(tensors, 2)
    ]
    return columns | ({f"switch_{name}": mean(switches)} if switches else {})


def switch_ms(deployment: Deployment, digests: TensorDigests, device: torch.device) -> float:
    """Return the median milliseconds to copy a rate point's tensors, of both sides, from host memory to ``device``.

    That is what a switch takes once the weights have arrived; next to nothing for a method without weights.
    """
    every = (
        *deployment.head.state_dict().values(),
        *deployment.tail.state_dict().values(),
        *deployment.device_tables.values(),
        *deployment.server_tables.values(),
    )
    own = [tensor for tensor in _distinct(every) if digests.of(tensor) not in digests.backbone]
    pairs = [(tensor.detach().clone().to(device), tensor.detach().cpu().clone()) for tensor in own]

    def load() -> None:
        for place, weights in pairs:
            place.copy_(weights)

    return median_ms(load, [()] * _REPEATS, device)
