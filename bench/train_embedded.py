"""Trains the networks that ship with the project, on the embedded dataset."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from splitbench.bench import backbones, training
from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.models import EMBEDDED
from splitbench.bench.preprocessing import Normalize
from splitbench.bench.training import Batch, Recipe
from splitbench.datasets import embedded
from splitbench.datasets.base import Dataset, Part

NAME = "small_resnet"
HELD_OUT = 1000
"""Images at the end of the training part by which the best epoch is chosen."""


@dataclass(frozen=True, slots=True)
class Drawn(TorchDataset[Batch]):
    """A classification data set as tensors: (pixels uint8 (3, H, W), class index)."""

    images: Dataset

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        pixels = torch.from_numpy(np.array(self.images.image(index))).permute(2, 0, 1).contiguous()
        return pixels, torch.tensor(self.images.target(index))


def drawn(
    part: Part, limit: int | None = None, seed: int = 0, workers: int = 0, progress: bool = True
) -> TensorDataset:
    """Draw a part into memory once: 27 kB per image, and faster than drawing every epoch."""
    images = embedded.DATASET.load(embedded.Options(limit=limit, seed=seed), part)
    loader = DataLoader(Drawn(images), batch_size=100, num_workers=workers)
    pixels, labels = zip(*tqdm(loader, f"drawing {part}", unit="00", disable=not progress), strict=True)
    return TensorDataset(torch.cat(pixels), torch.cat(labels))


def vary(batch: Batch, random: torch.Generator) -> Batch:
    """Mirror, turn by quarters and shift by up to 6 pixels, each image differently: every class bears that."""
    pixels, labels = batch
    count, _, height, width = pixels.shape
    flips, turns, across, down = (torch.randint(most, (count,), generator=random).tolist() for most in (2, 4, 13, 13))
    padded = nn.functional.pad(pixels.float(), (6, 6, 6, 6), mode="reflect")
    varied: list[Tensor] = []
    for image, flip, turn, x, y in zip(padded, flips, turns, across, down, strict=True):
        crop = image[:, y : y + height, x : x + width]
        varied.append(torch.rot90(crop.flip(2) if flip else crop, turn, (1, 2)))
    return torch.stack(varied).contiguous(memory_format=torch.channels_last), labels


def train_embedded_classifier(
    out: Path,
    seed: int = 0,
    epochs: int = 7,
    limit: int | None = None,
    evaluate: int | None = None,
    threads: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Train ``splitbench/small_resnet`` and write its weights to ``out``, and beside them how they came about.

    Args:
        out: Where the .safetensors goes; the report goes to the same name with .json.
        seed: Of the weights, the order and the variations. The data are those of the dataset's own default seed.
        epochs: Times that every training image is seen.
        limit: Training images to use, all where None.
        evaluate: Evaluation images to measure on, all where None.
        threads: Of the computation. Another number rounds sums differently and ends in other weights.
        progress: Whether to draw bars.

    Returns:
        The report: accuracy on training, held-out and evaluation images in percent, seconds, images, MACs, parameters.
    """
    workers = min(2, os.cpu_count() or 1)
    images = drawn("train", limit, workers=workers, progress=progress)
    held_out = min(HELD_OUT, len(images) // 5)
    parts = Subset(images, range(len(images) - held_out)), Subset(images, range(len(images) - held_out, len(images)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = EMBEDDED[NAME].build()
    preprocessing = EMBEDDED[NAME].preprocessing
    model = nn.Sequential(Normalize(preprocessing["mean"], preprocessing["std"]), network)
    model = model.to(memory_format=torch.channels_last)  # a third faster on CPUs
    recipe = Recipe(epochs=epochs, learning_rate=4e-3, ema=0.998, best="accuracy", seed=seed)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = training.train(model, training.classify(0.05), *parts, recipe, vary, progress)
    finally:
        torch.set_num_threads(before)
    training.save(network, out, half=True)

    # What is reported is what the file holds, read as everyone reads it.
    backbone = backbones.build(f"splitbench/{NAME}", {}, str(out), {})
    whole, step = backbone.whole().eval(), training.classify()
    evaluation = drawn("evaluation", evaluate, workers=workers, progress=progress)
    macs = count_macs(backbone.model, torch.zeros(1, 3, embedded.SIDE, embedded.SIDE))
    report: dict[str, Any] = {
        "backbone": backbone.name,
        "weights": backbone.weights,
        "command": f"splitbench train-embedded --seed {seed} --epochs {epochs}"
        + (f" --limit {limit}" if limit else ""),
        "seed": seed,
        "threads": threads,
        "train_seconds": round(found.seconds, 1),
        "train_images": found.images,
        "train_macs": 3 * macs * found.images,  # forward once; backward as much again for inputs and for weights
        "best_epoch": found.best_epoch + 1,
        "train_accuracy": round(training.validate(whole, step, Subset(images, range(held_out)))["accuracy"], 2),
        "held_out_accuracy": round(training.validate(whole, step, parts[1])["accuracy"], 2),
        "evaluation_top1": round(training.validate(whole, step, evaluation)["accuracy"], 2),
        "evaluation_images": len(evaluation),
        "parameters": sum(parameter.numel() for parameter in backbone.model.parameters()),
        "macs": macs,
    }
    part = out.with_suffix(".json.part")
    part.write_text(json.dumps(report, indent=2) + "\n")
    part.replace(out.with_suffix(".json"))
    return report
