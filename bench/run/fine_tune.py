"""Trains a backbone itself on a sweep's training images: methods that learn are not credited with what it lacked.

A backbone that does not fit the images (another camera, JPEG noise) gains from any training on them. Compare methods on
the fine-tuned one: its file is named in the sweep as the backbone's ``weights``.
"""

import json
from pathlib import Path
from typing import Any

from torch import nn

from splitbench.bench import training
from splitbench.bench.metrics.macs import count_step_macs
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources, open_backbone
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.training import Measures, Recipe
from splitbench.bench.training.methods.examples import HOST_FIELDS
from splitbench.bench.training.methods.planning import class_number_problem
from splitbench.bench.training.methods.training_data import TrainingData
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_file


def fine_tune(sweep: Sweep, sources: Sources, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Train the sweep's one backbone on its one dataset's training part, and write the weights to ``out``.

    Images are mirrored at random. Beside ``out`` lie a report (``.json``) and the learning curve (``.csv``); a killed
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
    (pass_,) = plan_passes(sweep, sources)
    if not pass_.labelled:
        raise UserError("another dataset's images are no use for fine-tuning: leave `name` out of `train`")
    if reason := class_number_problem(pass_.dataset, pass_.train()):
        raise UserError(reason)
    (spec,), (named,) = sweep.datasets, sweep.backbones
    backbone = open_backbone(named, spec, sources)
    data = TrainingData(
        pass_.train(),
        backbone,
        device=sources.device,
        memory=sources.memory,
        skip_unreadable=pass_.skip_unreadable,
    )
    model = backbone.whole().to(sources.device).requires_grad_(True)
    examples = data.pictures(flip=True)
    classify = training.classify()

    def step(model: nn.Module, batch: Any) -> Measures:
        pixels, index, version = batch
        return classify(model, (data.inputs(pixels), data.targets(index, version)))

    before = training.validate(model, step, examples.held_out, collate=examples.collate, host_fields=HOST_FIELDS)[
        "accuracy"
    ]
    checkpoint = out.with_suffix(".checkpoint")
    report = training.train(
        model,
        step,
        examples.train,
        examples.held_out,
        recipe,
        augment=examples.augment,
        collate=examples.collate,
        host_fields=HOST_FIELDS,
        checkpoint=checkpoint,
        identity={"backbone": backbone.weights, "images": pass_.fingerprint},
    )
    training.save(backbone.model, out)
    report.write_csv(out.with_suffix(".csv"))
    batch = next(data.batches(examples, min(data.example_images, recipe.batch_size)))
    macs = count_step_macs(model, lambda: step(model, batch)["loss"]) // len(batch[-1])
    result: dict[str, Any] = {
        "backbone": backbone.name,
        "held_out_before": round(before, 2),
        "held_out_after": round(report.history[report.best_epoch]["accuracy"], 2),
        "best_epoch": report.best_epoch + 1,
        "train_images": report.images,
        "train_seconds": round(report.seconds, 1),
        "train_macs": macs * report.images,
    }
    write_file(out.with_suffix(".json"), json.dumps(result, indent=2) + "\n")
    checkpoint.unlink(missing_ok=True)
    return result
