"""A pass with every method that there is, for each task."""

import copy
from functools import cache

import numpy as np
import torch

from splitbench.bench.evaluation import EvaluationInputs, describe, measure, prepare, score
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.split.new_head import new_sides
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Context, Learned, LearningMethod
from tests.helpers.method_samples import names_for

IMAGES, BATCH = 11, 4
SEVERAL = "layer3.conv1"
"""Where two tensors cross."""
ONE_TENSOR = {"entropic-student", "channel-reduction"}
"""Methods that refuse to be used there."""


def every_method(task):
    """All methods of a task that can be tried here, with the middle one of their rate points and another."""
    for name in names_for(task):
        method = METHODS.get(name)
        rates = method.rates
        by_default = method.Settings.model_validate({method.knob: rates[0]})
        random = {"weights": "none"} if getattr(by_default, "weights", None) == "hub" else {}
        yield {"name": name, method.knob: [rates[len(rates) // 2], rates[0]]} | random


SWEEPS = {
    "classification": {
        "datasets": [{"name": "synthetic", "limit": IMAGES}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer1", "layer2", SEVERAL]}],
    },
    "detection": {
        "task": "detection",
        "datasets": [{"name": "synthetic-detection", "limit": 3}],
        "backbones": [
            {"name": "splitbench/small_detector", "splits": ["backbone.body.layer2", "backbone.body.layer3"]},
        ],
    },
}


def inputs_of(task, device="cpu"):
    """A pass with all methods; those that learn get a unit that was fitted to a few images, and not trained."""
    sweep = Sweep.model_validate(SWEEPS[task] | {"methods": [*every_method(task)], "batch": BATCH})
    device = torch.device(device)
    (spec,), (backbone,), sources = sweep.datasets, sweep.backbones, Sources(device=device)
    few = spec.model_copy(update={"calibration": {"limit": 4}})
    built = open_backbone(backbone, spec, sources)
    dataset = open_dataset(spec, sources, "evaluation")
    calibration = open_dataset(few, sources, "calibration")

    def learned(name, split):
        cell = cells[name]
        method = METHODS.get(cell.method)
        assert isinstance(method, LearningMethod)
        context = Context(split.head, split.tail, split.specs, list, cell.seed, image=split.image)
        learning = method.learn(cell.settings.for_training(), context)
        pixels = built.together([built.pixels(calibration.image(i)).to(device) for i in range(2)])
        cut, _ = split.cut(split.head(pixels))
        head, tail = (copy.deepcopy(side) if learning.train_backbone else side for side in split.sides)
        if learning.new_head is not None:
            learning.new_head.to(device).eval().requires_grad_(False).begin(cut)
            head, tail = new_sides(split, learning.new_head, tail)
            cut, _ = split.cut(head(pixels))
        unit = learning.unit.to(device).train()
        unit.begin(cut)
        unit.finish([cut])
        return Learned(head, unit.eval().requires_grad_(False), tail)

    cells = {str(cell): cell for cell in expand(sweep) if cell.split != SEVERAL or cell.method not in ONE_TENSOR}
    batch = BATCH if task == "classification" else 2
    return cells, EvaluationInputs(
        backbone=built,
        dataset=dataset,
        calibration=lambda: calibration,
        learned=learned,
        batch=batch,
        device=device,
    )


def evaluated(cells, inputs):
    """The results of all cells, from preparing to scoring, in this process."""
    prepared = prepare(cells, inputs)
    descriptions = describe(prepared)
    outcomes = score(cells, measure(prepared), descriptions, inputs.dataset, skip_unreadable=inputs.skip_unreadable)
    return [outcome for _, outcome in outcomes]


@cache
def prepared_for(task):
    return prepare(*inputs_of(task))


def same_records(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
