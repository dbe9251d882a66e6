"""One pass over all cells gives what each cell gives alone, its images coded one by one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from splitbench.bench.evaluation import EvaluationInputs
from splitbench.bench.metrics import accuracy
from splitbench.bench.run.planning.sources import Sources, open_backbone, open_dataset
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import Context, nothing_learned
from tests.helpers.pass_samples import evaluated

SWEEP = """
datasets: [{name: synthetic, limit: 30}]
backbones: [{name: splitbench/small_resnet, splits: [layer1, layer3.conv1]}]
methods:
  - {name: raw}
  - {name: quantize-rle, bits: [1, 4], granularity: [tensor, channel], clip: [none, mse]}
  - {name: quantize-rle, bits: [3], range: calibrated}
  - {name: image, quality: [10, 60]}
  - {name: image, quality: [20], header: shared}
  - {name: label-only}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(SWEEP)
    sweep = read(path)
    (spec,), (backbone,), sources = sweep.datasets, sweep.backbones, Sources()
    few = spec.model_copy(update={"calibration": {"limit": 10}})
    built = open_backbone(backbone, spec, sources)
    dataset = open_dataset(spec, sources, "evaluation")
    calibration = open_dataset(few, sources, "calibration")
    nothing = lambda *_: nothing_learned()  # noqa: E731
    return {str(cell): cell for cell in expand(sweep)}, EvaluationInputs(
        backbone=built,
        dataset=dataset,
        calibration=lambda: calibration,
        learned=nothing,
        batch=7,
        device=torch.device("cpu"),
    )


def naive(cell, inputs):
    """Bytes and predictions of one cell, with nothing shared and every image coded by itself.

    Networks are given the pass's batches: in others, sums may be rounded otherwise.
    """

    def batches(dataset):
        pixels = [inputs.backbone.preprocessing.pixels(dataset.image(i)) for i in range(len(dataset))]
        return torch.stack(pixels).split(inputs.batch)

    evaluation, calibration = batches(inputs.dataset), batches(inputs.calibration())
    split = inputs.backbone.split(cell.split, evaluation[0][:1])
    cuts = lambda: (split.cut(split.head(x))[0] for x in calibration)  # noqa: E731
    deployment = METHODS.get(cell.method).deploy(
        cell.settings, Context(split.head, split.tail, split.specs, cuts, cell.seed)
    )
    sizes, predictions = [], []
    for pixels in evaluation:
        cut, numbers = split.cut(deployment.head(pixels))
        decoded = []
        for i in range(len(pixels)):
            (stream,) = deployment.codec.encode(tuple(x[i : i + 1] for x in cut))
            decoded.append(deployment.codec.decode([stream.data], split.specs))
            sizes.append(len(stream.data))
        together = [torch.cat(images) for images in zip(*decoded, strict=True)]
        predictions += deployment.tail(*together, *numbers).argmax(1).tolist()
    return sizes, predictions


def test_one_pass_equals_the_naive_evaluation(inputs):
    cells, given = inputs
    outcomes = evaluated(cells, given)
    assert len(outcomes) == len(cells)
    with torch.no_grad():
        for outcome in outcomes:
            assert not outcome.reason, outcome.reason
            sizes, predictions = naive(outcome.cell, given)
            assert outcome.records["bytes"].tolist() == sizes, str(outcome.cell)
            assert outcome.records["prediction"].tolist() == predictions, str(outcome.cell)


def test_the_bundled_backbone_is_as_good_as_its_report_and_survives_eight_bits(inputs):
    cells, given = inputs
    outcomes = {str(outcome.cell).split(" ", 2)[2]: outcome for outcome in evaluated(cells, given)}
    exact = outcomes["layer1 raw dtype=float32"]
    assert exact.columns["drop"] == 0
    assert exact.columns["baseline"] >= 90  # 98.95 % on all 2,000 images
    assert np.array_equal(exact.records["top1"], exact.records["baseline_top1"])
    assert exact.columns["metric"] == accuracy.METRIC
    several = outcomes["layer3.conv1 raw dtype=float32"]
    assert several.columns["cut"].count("x") == 4 and " + " in several.columns["cut"]  # the branch and its shortcut


class _Loading:
    """Raw's codec, with a network that is there only once it has coded."""

    def __init__(self, codec):
        self.codec = codec

    def encode(self, cut):
        self.network = torch.nn.Linear(8, 8)
        return self.codec.encode(cut)

    def decode(self, streams, specs):
        return self.codec.decode(streams, specs)


def _with_a_table(codec):
    codec.table = torch.rand(50)
    return codec


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (_with_a_table, "the codec holds data that no table counts: codec.table (200 bytes)"),
        (_Loading, "the codec holds data that no table counts: codec.network.weight (256 bytes)"),
    ],
)
def test_a_codec_that_holds_what_the_ledger_does_not_count_fails(inputs, monkeypatch, spoilt, sentence):
    raw = METHODS.get("raw")
    deploy = raw.deploy

    def holding(settings, context):
        deployment = deploy(settings, context)
        return replace(deployment, codec=spoilt(deployment.codec))

    monkeypatch.setattr(type(raw), "deploy", lambda self, *arguments: holding(*arguments))
    cells, given = inputs
    outcomes = evaluated({name: cell for name, cell in cells.items() if cell.split == "layer1"}, given)
    reasons = {outcome.cell.method: outcome.reason for outcome in outcomes}
    assert sentence in reasons.pop("raw")
    assert set(reasons.values()) == {""}
