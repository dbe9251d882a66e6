"""Two real processes on this machine train as one does."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from splitbench.bench.training import TrainingError, distributed
from tests.helpers import training_together
from tests.helpers.closeness import LOSSES, WEIGHTS, accuracy, close
from tests.helpers.training_samples import same, timeless


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What both processes found, their folder, and what they printed."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    command += [f"--master-port={port}", "-m", "tests.helpers.training_together", str(folder)]
    done = subprocess.run(  # noqa: S603 - our own
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return *result, folder, done.stderr


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_processes_know_themselves(two):
    assert [(one["rank"], one["world"], one["device"]) for one in two[:2]] == [(0, 2, "cpu"), (1, 2, "cpu")]


def test_two_processes_equal_one_at_twice_the_batch(two):
    first, second, _, _ = two
    model, report = training_together.exact(64)
    weights = model.state_dict()
    assert equal(first["exact"], second["exact"])
    assert all(close(first["exact"][name], weights[name], WEIGHTS) for name in weights)
    for row, expected in zip(timeless(first["report"]), timeless(report.history), strict=True):
        assert row.keys() == expected.keys()
        for name, value in row.items():
            printed = expected[name]
            assert value == (accuracy(printed, 256) if "accuracy" in name else pytest.approx(printed, rel=LOSSES)), name
    assert timeless(first["report"]) == timeless(second["report"])
    # The images do matter: with half the batch in one process, the weights are others.
    other, _ = training_together.exact(32)
    assert not torch.allclose(first["exact"]["0.weight"], other.state_dict()["0.weight"], atol=1e-3)


def test_an_interrupted_run_of_two_goes_on_exactly(two):
    for one in two[:2]:
        assert equal(one["resumed"], one["whole"])
        assert timeless(one["resumed report"]) == timeless(one["whole report"])
    assert equal(two[0]["whole"], two[1]["whole"])


def test_the_measures_are_over_all_images_whoever_has_them(two):
    best = max(row["accuracy"] for row in two[0]["whole report"])
    assert two[0]["alone"]["accuracy"] == pytest.approx(best)


def test_what_goes_wrong_in_one_process_ends_all_with_a_sentence(two):
    first, second, _, _ = two
    for one in (first, second):
        assert "training diverged" in one["exploded"]
        assert "not all processes see the same" in one["apart"]
    assert "cannot save the checkpoint" in first["full"] and "process 0" not in first["full"]
    assert "process 0 cannot save the checkpoint" in second["full"]


def test_one_process_draws_progress(two):
    assert two[3].count("epoch 4/4") > 0
    # A bar's first image, before it has an epoch, is drawn once; its last may be drawn twice.
    assert len(re.findall(r"^training: +0%\|", two[3], re.MULTILINE)) == 1


def test_the_checkpoint_of_two_processes_is_not_that_of_one(two):
    with pytest.raises(TrainingError, match=r"number of processes: 2 in the file, 1 here"):
        training_together.drawn(two[2] / "state.pt")


def test_without_torchrun_there_is_one_process():
    with distributed.process_group() as device:
        assert device == torch.device("cpu")
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
    one, _ = training_together.exact(64)
    again, _ = training_together.exact(64)
    assert same(one, again)


def test_more_processes_than_gpus_is_reported(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": str(torch.cuda.device_count())}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="start as many as there are GPUs"), distributed.process_group("cuda"):
        pass
