"""A whole sweep against the naive evaluator, and against the floor: the work that no sweep can avoid."""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from splitbench.bench.evaluation import EvaluationInputs, Prepared, measure, prepare
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.tools.speed.measurement import Measurement, ratios, time_in_turn
from splitbench.bench.utils.devices import to_device
from splitbench.methods.base import nothing_learned

_SPLITS = ["layer2", "layer3"]
_PHOTOGRAPH = (375, 500)  # height and width of many of ImageNet's photographs
_VALIDATION = 50_000  # images of ImageNet's validation set
_CELLS = 72  # of a sweep of three families at four splits


@dataclass(frozen=True)
class SweepSize:
    """A sweep with random weights: quantize-rle with ``bits`` at two splits of a backbone."""

    backbone: str
    crop: int
    bits: tuple[int, ...]
    images: int
    batch: int


def measure_sweep(size: SweepSize, rounds: int, device: torch.device) -> Iterator[Measurement]:
    """Measure speed against both, and extrapolate it to a full sweep."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_sweep(size, Path(folder), device)
        naive = replace(prepared, inputs=replace(prepared.inputs, naive=True))
        batches = [prepared.inputs.to_device(batch.pixels) for batch in prepared.inputs.batches()]
        shared, floor, separate, network = time_in_turn(
            [
                partial(measure, prepared),
                partial(run_floor, prepared),
                partial(measure, naive),
                partial(_run_network, prepared.inputs.backbone.whole().to(device), batches),
            ],
            rounds,
        )
    title = f"sweep, {size.backbone.partition('/')[2]} at {size.crop}, {len(size.bits)} rate points x {len(_SPLITS)}"
    yield Measurement(f"{title}: against naive", "times", ratios(separate, shared))
    yield Measurement(f"{title}: against the floor", "of it", ratios(floor, shared), 0.85)
    yield Measurement(f"{title}: images", "per second", [size.images / seconds for seconds in shared])
    yield Measurement("the network alone, pixels at hand: images", "per second", [size.images / s for s in network])
    pairs = size.images * len(prepared.cells)
    yield Measurement(f"{title}: images x cells", "per second", [pairs / seconds for seconds in shared])
    full = [seconds / pairs * _VALIDATION * _CELLS / 3600 for seconds in shared]
    yield Measurement(f"{_VALIDATION} images x {_CELLS} cells at this speed", "hours", full)


def prepare_sweep(size: SweepSize, folder: Path, device: torch.device, **settings: list[object]) -> Prepared:
    """Prepare the cells of a sweep over images that are drawn into ``folder``."""
    _draw(folder / "val", size.images)
    method = {"name": "quantize-rle", "bits": list(size.bits)} | settings
    sweep = Sweep.model_validate(
        {
            "datasets": [{"name": "imagenet", "root": "val"}],
            "backbones": [
                {
                    "name": size.backbone,
                    "weights": "none",
                    "splits": _SPLITS,
                    "preprocessing": {"resize": size.crop * 8 // 7, "crop": size.crop},
                }
            ],
            "methods": [method],
            "batch": size.batch,
        }
    )
    (spec,), (backbone,), sources = sweep.datasets, sweep.backbones, Sources(folder, device=device)
    dataset = open_dataset(spec, sources, "evaluation")
    inputs = EvaluationInputs(
        backbone=open_backbone(backbone, spec, sources),
        dataset=dataset,
        calibration=lambda: dataset,
        learned=lambda *_: nothing_learned(),
        batch=size.batch,
        device=device,
    )
    return prepare({str(cell): cell for cell in expand(sweep)}, inputs)


@torch.no_grad()
def run_floor(prepared: Prepared) -> None:
    """Do what no sweep can avoid: decode every image, run the trunk once, and each cell's tail on an uncoded cut."""
    inputs = prepared.inputs
    for batch in inputs.batches():
        pixels = inputs.to_device(batch.pixels)
        outputs = prepared.shared_heads.run(pixels)
        for candidate in prepared.candidates:
            values = to_device(outputs.values(candidate.deployment.head), inputs.device)
            candidate.deployment.tail(*values).cpu()


@torch.no_grad()
def _run_network(whole: nn.Module, batches: Sequence[Tensor]) -> None:
    for pixels in batches:
        whole(pixels).cpu()


def _draw(folder: Path, count: int) -> None:
    """Write smooth images with some noise as JPEG files, of the size of photographs."""
    (folder / "images").mkdir(parents=True)
    height, width = _PHOTOGRAPH
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label"])
        for index in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
            noisy = (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / "images" / f"{index:05}.JPEG", quality=90)
            writer.writerow([f"images/{index:05}.JPEG", index % 1000])
