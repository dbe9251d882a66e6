"""A run that stopped anywhere goes on exactly, from its own checkpoint only, and a full disk loses nothing."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch

from splitbench.bench import training
from splitbench.bench.training import TrainingError
from tests.helpers import training_killed
from tests.helpers.training_samples import blobs, fit, full_disk, jitter, network, same, timeless


@contextmanager
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def test_a_run_killed_at_any_moment_ends_in_the_same_weights_and_history(tmp_path):
    command = [sys.executable, "-m", "tests.helpers.training_killed", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    # The first left no checkpoint but a part of one; every other one has a whole one to begin with.
    lives = json.loads((tmp_path / "lives.json").read_text())
    part, whole = "state.pt.part", "state.pt"
    assert lives == [
        [part],
        [whole],
        [whole, part],
        [whole],
        [whole],
        [whole],
        [whole, part],
        [whole],
        ["end.pt", whole],
    ]
    end = torch.load(tmp_path / "end.pt", weights_only=True)
    with one_thread():  # as the killed process has: sums of another number of threads differ
        model, report = training_killed.run(None)
    assert all(torch.equal(value, end["weights"][name]) for name, value in model.state_dict().items())
    assert timeless(end["history"]) == timeless(report.history)
    assert end["best"] == report.best_epoch


def stops_after(steps):
    """A step that raises at a training step, as Ctrl-C does."""
    left = [steps]

    def step(net, batch):
        if net.training:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return training.classify()(net, batch)

    return step


@pytest.mark.parametrize(
    "changes",
    [{}, {"ema": 0.9}, {"warmup": 0.5, "best": "loss"}],
    ids=["plain", "average", "warm-up"],
)
@pytest.mark.parametrize("steps", [1, 8, 17])
def test_an_interrupted_run_goes_on_exactly(tmp_path, changes, steps):
    options = {"augment": jitter}
    whole, expected = fit(network(dropout=0.2), options=options, **changes)
    options["checkpoint"] = tmp_path / "state.pt"
    model = network(dropout=0.2)
    with pytest.raises(KeyboardInterrupt):
        fit(model, step=stops_after(steps), options=options, **changes)
    # On with the model as it is, mid-epoch: all its weights come from the checkpoint, or none where there is none.
    again = model if steps >= 8 else network(dropout=0.2)
    _, report = fit(again, options=options, **changes)
    assert same(again, whole)
    assert timeless(report.history) == timeless(expected.history)
    assert (report.best_epoch, report.images) == (expected.best_epoch, expected.images)
    assert report.seconds > 0


def test_a_run_that_was_done_returns_its_weights_at_once(tmp_path):
    options = {"checkpoint": tmp_path / "state.pt"}
    model, report = fit(options=options)

    def never(net, batch):
        raise AssertionError

    again, repeated = fit(step=never, options=options)
    assert same(again, model)
    assert repeated == report
    assert not again.training


OTHERS = {
    "recipe's learning_rate: 0.02 in the file, 0.01 here": {"learning_rate": 0.01},
    "recipe's epochs: 4 in the file, 5 here": {"epochs": 5},
    "number of training images: 256 in the file, 255 here": {"images": 255},
    r"model: one of 9 tensors \(digest .*\) in the file, one of 4 tensors": {
        "model": torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Linear(16, 3))
    },
    "rate point: lambda=1 in the file, lambda=2 here": {"point": "lambda=2"},
    "rate point: lambda=1 in the file, none here": {"point": None},
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_checkpoint_of_another_training_is_refused(tmp_path, what):
    path = tmp_path / "state.pt"
    fit(options={"checkpoint": path, "identity": {"rate point": "lambda=1"}})
    changes = {"point": "lambda=1"} | OTHERS[what]
    point = changes.pop("point")
    with pytest.raises(TrainingError, match=f"{path} is the checkpoint of another training .*{what}.*remove it"):
        fit(options={"checkpoint": path, "identity": {"rate point": point} if point else None}, **changes)


def test_the_checkpoint_of_another_backbone_is_refused_by_its_frozen_weights(tmp_path):
    def unit():
        model = network()
        model[4].requires_grad_(False)
        return model

    options = {"checkpoint": tmp_path / "state.pt"}
    fit(unit(), options=options)
    other = unit()
    with torch.no_grad():
        other[4].weight[0, 0] += 1
    with pytest.raises(TrainingError, match="frozen weights: 2 tensors"):
        fit(other, options=options)
    fit(unit(), options=options)


def test_a_checkpoint_of_an_earlier_version_is_begun_anew(tmp_path):
    path = tmp_path / "state.pt"
    torch.save({"format": "splitbench checkpoint 1", "facts": {}, "state": {}}, path)
    assert same(fit(options={"checkpoint": path})[0], fit()[0])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "short", {"weights": torch.zeros(2)}])
def test_a_damaged_checkpoint_is_reported(tmp_path, content):
    path = tmp_path / "state.pt"
    if content == "short":
        fit(options={"checkpoint": path})
        path.write_bytes(path.read_bytes()[:-1000])
    elif isinstance(content, dict):
        torch.save(content, path)
    else:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"state.pt is (damaged|no checkpoint).*remove it to begin anew"):
        fit(options={"checkpoint": path})


def test_a_checkpoint_executes_nothing(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    torch.save(Harm(), tmp_path / "state.pt")
    with pytest.raises(TrainingError, match="damaged or no checkpoint"):
        fit(options={"checkpoint": tmp_path / "state.pt"})
    assert not (tmp_path / "harm").exists()


def test_a_full_disk_keeps_the_last_checkpoint_and_training_goes_on_from_it(tmp_path):
    whole, _ = fit()
    path = tmp_path / "state.pt"
    model, steps = network(), []
    with ExitStack() as full:

        def fills_the_disk_in_epoch_2(net, batch):
            steps.append(net.training)
            if steps.count(True) == 2 * 8:
                full.enter_context(full_disk(2000))
            return training.classify()(net, batch)

        with pytest.raises(TrainingError, match=r"cannot save .*state.pt: .*; the last one is intact. Free") as caught:
            fit(model, step=fills_the_disk_in_epoch_2, options={"checkpoint": path})
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
    assert len(caught.value.report.history) == 2
    result = training.validate(model, training.classify(), blobs(seed=1), batch_size=32)
    assert result["accuracy"] == max(row["accuracy"] for row in caught.value.report.history)
    again, _ = fit(options={"checkpoint": path})
    assert same(again, whole)


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        TrainingError, match=r"cannot save the checkpoint .*: (Not a directory|File exists); there was none"
    ):
        fit(options={"checkpoint": tmp_path / "file" / "state.pt"})
