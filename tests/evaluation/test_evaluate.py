"""One pass over all cells gives what each cell gives alone, its images coded one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from splitbench.bench.metrics import accuracy
from splitbench.bench.utils.plugins import METHODS
from tests.helpers.naive_pass import naive, opened
from tests.helpers.pass_samples import evaluated

SWEEP = """
datasets: [{name: synthetic, limit: 30, calibration: {limit: 10}}]
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
def inputs():
    return opened(SWEEP, batch=7)


def test_one_pass_equals_the_naive_evaluation(inputs):
    cells, given = inputs
    outcomes = evaluated(cells, given)
    assert len(outcomes) == len(cells)
    with torch.no_grad():
        for outcome in outcomes:
            assert not outcome.reason, outcome.reason
            sizes, scores = zip(*naive(outcome.cell, given), strict=True)
            assert outcome.records["bytes"].tolist() == list(sizes), str(outcome.cell)
            assert outcome.records["prediction"].tolist() == [int(x.argmax()) for x in scores], str(outcome.cell)


def test_the_bundled_backbone_is_as_good_as_its_report_and_survives_eight_bits(inputs):
    cells, given = inputs
    outcomes = {str(outcome.cell).split(" ", 2)[2]: outcome for outcome in evaluated(cells, given)}
    exact = outcomes["layer1 raw dtype=float32"]
    assert exact.columns["drop"] == 0
    assert exact.columns["baseline"] >= 75  # 89.8 % on all 2,000 images
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
