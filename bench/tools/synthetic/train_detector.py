"""Train the synthetic benchmark's detector."""

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.image_list import ImageList

from splitbench.bench.backbones import named_weights, registry
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.backbones.zoo.small_detector import Features, small_detector
from splitbench.bench.metrics import coco_metrics
from splitbench.bench.metrics.records import concatenated
from splitbench.bench.tools.synthetic.recipes import fit, load_tensors, report
from splitbench.bench.training import Measures, Recipe, TensorBatch
from splitbench.bench.utils import progress
from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.base import Dataset, Subset
from splitbench.datasets.formats.detection_dataset import DetectionDataset
from splitbench.datasets.synthetic_detection import SIDE

NAME = "small_detector"
BEGINS_FROM = "splitbench/small_resnet"
"""The classifier whose trained stages initialize the detector's."""
EPOCHS = 6
LIMIT = 12000
"""Training images: 1.3 GB of memory."""
MOST_BOXES = 6
"""Boxes in an image: scenes have no more labelled objects."""


def load_images(subset: Subset, limit: int | None = None, workers: int = 0) -> TensorDataset:
    """Load a subset as (pixels uint8 (3, H, W), corners (MOST_BOXES, 4), classes (MOST_BOXES,)), 0 for no box."""
    images = synthetic_detection.DATASET.load(synthetic.Options(limit=limit), subset)
    return load_tensors(images, _item, subset, workers)


def _item(images: Dataset, index: int) -> TensorBatch:
    pixels = torch.from_numpy(np.array(images.image(index))).permute(2, 0, 1).contiguous()
    corners, classes = torch.zeros(MOST_BOXES, 4), torch.zeros(MOST_BOXES, dtype=torch.int64)
    target = images.target(index)
    count = len(target["labels"])
    corners[:count], classes[:count] = torch.from_numpy(target["boxes"]), torch.from_numpy(target["labels"])
    return pixels, corners, classes


def augment(batch: TensorBatch, random: torch.Generator) -> TensorBatch:
    """Mirror and rotate by quarter turns, each image with its boxes at random: classes do not change."""
    pixels, corners, classes = batch
    count, _, _, side = pixels.shape
    flips, turns = (torch.randint(most, (count,), generator=random).tolist() for most in (2, 4))
    images, boxes = [], []
    for image, box, flip, turn in zip(pixels, corners, flips, turns, strict=True):
        left, top, right, bottom = box.unbind(1)
        if flip:
            image, left, right = image.flip(2), side - right, side - left
        for _ in range(turn):
            left, top, right, bottom = top, side - right, bottom, side - left
        images.append(torch.rot90(image, turn, (1, 2)))
        boxes.append(torch.stack([left, top, right, bottom], 1))
    return torch.stack(images), torch.stack(boxes), classes


class Losses(nn.Module):
    """A detector that returns its losses in eval mode, too, where torchvision's would return detections."""

    def __init__(self, detector: FCOS) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, corners: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """Return the losses of classes, boxes and centredness, means over a batch of :func:`load_images`."""
        detector = self.detector
        pairs = zip(corners, classes, strict=True)
        targets = [{"boxes": box[label > 0], "labels": label[label > 0]} for box, label in pairs]
        images, targets = detector.transform(list(pixels.float() / 255), targets)
        batch = images.tensors.contiguous(memory_format=torch.channels_last)
        features = [detector.backbone(batch)]
        anchors = detector.anchor_generator(ImageList(batch, images.image_sizes), features)
        points = [level.shape[-2] * level.shape[-1] for level in features]
        losses: dict[str, Tensor] = detector.compute_loss(targets, detector.head(features), anchors, points)
        return losses


def detection_step(model: nn.Module, batch: TensorBatch) -> Measures:
    """Run a detector's training step: return the sum of its losses, and each of them."""
    losses = model(*batch)
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def initial_detector(seed: int, weights_of: Path | None = None) -> tuple[FCOS, str]:
    """Return the detector, random but for the classifier's stages, and a digest of the classifier's weights.

    The classifier is the bundled one, or the one in the file ``weights_of``.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = small_detector()
    classifier = registry.build(BEGINS_FROM, {}, str(weights_of or named_weights.DEFAULT), {})
    weights, body = classifier.model.state_dict(), cast(Features, network.backbone).body
    body.load_state_dict({name: weights[name] for name in body.state_dict()})
    return network, classifier.weights


@torch.no_grad()
def evaluate_detector(backbone: Backbone, images: DetectionDataset) -> dict[str, float | None]:
    """Return COCO's twelve measures in percent, None where no box has that size."""
    whole, records = backbone.whole().eval(), []
    for first in progress.track(range(0, len(images), 25), "evaluating", unit="x 25 images"):
        batch = [images.image(index) for index in range(first, min(first + 25, len(images)))]
        records.append(coco_metrics.record(whole(backbone.together([backbone.pixels(image) for image in batch]))))
    numbers = coco_metrics.evaluate(
        concatenated(records), [images.boxes(index) for index in range(len(images))]
    ).numbers
    return {name: value if value is None else round(value, 2) for name, value in numbers.items()}


def train_small_detector(
    out: Path,
    seed: int = 0,
    epochs: int | None = None,
    limit: int | None = None,
    *,
    evaluate: int | None = None,
    begin: Path | None = None,
) -> dict[str, Any]:
    """Train ``splitbench/small_detector`` and write its weights to ``out``, and a report beside them.

    Args:
        out: Where the .safetensors goes; the report goes to the same name with .json.
        seed: Seed of initialization, order and augmentation. The data have the dataset's default seed.
        epochs: Number of epochs, EPOCHS where None.
        limit: Training images to use, LIMIT where None.
        evaluate: Evaluation images to measure on, all where None.
        begin: Weights of the classifier that it starts from, the bundled ones where None.

    Returns:
        The report: COCO's twelve measures on evaluation images in percent, seconds, images, MACs, parameters.
    """
    workers, epochs = min(2, os.cpu_count() or 1), epochs or EPOCHS
    network, begins_from = initial_detector(seed, begin)
    images = load_images("train", limit or LIMIT, workers=workers)
    model = Losses(network).to(memory_format=torch.channels_last)  # faster on CPUs
    recipe = Recipe(epochs=epochs, batch_size=32, learning_rate=5e-3, ema=0.998, clip=5.0, seed=seed)
    trained = fit(NAME, network, model, step=detection_step, augment=augment, images=images, recipe=recipe, out=out)
    evaluation = synthetic_detection.DATASET.load(synthetic.Options(limit=evaluate), "evaluation")
    accuracy = {
        "begins_from": f"{BEGINS_FROM} {begins_from}",
        **evaluate_detector(trained.backbone, evaluation),
        "evaluation_images": len(evaluation),
    }
    command = f"splitbench train-synthetic --network {NAME} --seed {seed} --epochs {epochs}"
    command += (f" --begin {begin}" if begin else "") + (f" --limit {limit}" if limit else "")
    return report(trained, out, command=command, example=torch.zeros(1, 3, SIDE, SIDE), accuracy=accuracy)
