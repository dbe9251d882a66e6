"""A pass opened from a sweep's text, and its cells measured without the evaluator: the reference that it must equal."""

from pathlib import Path

import torch

from splitbench.bench.evaluation import EvaluationInputs
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.reading import check
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.yaml_file import parse_yaml
from splitbench.methods.base import Context, nothing_learned


def opened(text: str, batch: int, data: Path | None = None, *, calibrated_on: str = "calibration"):
    """The cells of a sweep over one dataset and backbone, by name, and the inputs of their pass; nothing is trained."""
    sweep, sources = check(parse_yaml(text), "the sweep"), Sources(data)
    (spec,), (backbone,) = sweep.datasets, sweep.backbones
    calibration = open_dataset(spec, sources, calibrated_on)
    return {str(cell): cell for cell in expand(sweep)}, EvaluationInputs(
        backbone=open_backbone(backbone, spec, sources),
        dataset=open_dataset(spec, sources, "evaluation"),
        calibration=lambda: calibration,
        learned=lambda *_: nothing_learned(),
        batch=batch,
        device=torch.device("cpu"),
    )


def naive(cell, inputs):
    """Bytes and answer for each image of one cell, with nothing shared and every image coded by itself.

    Networks are given the pass's batches: in others, sums may be rounded otherwise. All inputs are of one shape here.
    """

    def batches(dataset):
        pixels = [inputs.backbone.pixels(dataset.image(i)) for i in range(len(dataset))]
        return [inputs.backbone.together(pixels[i : i + inputs.batch]) for i in range(0, len(pixels), inputs.batch)]

    evaluation, seen = batches(inputs.dataset), batches(inputs.calibration())
    split = inputs.backbone.split(cell.split, evaluation[0][:1])
    calibration = lambda: (split.cut(split.head(x))[0] for x in seen)  # noqa: E731
    context = Context(split.head, split.tail, split.specs, calibration, cell.seed)
    deployment = METHODS.get(cell.method).deploy(cell.settings, context)
    for images in evaluation:
        cuts, numbers = split.cuts(deployment.head(images))  # a detector's images are cuts of their own at `input`
        streams, received = [], []
        for cut in cuts:
            decoded = []
            for i in range(len(cut[0])):
                alone = tuple(x[i : i + 1] for x in cut)
                streams += deployment.codec.encode(alone)
                decoded.append(deployment.codec.decode([streams[-1].data], split.specs_of(alone)))
            received += [torch.cat(parts) for parts in zip(*decoded, strict=True)]
        for stream, answer in zip(streams, deployment.tail(*received, *numbers), strict=True):
            yield len(stream.data) + 4 * split.sends_sizes, answer
