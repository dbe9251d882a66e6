"""Split models against whole ones: what a split costs once, and what head and tail cost at every image."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from splitbench.bench.split import default_example, split
from splitbench.bench.split.detection import default_images, is_torchvisions, small_images
from splitbench.bench.split.points import auto_points, split_points
from splitbench.bench.tools.speed.measured import Measured, in_turn, ratios
from splitbench.bench.tools.support.splittable import random_model

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

_SECONDS = 5.0  # a few, for what is done once
_RATIO = 1.05


@torch.no_grad()
def compared(names: tuple[str, ...], rounds: int, device: torch.device) -> Iterator[Measured]:
    """Models with random weights, cut at the stage in their middle; one image, or two for a detector.

    On a CPU what is compared is its own time, which other work on the machine does not lengthen. Models of few
    milliseconds come out a few percent to either side, as memory that one of both gave back is asked for again
    (MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ set high show it).
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
            yield Measured(f"{name} at {at}: splitting", "s", [clock() - started], _SECONDS, below=True)
            calls = [_timed(lambda: tail(*head(example)), device), _timed(lambda: model(example), device)]  # noqa: B023
            parts, whole = in_turn(calls, 3 * rounds, clock)
            yield Measured(f"{name} at {at}: against whole", "times", ratios(parts, whole), _RATIO, below=True)


def _timed(call: Callable[[], object], device: torch.device) -> Callable[[], object]:
    def waited() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return waited
