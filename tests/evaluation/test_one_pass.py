"""What the evaluator shares between cells changes nothing: every method, against each cell evaluated by itself."""

import contextlib
import dataclasses
import weakref

import pytest
import torch
from torch import nn

from splitbench.bench.backbones.classifiers import Classifier
from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.evaluation import EvaluationInputs, measure, prepare, time_limit
from splitbench.bench.evaluation.failures import note
from splitbench.bench.evaluation.pipeline import pipeline
from splitbench.bench.evaluation.pipeline.coder_threads import CoderThreads
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.split import SplitModel
from splitbench.bench.utils.failure import Failure
from splitbench.bench.utils.plugins import METHODS
from splitbench.bench.utils.precision import like_precision, to_float32
from splitbench.methods.base import Bitstream, Context, TensorSpec
from splitbench.methods.coding.entropy.counts import Counts
from tests.helpers.method_samples import names_for
from tests.helpers.pass_samples import BATCH, IMAGES, SWEEPS, evaluated, inputs_of, prepared_for, same_records


@pytest.fixture
def prepared():
    return prepared_for("classification")


@pytest.mark.parametrize("task", SWEEPS)
def test_every_method_gives_the_same_as_each_cell_by_itself(task, monkeypatch):
    prepared = prepared_for(task)
    assert not prepared.failed
    assert {cell.method for cell in prepared.cells.values()} == set(names_for(task))
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda prepared: 0 if prepared.inputs.naive else 2)
    displayed: list[int] = []
    one_pass = measure(prepared, advance=displayed.append)
    assert sum(displayed) == len(prepared.inputs.dataset) * len(prepared.cells)
    assert prepared.shared_heads.source is not None  # the backbone continues from the deepest cut
    naive = dataclasses.replace(prepared, inputs=dataclasses.replace(prepared.inputs, naive=True))
    apart = measure(naive)
    assert naive.shared_heads.source is None
    assert one_pass.cells.keys() == apart.cells.keys() == prepared.cells.keys()
    assert same_records(one_pass.reference, apart.reference)
    for name in one_pass.cells:
        assert same_records(one_pass.cells[name], apart.cells[name]), name


def test_each_layer_runs_once_per_batch(prepared):
    own = {c.split.head for c in prepared.candidates}
    few = dataclasses.replace(
        prepared, candidates=[c for c in prepared.candidates if c.deployment.head in own], batch=prepared.batch
    )
    measure(few, 0, 1)  # tries what can be shared
    model, calls = prepared.inputs.backbone.model, []
    hook = model.layer1.register_forward_pre_hook(lambda *_: calls.append(1))
    convolution = model.conv1.register_forward_pre_hook(lambda *_: calls.append(2))
    measure(few, 1, 2)
    hook.remove()
    convolution.remove()
    # The head's graph calls layers, not the modules that hold them; a tail behind `input` runs the whole model.
    inputs = sum(c.split.specs[0].role == "input" for c in few.candidates)
    assert calls.count(2) == 1 + inputs


def no_room():
    return torch.OutOfMemoryError("no room")


class Greedy(nn.Module):
    """A tail that takes no more than so many images."""

    def __init__(self, tail, most, error):
        super().__init__()
        self.tail, self.most, self.seen, self.error = tail, most, [], error
        self.refused, self.alive = [], []

    def forward(self, *values):
        self.alive += [sum(given() is not None for given in self.refused)] if self.refused else []
        self.refused.clear()
        self.seen.append(len(values[0]))
        if len(values[0]) > self.most:
            self.refused += [weakref.ref(x) for x in values if isinstance(x, torch.Tensor)]
            raise self.error()
        return self.tail(*values)


def greedy(prepared, most, error=None):
    first = prepared.candidates[0]
    tail = Greedy(first.deployment.tail, most, error or no_room)
    candidate = dataclasses.replace(first, deployment=dataclasses.replace(first.deployment, tail=tail))
    return dataclasses.replace(prepared, candidates=[candidate, *prepared.candidates[1:3]], failed={}), tail


@pytest.mark.parametrize("threads", [0, 1])
def test_batches_that_do_not_fit_are_halved_and_the_row_says_so(prepared, monkeypatch, threads):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: threads)
    few, tail = greedy(prepared, 1)
    shard = measure(few)
    assert shard.batch == 1 and not shard.failed
    assert shard.cells[few.candidates[0].key]["image"].tolist() == list(range(IMAGES))
    assert shard.reference["image"].tolist() == list(range(IMAGES))
    assert max(tail.seen) == BATCH and tail.seen[-1] == 1
    assert measure(few, 0, 1).batch == 1 and tail.seen[-BATCH:] == [1] * BATCH  # it does not try again


def test_no_image_is_lost_where_pixels_do_not_fit_beside_what_is_there(prepared, monkeypatch):
    few, _ = greedy(prepared, BATCH)
    usual, calls = EvaluationInputs.to_device, []

    def full(inputs, pixels):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise torch.OutOfMemoryError("no room")
        return usual(inputs, pixels)

    assert few.shared_heads  # tries what can be shared, on pixels of its own
    monkeypatch.setattr(EvaluationInputs, "to_device", full)
    shard = measure(few)
    assert calls[:4] == [4, 4, 3, 2] and shard.batch == BATCH // 2 and not shard.failed
    assert all(records["image"].tolist() == list(range(IMAGES)) for records in shard.cells.values())


def test_memory_that_another_library_lacks_is_memory_too(prepared):
    few, tail = greedy(prepared, 2, lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    shard = measure(few)
    assert shard.batch == 2 and not shard.failed and max(tail.seen) == BATCH


def test_what_was_begun_is_given_back_before_it_is_tried_again(prepared):
    few, tail = greedy(prepared, 2)
    assert measure(few).batch == 2
    assert tail.alive == [0]  # of the cuts of the batch that did not fit


def test_naive_batches_of_one_cell_may_be_halved():
    cells, inputs = inputs_of("detection")
    alone = prepare(dict([*cells.items()][:3]), dataclasses.replace(inputs, naive=True))
    few, _ = greedy(alone, 1)
    shard = measure(few)
    assert not shard.failed and shard.batch == 1
    assert all(len(records["image"]) == 3 for records in shard.cells.values())


def test_what_never_fits_fails_its_cell_only(prepared):
    few, _ = greedy(prepared, 0)
    shard = measure(few)
    bad, *good = [candidate.key for candidate in few.candidates]
    assert shard.failed.keys() == {bad} and "no room" in shard.failed[bad].reason
    assert {name: len(shard.cells[name]["image"]) for name in good} == dict.fromkeys(good, IMAGES)


def test_a_backbone_that_never_fits_is_reported(prepared):
    few, _ = greedy(prepared, BATCH)
    whole = Greedy(few.shared_heads.whole, 0, no_room)
    few.shared_heads.whole, few.shared_heads.source = whole, None
    with pytest.raises(torch.OutOfMemoryError):
        measure(few)
    assert whole.seen == [4, 2, 1]


@pytest.mark.parametrize("where", ["head", "tables"])
def test_calibration_batches_that_do_not_fit_are_halved(where, monkeypatch):
    cells, inputs = inputs_of("classification")
    first = next(iter(cells.values())).split
    chosen = {name: cell for name, cell in cells.items() if cell.method == "quantize-entropy" and cell.split == first}
    _, same = inputs_of("classification")
    ones = prepare(chosen, dataclasses.replace(same, batch=1))
    holder, name = {"head": (SplitModel, "cuts"), "tables": (Counts, "add")}[where]
    usual = getattr(holder, name)
    seen = []

    def small(self, given):
        seen.append(len(given[0] if where == "head" else given))
        if seen[-1] > 1:
            raise torch.OutOfMemoryError("no room")
        return usual(self, given)

    monkeypatch.setattr(holder, name, small)
    again = prepare(chosen, inputs)
    monkeypatch.undo()
    assert not again.failed and len(again.candidates) == len(chosen)
    assert seen[:3] == [4, 2, 1] and set(seen[3:]) == {1}
    cut = [torch.rand(1, *spec.shape) for spec in ones.candidates[0].split.specs]
    for item, other in zip(ones.candidates, again.candidates, strict=True):
        assert item.deployment.codec.encode(cut)[0].data == other.deployment.codec.encode(cut)[0].data


def test_what_a_trained_head_gives_is_not_kept(prepared):
    own = {c.split.head for c in prepared.candidates}
    trained = [c.deployment.head for c in prepared.candidates if c.deployment.head not in own]
    assert trained
    (batch,) = prepared.inputs.batches(0, 1)
    ran = prepared.shared_heads.run(prepared.inputs.to_device(batch.pixels))
    for head in trained:
        given = weakref.ref(ran.values(head)[0])
        assert given() is None
    assert ran.values(prepared.candidates[0].split.head) is ran.values(prepared.candidates[0].split.head)


def test_a_cells_earliest_failure_is_reported(prepared):
    prepared = dataclasses.replace(prepared, failed={})
    name = next(iter(prepared.cells))
    for failure in (Failure("late", 5), Failure("early", 3), Failure("between", 4)):
        note(prepared.failed, [name], failure)
    assert prepared.failed[name] == Failure("early", 3)


class Endless:
    """A codec that never ends, and takes no error for a reason to."""

    def __init__(self, codec):
        self.decode = codec.decode

    def encode(self, cut):
        while True:
            with contextlib.suppress(Exception):
                sum(range(1000))


def test_a_codec_that_never_ends_fails_its_cell_only(prepared, monkeypatch):
    monkeypatch.setattr(pipeline, "coder_thread_count", lambda _: 1)
    first, other, *_ = prepared.candidates
    endless = dataclasses.replace(first.deployment, codec=Endless(first.deployment.codec))
    few = dataclasses.replace(prepared, candidates=[dataclasses.replace(first, deployment=endless), other], failed={})
    with time_limit.allowed(1.5):
        shard = measure(few)
    assert "gave up" in shard.failed[first.key].reason
    assert len(shard.cells[other.key]["image"]) == IMAGES


def test_a_job_that_is_given_up_ends():
    coders = CoderThreads(1)

    def endless():
        while True:
            pass

    job = coders.submit(endless)
    other = coders.submit(lambda: 5)
    with pytest.raises(TimeoutError):
        try:
            job.future.result(0.2)
        except TimeoutError:
            job.stop()
            raise
    assert other.result() == 5
    coders.close()


class Seen:
    """A codec that notes what it is given."""

    def encode(self, cut):
        assert not torch.is_autocast_enabled("cpu")
        self.dtypes = [x.dtype for x in cut]
        self.cut = cut
        return [Bitstream(b"1") for _ in cut[0]]

    def decode(self, streams, specs):
        assert not torch.is_autocast_enabled("cpu")
        return self.cut


def test_codecs_work_in_float32_whatever_the_network_computes_in():
    values = (torch.ones(2, 3, dtype=torch.bfloat16), torch.arange(2), 7)
    specs = (TensorSpec((3,), torch.float32), TensorSpec((), torch.int64))
    codec = Seen()
    parts = SplitModel(head=nn.Identity(), tail=nn.Identity(), at="", specs=specs, half_precision=True)
    with torch.autocast("cpu", torch.bfloat16):
        _, decoded = transmit(parts, codec, values)
    assert codec.dtypes == [torch.float32, torch.int64]
    assert [getattr(x, "dtype", x) for x in decoded] == [torch.bfloat16, torch.int64, 7]
    result = to_float32([{"scores": torch.ones(2, dtype=torch.float16), "labels": torch.arange(2)}])
    assert [x.dtype for x in result[0].values()] == [torch.float32, torch.int64]
    assert like_precision((torch.ones(1),), (torch.ones(1),))[0].dtype == torch.float32


class _NearlyEqual(nn.Module):
    """Scores in half precision that fall by less than a code of label-only's from the last class to the first."""

    def forward(self, pixels):
        return torch.linspace(0, 0.01, 10).bfloat16().expand(len(pixels), 10)


def test_ranks_of_labels_stay_apart_where_the_network_computes_in_half_precision():
    fields = {"resize": None, "crop": 8, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    backbone = Classifier("mine", _NearlyEqual(), Preprocessing(**fields), "")
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        split = backbone.split("output", pixels)
        values = split.head(pixels)
    method = METHODS.get("label-only")
    context = Context(split.head, split.tail, split.specs, list, 0)
    _, (scores,) = transmit(split, method.deploy(method.Settings(k=5), context).codec, values)
    assert scores.argsort(dim=1, descending=True, stable=True)[:, :5].tolist() == [[9, 8, 7, 6, 5]] * 2


def test_a_pass_says_its_precision_and_runs_heads_and_tails_in_it(prepared, monkeypatch):
    entered = []
    real = torch.autocast

    def noted(device, dtype=None, enabled=True, **_):
        """Autocast that is on, but changes nothing: half precision is not to be had on every processor."""
        entered.append((dtype, enabled))
        return real(device, torch.bfloat16, enabled=False)

    monkeypatch.setattr(torch, "autocast", noted)
    (name, cell) = next(iter(prepared.cells.items()))
    inputs = dataclasses.replace(prepared.inputs, precision="bfloat16")
    (outcome,) = evaluated({name: cell}, inputs)
    assert not outcome.reason and name == str(cell)
    assert outcome.columns["precision"] == "bfloat16"
    assert (torch.bfloat16, True) in entered
