"""Synthetic results that look like a run's, for tests of comparisons and figures. Nothing here is a measurement."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from splitbench.bench.results.columns import NAMES
from splitbench.bench.results.table import read

Row = dict[str, Any]

RESNET50 = {
    "layer1": (1.0e9, 802_816),
    "layer2": (1.9e9, 401_408),
    "layer3": (3.2e9, 200_704),
    "layer4": (4.088e9, 100_352),
}
"""Split point -> MACs of the head, elements of the cut."""

VARIANTS = (
    "",
    "granularity=channel",
    "range=calibrated",
    "granularity=channel range=calibrated",
    "order=channel-last",
    "order=channel-last range=calibrated",
    "granularity=channel order=channel-last",
    "granularity=channel order=channel-last range=calibrated",
)


_SWITCHED = {"bottleneck": 2.3e6, "retrained": 102e6}
"""Bytes of weights on each side that a rate point has of its own."""


def row(**given: object) -> Row:
    """One row with every column; what is not given is empty, and the key follows from the rest."""
    full: Row = dict.fromkeys(NAMES, "") | {
        "task": "classification",
        "dataset": "val",
        "fingerprint": "f00d",
        "images": 650,
        "backbone": "torchvision/resnet50",
        "weights": "w8",
        "metric": "top1",
        "status": "ok",
        "baseline": 76.0,
        "seed": 0,
        "precision": "float32",
        "date": "2026-11-21T05:00:00Z",
    }
    full |= given
    if not full["key"]:
        full["key"] = hashlib.sha256(repr(sorted(full.items())).encode()).hexdigest()[:16]
    return full


def point(size: float, accuracy: float, wide: float | None = None, **given: object) -> Row:
    """A row at ``size`` bytes and ``accuracy`` %; ``wide`` is half of the interval, by default the binomial one."""
    full = row(**given)
    base, images = float(full["baseline"]), float(full["images"])
    share = min(max(accuracy / 100, 0.002), 0.998)
    half = 196 * np.sqrt(share * (1 - share) / images) if wide is None else wide
    drop = base - accuracy
    paired = half * min(1.0, 0.25 + abs(drop) / 40)
    return full | {
        "bytes_mean": size,
        "bytes_p50": 0.98 * size,
        "bits_per_pixel": 8 * size / 224**2,
        "accuracy": accuracy,
        "accuracy_low": max(accuracy - half, 0),
        "accuracy_high": min(accuracy + half, 100),
        "drop": drop,
        "drop_low": drop - paired,
        "drop_high": drop + paired,
    }


def curve(sizes: Sequence[float], accuracies: Sequence[float], **given: Any) -> list[Row]:
    """A curve over knob values 1, 2, ..."""
    common: Row = {"method": "a", "split": "layer2", "knob": "bits"} | given
    return [
        point(size, accuracy, **(common | {"value": i + 1}))
        for i, (size, accuracy) in enumerate(zip(sizes, accuracies, strict=True))
    ]


def run(
    splits: dict[str, tuple[float, int]] = RESNET50,
    variants: Sequence[str] = VARIANTS[:4],
    learned: Sequence[str] = (),
    images: int = 650,
    bits: Sequence[int] = (1, 2, 3, 4, 5, 6, 8),
    **given: object,
) -> list[Row]:
    """A whole run over one backbone, shaped like real ones: noisy saturation, sizes by sparsity and depth."""
    noise = np.random.default_rng(7)
    common: Row = {"images": images, "baseline": 76.0} | given
    base, total = float(common["baseline"]), 4.09e9
    step = 100 / images

    def measured(accuracy: float) -> float:
        return float(np.clip(round((accuracy + noise.normal(0, 0.35)) / step) * step, 0, 100))

    rows = _references(common, base, total, measured)
    for split, (head, elements) in splits.items():
        at = common | {"split": split, "macs_head": head, "macs_tail": total - head}
        weights = head / total * 102e6
        for value, width in (("float32", 4), ("float16", 2)):
            rows.append(point(elements * width, base, **at, method="raw", knob="dtype", value=value, macs_encoder=0.0))
        for order, variant in enumerate(variants):
            for b in bits:
                size = elements * (0.05 + 0.065 * b) * (1 - 0.06 * order) + 40 * (order % 2)
                loss = (70 - 6 * order) * np.exp(-(b - 1) * (1.05 + 0.06 * order))
                rows.append(
                    point(
                        size,
                        measured(base - loss),
                        **at,
                        method="quantize-rle",
                        variant=variant,
                        knob="bits",
                        value=b,
                        macs_encoder=2.0 * elements,
                        storage_device_bytes=weights + 2_000 * order,
                        storage_server_bytes=102e6 - weights,
                        switch_device_bytes=0,
                    )
                )
        for order, method in enumerate(learned):
            for i, size in enumerate((350, 700, 1400, 2800, 5600)):
                unit = _SWITCHED[method]
                rows.append(
                    point(
                        size * (1 + 0.4 * order) * (elements / 2e5) ** 0.3,
                        measured(base - 0.4 - (9 - 3 * order) * np.exp(-i)),
                        **at,
                        method=method,
                        knob="lambda",
                        value=f"{0.1 / 2**i:g}",
                        macs_encoder=9e6,
                        storage_device_bytes=weights + 5 * unit,
                        storage_server_bytes=102e6 - weights + 5 * unit,
                        switch_device_bytes=unit,
                        switch_server_bytes=unit,
                        train_macs=1e15,
                        train_seconds=3600,
                    )
                )
    return rows


def _references(common: Row, base: float, total: float, measured: Callable[[float], float]) -> list[Row]:
    rows = []
    for k, size in ((1, 2.0), (5, 8.0)):
        rows.append(
            point(size, base, **common, split="output", method="label-only", knob="k", value=k, macs_head=total)
        )
    for order, kind in enumerate(("jpeg", "webp")):
        for q in (5, 10, 25, 50, 75, 95):
            size = (2_400 + 330 * q + 2.6 * q**2) * (1 - 0.3 * order)
            accuracy = measured(base - 32 * np.exp(-q / 14))
            rows.append(
                point(
                    size,
                    accuracy,
                    **common,
                    split="input",
                    method="image",
                    variant=f"format={kind}",
                    knob="quality",
                    value=q,
                )
            )
    return rows


def table(folder: Path, rows: Sequence[Row], name: str = "run") -> pd.DataFrame:
    """The table of a run of that name, read back from its file."""
    return read([save(folder / name / "cells.csv", rows)])


def save(path: Path, rows: Sequence[Row]) -> Path:
    """Writes rows as a run's ``cells.csv`` would be and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=list(NAMES)).to_csv(path, index=False)
    return path
