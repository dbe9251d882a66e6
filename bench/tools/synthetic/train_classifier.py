"""Train the synthetic benchmark's classifier."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import data
from torch.utils.data import TensorDataset

from splitbench.bench import training
from splitbench.bench.backbones.preprocessing import Normalize
from splitbench.bench.backbones.zoo import small_resnet
from splitbench.bench.tools.synthetic.recipes import fit, load_tensors, report
from splitbench.bench.training import Recipe, TensorBatch
from splitbench.datasets import synthetic
from splitbench.datasets.base import Dataset, Subset

NAME = "small_resnet"
EPOCHS = 60


def load_images(subset: Subset, limit: int | None = None, workers: int = 0) -> TensorDataset:
    """Load a subset as (pixels uint8 (3, H, W), class index): 27 kB per image."""
    images = synthetic.DATASET.load(synthetic.Options(limit=limit), subset)
    return load_tensors(images, _item, subset, workers)


def _item(images: Dataset, index: int) -> TensorBatch:
    pixels = torch.from_numpy(np.array(images.image(index))).permute(2, 0, 1).contiguous()
    return pixels, torch.tensor(images.target(index))


def augment(batch: TensorBatch, random: torch.Generator) -> TensorBatch:
    """Mirror, rotate by quarter turns and shift by up to 6 pixels, each image at random: classes do not change."""
    pixels, labels = batch
    count, _, height, width = pixels.shape
    flips, turns, across, down = (torch.randint(most, (count,), generator=random).tolist() for most in (2, 4, 13, 13))
    padded = nn.functional.pad(pixels.float(), (6, 6, 6, 6), mode="reflect")
    varied: list[Tensor] = []
    for image, flip, turn, x, y in zip(padded, flips, turns, across, down, strict=True):
        crop = image[:, y : y + height, x : x + width]
        varied.append(torch.rot90(crop.flip(2) if flip else crop, turn, (1, 2)))
    return torch.stack(varied).contiguous(memory_format=torch.channels_last), labels


def train_small_resnet(
    out: Path,
    seed: int = 0,
    epochs: int | None = None,
    limit: int | None = None,
    *,
    evaluate: int | None = None,
) -> dict[str, Any]:
    """Train ``splitbench/small_resnet`` and write its weights to ``out``, and a report beside them.

    Args:
        out: Where the .safetensors goes; the report goes to the same name with .json.
        seed: Seed of initialization, order and augmentation. The data have the dataset's default seed.
        epochs: Number of epochs, EPOCHS where None.
        limit: Training images to use, all where None.
        evaluate: Evaluation images to measure on, all where None.

    Returns:
        The report: accuracy on training, held-out and evaluation images in percent, seconds, images, MACs, parameters.
    """
    workers, epochs = min(2, os.cpu_count() or 1), epochs or EPOCHS
    images = load_images("train", limit, workers=workers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = small_resnet.small_resnet()
    model = nn.Sequential(Normalize(small_resnet.MEAN, small_resnet.STD), network)
    model = model.to(memory_format=torch.channels_last)  # a third faster on CPUs
    recipe = Recipe(epochs=epochs, learning_rate=4e-3, ema=0.998, best="accuracy", seed=seed)
    trained = fit(
        NAME, network, model, step=training.classify(0.05), augment=augment, images=images, recipe=recipe, out=out
    )

    whole, step = trained.backbone.whole().eval(), training.classify()
    evaluation = load_images("evaluation", evaluate, workers=workers)
    seen = data.Subset(trained.seen, range(len(trained.held_out)))
    accuracy = {
        "train_accuracy": round(training.validate(whole, step, seen)["accuracy"], 2),
        "held_out_accuracy": round(training.validate(whole, step, trained.held_out)["accuracy"], 2),
        "evaluation_top1": round(training.validate(whole, step, evaluation)["accuracy"], 2),
        "evaluation_images": len(evaluation),
    }
    command = f"splitbench train-synthetic --seed {seed} --epochs {epochs}" + (f" --limit {limit}" if limit else "")
    example = torch.zeros(1, 3, synthetic.SIDE, synthetic.SIDE)
    return report(trained, out, command=command, example=example, accuracy=accuracy)
