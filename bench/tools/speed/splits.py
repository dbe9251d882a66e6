"""Split models against whole ones: the time to split, and the time of head and tail for every image."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from splitbench.bench.split import default_example, split
from splitbench.bench.split.detectors import default_images, is_torchvisions, small_images
from splitbench.bench.split.points import auto_points, split_points
from splitbench.bench.tools.speed.measurement import Measurement, ratios, time_in_turn
from splitbench.bench.tools.support.support import random_model

FULL = (
    "torchvision/resnet50",
    "torchvision/mobilenet_v2",
    "torchvision/densenet121",
    "torchvision/convnext_tiny",
    "timm/vit_tiny_patch16_224",
    "torchvision/swin_t",
    "timm/mobilenetv4_conv_small",
    "timm/fastvit_t8",
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn",
)
QUICK = ("torchvision/squeezenet1_1",)

_SPLIT_AIM = 5.0  # seconds, once per split
_RATIO_AIM = 1.05


@torch.no_grad()
def measure_splits(names: tuple[str, ...], rounds: int, device: torch.device) -> Iterator[Measurement]:
    """Measure models with random weights, split at their middle stage, on one image, or two for a detector.

    On a CPU, CPU time is compared, which other load on the machine does not lengthen. Models that take a few
    milliseconds vary by a few percent, as memory that one side freed is allocated again
    (high MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ show it).
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for name in names:
        model: Any = random_model(name).to(device)
        with small_images(model) if is_torchvisions(model) else nullcontext():
            example: Any = default_images(model) if is_torchvisions(model) else default_example(model)[:1]
            points = split_points(model, example)
            stages = auto_points(points)
            at = stages[len(stages) // 2].name
            started = clock()
            head, tail = split(model, at, example).sides
            yield Measurement(f"{name} at {at}: splitting", "s", [clock() - started], _SPLIT_AIM, below=True)
            calls = [_synchronized(lambda: tail(*head(example)), device), _synchronized(lambda: model(example), device)]  # noqa: B023
            parts, whole = time_in_turn(calls, 3 * rounds, clock)
            yield Measurement(f"{name} at {at}: against whole", "times", ratios(parts, whole), _RATIO_AIM, below=True)


def _synchronized(call: Callable[[], object], device: torch.device) -> Callable[[], object]:
    def call_and_wait() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call_and_wait
