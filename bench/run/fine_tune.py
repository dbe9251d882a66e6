"""Trains a backbone itself on a sweep's training images: methods that learn are not credited with what it lacked.

A backbone that does not fit the images (another camera, JPEG noise) gains from any training on them. Compare methods on
the fine-tuned one: its file is named in the sweep as the backbone's ``weights``.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from splitbench.bench import training
from splitbench.bench.metrics.macs import count_step_macs
from splitbench.bench.run.plan import open_backbone, passes
from splitbench.bench.run.sources import Sources
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import Measures, Recipe
from splitbench.bench.training.methods.examples import STAY, listed, of_pictures
from splitbench.bench.training.methods.losses import classify
from splitbench.bench.training.methods.task_loss import other_numbers
from splitbench.bench.training.methods.training_data import Pool
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_whole


def fine_tune(sweep: Sweep, sources: Sources, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Train the sweep's one backbone on its one dataset's training part, and write the weights to ``out``.

    Pictures are mirrored at random. Beside ``out`` lie a report (``.json``) and the learning curve (``.csv``); a killed
    training goes on from its checkpoint.

    Returns:
        The report: accuracy on held-out training images before and after, in percent, seconds, images and MACs.

    Raises:
        UserError: more than one dataset or backbone, another task, images without labels, or another type of file.
        TrainingError: it diverged, or there is no room.
    """
    if len(sweep.datasets) > 1 or len(sweep.backbones) > 1:
        raise UserError("fine-tuning takes one dataset and one backbone: choose by --only, or cut the sweep down")
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the weights are written as .safetensors; name such a file")
    if sweep.task != "classification":
        raise UserError("fine-tuning is for classification; a detector's own training code serves it better")
    (one,) = passes(sweep, sources)
    if not one.labelled:
        raise UserError("another dataset's images are no use for fine-tuning: leave `name` out of `train`")
    if reason := other_numbers(one.dataset, one.train()):
        raise UserError(reason)
    (spec,), (named,) = sweep.datasets, sweep.backbones
    backbone = open_backbone(named, spec, sources)
    pool = Pool(one.train(), backbone, sources.device, sources.memory, skip_unreadable=one.skip_unreadable)
    model = _Whole(backbone.whole().to(sources.device))
    shown = of_pictures(pool.data, flip=True)

    def step(model: nn.Module, batch: Any) -> Measures:
        pixels, index, version = batch
        out: Measures = model(pool.inputs(pixels), pool.truth(index, version))
        return out

    before = training.validate(model, step, shown.held_out, stay=STAY)["accuracy"]
    checkpoint = out.with_suffix(".checkpoint")
    report = training.train(
        model,
        step,
        shown.train,
        shown.held_out,
        recipe,
        shown.augment,
        checkpoint=checkpoint,
        collate=None if pool.in_memory else listed,
        stay=STAY,
        identity={"backbone": backbone.weights, "images": one.fingerprint},
    )
    training.save(backbone.model, out)
    report.write_csv(out.with_suffix(".csv"))
    batch = next(pool.loader(shown, min(pool.count, recipe.batch_size)))
    macs = count_step_macs(model, lambda: step(model, batch)["loss"]) // len(batch[-1])
    told: dict[str, Any] = {
        "backbone": backbone.name,
        "held_out_before": round(before, 2),
        "held_out_after": round(report.history[report.best_epoch]["accuracy"], 2),
        "best_epoch": report.best_epoch + 1,
        "train_images": report.images,
        "train_seconds": round(report.seconds, 1),
        "train_macs": macs * report.images,
    }
    write_whole(out.with_suffix(".json"), json.dumps(told, indent=2).encode() + b"\n")
    checkpoint.unlink(missing_ok=True)
    return told


class _Whole(nn.Module):
    """A classifier with its loss, all of it trained."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.copy(model).requires_grad_(True)

    def forward(self, inputs: Any, targets: Tensor) -> Mapping[str, Tensor]:
        """Cross entropy and accuracy of a batch."""
        measures = classify(self.model, (inputs,), lambda: targets, self.model, tuple)
        return {"loss": measures["distortion"], "accuracy": measures["accuracy"]}
