"""What a GPU runs, on a pretended one: nothing is on the wrong device, results are the CPU's, and only bytes leave."""

import os
from dataclasses import replace
from itertools import pairwise
from unittest import mock

import pytest
import torch

from splitbench.bench.evaluation import costs, describe, measure, prepare
from splitbench.bench.evaluation.pipeline import pipeline
from splitbench.bench.metrics.latency import median_ms
from splitbench.bench.run.executors.executor import run_in_process
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.tools.speed import QUICK, stages, sweep
from splitbench.bench.training import Recipe
from splitbench.bench.training.methods import MethodTrainer, Trainings
from splitbench.bench.training.metrics import Means
from splitbench.bench.utils.errors import UserError
from splitbench.methods.coding.quantization import linear
from tests.helpers import cuda_support, training_samples
from tests.helpers.method_samples import codecs, deployed
from tests.helpers.pass_samples import SWEEPS, inputs_of, prepared_for, same_records
from tests.helpers.pretend_gpu import CUDA, Traffic, pretended
from tests.helpers.training_samples import timeless


@pytest.mark.parametrize(("name", "chosen", "rates"), list(codecs()))
def test_every_codec_makes_the_same_bytes(name, chosen, rates):
    here, cut, specs = deployed(name, chosen, rates[0])
    expected = [stream.data for stream in here.codec.encode(cut)]
    decoded = here.codec.decode(expected, specs)
    with pretended() as traffic:
        present, cut, specs = deployed(name, chosen, rates[0], CUDA)
        assert all(x.is_cuda for x in cut)
        assert [stream.data for stream in present.codec.encode(cut)] == expected
        before = replace(traffic)
        result = present.codec.decode(expected, specs)
        assert (traffic.copies, traffic.numbers) == (before.copies, before.numbers), "it is given bytes only"
        for x, y in zip(result, decoded, strict=True):
            assert torch.equal(x.cpu(), y)


@pytest.mark.parametrize("task", SWEEPS)
def test_a_pass_gives_what_it_gives_on_the_cpu(task, monkeypatch):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: 0)  # the pretended device is there in one thread
    expected = measure(prepared_for(task))
    with pretended():
        prepared = prepare(*inputs_of(task, CUDA))
        assert not prepared.failed
        result = measure(prepared)
    assert not result.failed
    assert same_records(result.reference, expected.reference)
    for name in expected.cells:
        assert same_records(result.cells[name], expected.cells[name]), name


@pytest.mark.parametrize("chosen", [{}, {"range": "calibrated"}, {"granularity": "channel"}, {"literals": "fixed"}])
def test_only_finished_bytes_leave_it(chosen):
    for bits in (1, 4, 8):
        with pretended() as traffic:
            present, cut, _ = deployed("quantize-rle", chosen, bits, CUDA)
            before = traffic.bytes, traffic.numbers
            streams = present.codec.encode(cut)
            left, numbers = traffic.bytes - before[0], traffic.numbers - before[1]
        # Beside the bytes: how many each image's are, eight of room, and a range's ends, float32 here and less in the
        # bitstream. The numbers: whether all is finite, whether any zero point is not 0, how many are not 0, how many
        # images are coded plainly, and how many runs are in the others.
        ends = 8 * (sum(x.shape[1] for x in cut) if chosen.get("granularity") else len(cut))
        assert left <= sum(len(stream.data) + ends for stream in streams) + len(cut) * (8 * len(streams) + 8)
        assert numbers <= 5 * len(cut)


@pytest.mark.parametrize("bits", range(1, 9))
def test_both_sides_find_the_same_steps(bits):
    high = torch.arange(0x3F80, 0x4100, dtype=torch.int16).view(torch.bfloat16).float()[None]  # 1 to 8, as they travel
    here = linear.Range(-high, high).steps(2**bits - 1)
    with pretended(reciprocals=True):
        present = linear.Range(-high.to(CUDA), high.to(CUDA)).steps(2**bits - 1)
        assert all(torch.equal(x.cpu(), y) for x, y in zip(present, here, strict=True))


def test_training_there_is_training_here():
    expected, _ = training_samples.fit()
    with pretended():
        model, _ = training_samples.fit(training_samples.network().to(CUDA))
    for name, value in model.state_dict().items():
        assert value.is_cuda and torch.equal(value.cpu(), expected.state_dict()[name]), name


LEARNING = {
    "classification": """
datasets: [{name: synthetic, limit: 24, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: bottleneck, lmbda: [0.1], epochs: 1, batch_size: 8, restore_epochs: 1}
  - {name: retrained, lmbda: [1], epochs: 1, batch_size: 8, restore_epochs: 0, ema: 0.9}
  - {name: retrained, lmbda: [2], epochs: 1, batch_size: 8, restore_epochs: 0, distortion: distill}
  - {name: entropic-student, lmbda: [1], channels: 4, width: 8, distill_epochs: 1, epochs: 1, batch_size: 8}
  - {name: channel-reduction, channels: [4], width: 8, distill_epochs: 1, epochs: 1, batch_size: 8}
""",
    "detection": """
task: detection
datasets: [{name: synthetic-detection, limit: 4, train: {limit: 10}}]
backbones: [{name: splitbench/small_detector, splits: [backbone.body.layer3]}]
methods:
  - {name: bottleneck, lmbda: [0.1], epochs: 1, batch_size: 3, restore_epochs: 0}
  - {name: retrained, lmbda: [1], epochs: 1, batch_size: 3, restore_epochs: 0, distortion: distill}
""",
}


def trained(task, folder, device):
    """Weights and learning curves of what the sweep trains, in its order."""
    path = folder / "learning.yaml"
    path.write_text(LEARNING[task])
    (item,) = plan_passes(read(path), replace(Sources(), device=device))
    store = Trainings(folder / device.type, bundled=False)
    trainer = MethodTrainer(
        inputs=item.training_inputs(),
        trainings=store,
        device=device,
        memory=2**28,
    )
    trainings = [cell.training for cell in item.cells if cell.training is not None]
    assert trainer.run(trainings) == len(item.cells)
    keys = [training.key for training in trainings]
    return [store.weights(key) for key in keys], [timeless(store.report(key)["history"]) for key in keys]


@pytest.mark.parametrize("task", LEARNING)
def test_methods_learn_there_what_they_learn_here(task, tmp_path, monkeypatch):
    expected, curves = trained(task, tmp_path, torch.device("cpu"))
    begun = []
    schedule = Recipe.learning_rate_at

    def noted(recipe, progress):
        begun.append((progress, replace(traffic)))
        return schedule(recipe, progress)

    monkeypatch.setattr(Recipe, "learning_rate_at", noted)
    with pretended() as traffic:
        result, present = trained(task, tmp_path, CUDA)
    assert present == curves
    for item, other in zip(result, expected, strict=True):
        assert item.keys() == other.keys() and all(torch.equal(item[name], other[name]) for name in item)
    if task == "classification":  # torchvision's losses for detection wait, whatever we do
        # The first step of a training is looked at, and behind its last comes validation.
        steps = [(item[1], two[1]) for item, two in pairwise(begun) if 0 < item[0] < two[0]]
        assert len(steps) == 16 and all(item == two for item, two in steps), "a step waited for the device"


def test_all_measures_are_read_at_once():
    with pretended() as traffic:
        means = Means()
        for value in (1.0, 3.0):
            means.add({"loss": torch.full((), value, device=CUDA), "none": torch.zeros(())}, 2)
        for read in (means.local, means.all_processes):
            before = traffic.copies + traffic.numbers
            assert read() == {"loss": 2.0, "none": 0.0}
            assert traffic.copies + traffic.numbers == before + 1


def test_every_argument_is_met_before_it_is_timed():
    met: list[int] = []
    median_ms(met.append, [(1,), (2,)], torch.device("cpu"))
    assert met == [1, 1, 2]
    met.clear()
    with pretended():
        median_ms(met.append, [(1,), (2,)], CUDA)
    assert met == [1, 2, 1, 2]


def test_python_numbers_are_its_values_too():
    here = torch.arange(24.0).reshape(2, 3, 4)
    with pretended():
        present = here.to(CUDA)
        assert torch.equal(present[:, [0, 2], 1].cpu(), here[:, [0, 2], 1])
        present[[1]] = 5.0
        assert present.cpu()[1].unique().tolist() == [5.0]
        made = present.new_tensor([1, 2])
        assert made.is_cuda and made.dtype == present.dtype and made.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="a tensor without values"):
        present + torch.zeros(4, device="meta")


def test_it_counts_what_the_host_waits_for():
    with pretended() as traffic:
        here = torch.ones(3)
        present = here.pin_memory().to(CUDA, non_blocking=True)
        assert traffic == Traffic()
        assert float(present[present > 0].sum()) == 3.0
        here.to(CUDA, non_blocking=True), here.pin_memory().to(CUDA), present.copy_(here), present.cpu()
        assert traffic == Traffic(copies=1, bytes=12, numbers=2, slow=3)


def test_it_refuses_what_cuda_cannot_compute():
    with pretended():
        integers = torch.arange(4, device=CUDA).reshape(2, 2)
        assert torch.equal((integers + integers).cpu(), torch.arange(0, 8, 2).reshape(2, 2))
        with pytest.raises(NotImplementedError, match=r"aten::mm is not implemented for torch\.int64 on CUDA"):
            integers @ integers
        assert (integers.float() @ integers.float()).is_cuda
        if torch.version.cuda is not None:
            with pytest.raises(NotImplementedError, match="has no kernel for CUDA"):
                torch.histogram(integers.float(), 4)


def test_pytorchs_tables_know_the_operators():
    assert {"mm", "cumsum", "nonzero", "index_put", "bitwise_and", "where"} <= cuda_support.known().keys()


def lost(*_):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("calls", ["encode", "decode"])
def test_a_gpu_that_stops_working_ends_the_run_and_fails_no_cell(calls, monkeypatch):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: 0)
    with pretended():
        prepared = prepare(*inputs_of("classification", CUDA))
        monkeypatch.setattr(prepared.candidates[2].deployment.codec, calls, lost)
        monkeypatch.setattr(torch.cuda, "synchronize", lost)
        with pytest.raises(UserError, match=r"the GPU stopped working \(.*RuntimeError: CUDA error: an illegal"):
            measure(prepared)
        with pytest.raises(UserError, match="run the same command again"):
            describe(prepared)
        assert not prepared.failed


def test_a_worker_whose_gpu_stops_working_ends_and_its_work_is_done_elsewhere(monkeypatch):
    task = mock.Mock(**{"run.side_effect": lost, "spec.device": CUDA})
    ended = mock.Mock(side_effect=SystemExit)
    monkeypatch.setattr(os, "_exit", ended)
    with pretended():
        with pytest.raises(RuntimeError):  # a fault of the work's own
            run_in_process(task, {})
        monkeypatch.setattr(torch.cuda, "synchronize", lost)
        with pytest.raises(SystemExit):
            run_in_process(task, {})
    ended.assert_called_once_with(1)


def test_decoding_is_timed_until_the_cut_is_where_the_tail_runs(monkeypatch):
    timed = []

    def noted(call, arguments, device):
        if getattr(call, "__name__", "") == "decode":
            timed.append(call(*arguments[0]))
        return 1.0

    monkeypatch.setattr(costs, "median_ms", noted)
    with pretended():
        cells, inputs = inputs_of("classification", CUDA)
        prepared = prepare({name: cell for name, cell in cells.items() if cell.split in ("input", "layer2")}, inputs)
        described = describe(prepared)
        assert not any(item.reason for item in described.values()) and len(timed) == len(described) > 5
        assert all(x.is_cuda for cut in timed for x in cut)


def test_the_benchmark_runs_all_on_the_device(monkeypatch):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: 0)
    size = replace(QUICK.sweep, crop=32, bits=(4,), images=1)
    with pretended():
        assert [*sweep.measure_sweep(size, 1, CUDA)] and [*stages.measure_stages(size, 1, CUDA)]
