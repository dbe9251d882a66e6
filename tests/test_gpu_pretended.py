"""What a GPU runs, on a pretended one: nothing is on the wrong device, results are the CPU's, and only bytes leave."""

import pytest
import torch

from splitbench.bench.evaluate import measure, pipeline, prepare
from splitbench.methods.coding import linear
from tests import cuda_support, test_one_pass, training_samples
from tests.method_samples import cases, deployed
from tests.pretend_gpu import CUDA, pretended


@pytest.mark.parametrize(("name", "chosen", "rates"), list(cases()))
def test_every_codec_makes_the_same_bytes(name, chosen, rates):
    here, cut, specs = deployed(name, chosen, rates[0])
    expected = [stream.data for stream in here.codec.encode(cut)]
    decoded = here.codec.decode(expected, specs)
    with pretended():
        there, cut, specs = deployed(name, chosen, rates[0], CUDA)
        assert all(x.is_cuda for x in cut)
        assert [stream.data for stream in there.codec.encode(cut)] == expected
        for x, y in zip(there.codec.decode(expected, specs), decoded, strict=True):
            assert torch.equal(x.cpu(), y)


@pytest.mark.parametrize("task", test_one_pass.SWEEPS)
def test_a_pass_gives_what_it_gives_on_the_cpu(task, monkeypatch):
    monkeypatch.setattr(pipeline, "_threads", lambda _: 0)  # the pretended device is there in one thread
    expected = measure(test_one_pass.prepared_for(task))
    with pretended():
        prepared = prepare(*test_one_pass.material_of(task, CUDA))
        assert not prepared.failed
        found = measure(prepared)
    assert not found.failed
    assert test_one_pass.same_records(found.reference, expected.reference)
    for name in expected.cells:
        assert test_one_pass.same_records(found.cells[name], expected.cells[name]), name


@pytest.mark.parametrize("chosen", [{}, {"range": "calibrated"}, {"granularity": "channel"}, {"literals": "fixed"}])
def test_only_finished_bytes_leave_it(chosen):
    for bits in (1, 4, 8):
        with pretended() as traffic:
            there, cut, _ = deployed("quantize-rle", chosen, bits, CUDA)
            before = traffic.bytes, traffic.numbers
            streams = there.codec.encode(cut)
            left, numbers = traffic.bytes - before[0], traffic.numbers - before[1]
        # Beside the bytes: where each image's begin and end, eight of room, and a range's ends, float32 here and less
        # in the bitstream. The numbers: whether all is finite, how many zeros there are, how many bytes.
        ends = 8 * (sum(x.shape[1] for x in cut) if chosen.get("granularity") else len(cut))
        assert left <= sum(len(stream.data) + ends for stream in streams) + len(cut) * (16 * len(streams) + 8)
        assert numbers <= 3 * len(cut)


@pytest.mark.parametrize("bits", range(1, 9))
def test_both_sides_find_the_same_steps(bits):
    high = torch.arange(0x3F80, 0x4100, dtype=torch.int16).view(torch.bfloat16).float()[None]  # 1 to 8, as they travel
    here = linear.Range(-high, high).steps(bits)
    with pretended(reciprocals=True):
        there = linear.Range(-high.to(CUDA), high.to(CUDA)).steps(bits)
        assert all(torch.equal(x.cpu(), y) for x, y in zip(there, here, strict=True))


def test_training_there_is_training_here():
    expected, _ = training_samples.fit()
    with pretended():
        model, _ = training_samples.fit(training_samples.network().to(CUDA))
    for name, value in model.state_dict().items():
        assert value.is_cuda and torch.equal(value.cpu(), expected.state_dict()[name]), name


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
