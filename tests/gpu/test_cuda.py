"""On a real GPU: the CPU's bytes, a pass that equals each cell by itself, and training. Skipped where there is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from splitbench.bench.evaluation import describe, measure, prepare
from splitbench.bench.sweep.cells import Cell
from tests.helpers import training_samples
from tests.helpers.closeness import ACTIVATIONS, close
from tests.helpers.method_samples import codecs, deployed
from tests.helpers.pass_samples import SWEEPS, inputs_of, prepared_for

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
DEVICE = torch.device("cuda", 0)
LEARNED = {"bottleneck", "retrained"}
"""Their encoders are networks, whose last bits differ between devices, and a symbol in many thousands with them."""


@pytest.mark.parametrize(("name", "chosen", "rates"), list(codecs()))
def test_every_codec_makes_the_cpus_bytes(name, chosen, rates):
    here, cut, specs = deployed(name, chosen, rates[0])
    expected = [stream.data for stream in here.codec.encode(cut)]
    present, _, _ = deployed(name, chosen, rates[0], DEVICE)
    result = [stream.data for stream in present.codec.encode(tuple(x.to(DEVICE) for x in cut))]
    if name in LEARNED:
        assert [len(data) for data in result] == pytest.approx([len(data) for data in expected], rel=0.02, abs=2)
    else:
        assert result == expected
    for x, y in zip(present.codec.decode(expected, specs), here.codec.decode(expected, specs), strict=True):
        assert close(x.cpu(), y, ACTIVATIONS)


@pytest.mark.parametrize("task", SWEEPS)
def test_one_pass_equals_each_cell_by_itself(task):
    cells, inputs = inputs_of(task, DEVICE)
    together = prepare(cells, inputs)
    assert not any(item.reason for item in describe(together).values())
    shard = measure(together)
    apart = measure(prepare(cells, replace(inputs, naive=True)))
    assert shard.failed == {} == apart.failed
    for name, records in shard.cells.items():
        for record, values in records.items():
            assert np.array_equal(values, apart.cells[name][record]), (name, record)


def test_a_pass_is_close_to_the_cpus():
    here = measure(prepared_for("classification"))
    cells, inputs = inputs_of("classification", DEVICE)
    present = measure(prepare(cells, inputs))
    for name, records in present.cells.items():
        cell: Cell = cells[name]
        assert records["bytes"].mean() == pytest.approx(here.cells[name]["bytes"].mean(), rel=0.02), cell


def test_training_there_is_close_to_training_here():
    _, expected = training_samples.fit()
    model, result = training_samples.fit(training_samples.network().to(DEVICE))
    assert all(value.is_cuda for value in model.state_dict().values())
    assert result.history[-1]["loss"] == pytest.approx(expected.history[-1]["loss"], rel=0.05)
