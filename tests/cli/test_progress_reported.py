"""What a user is shown of work that takes its time: what is being done, how far it is, what an estimate rests on."""

import json
import re
from unittest import mock

import pytest

import splitbench as api
from splitbench.bench.run.planning.work import PassWork
from splitbench.bench.run.tasks import TrainTask
from splitbench.bench.utils.progress import Piece, display
from tests.helpers.command_line import splitbench
from tests.helpers.small_sweep import SMALL

TRAINED = """
datasets: [{name: synthetic, limit: 8, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: quantize-rle, bits: [2]}
  - {name: bottleneck, lmbda: [1.0], epochs: 2, restore_epochs: 0, batch_size: 16}
"""
LINE = re.compile(r"(?:planning|\d+ %, (?:estimating the time left|about [\w ]+ left), \d/\d cells)(?:: .+)?")


@pytest.fixture
def every_change(monkeypatch):
    """Show every state that would be shown if somebody looked at the right moment."""
    monkeypatch.setattr(display, "_LINE", 0.0)


def write(tmp_path, text):
    sweep = tmp_path / "small.yaml"
    sweep.write_text(text, encoding="utf-8")
    return sweep


def test_a_run_says_which_stage_it_is_in_and_how_far_the_whole_is(tmp_path, capsys, every_change):
    assert splitbench("run", write(tmp_path, TRAINED), "--out", tmp_path / "run") == 0
    *states, last = capsys.readouterr().err.splitlines()
    assert all(LINE.fullmatch(line) for line in states), states
    stages = [line.partition(": ")[2] for line in states]
    for stage in (
        "training bottleneck lmbda=1.0 layer3, epoch 2/2, loss",
        "preparing synthetic splitbench/small_resnet, 1/2 cells",
        "measuring costs of synthetic splitbench/small_resnet, 2/2 cells",
        "measuring synthetic splitbench/small_resnet, 8/8 images",
        "scoring synthetic splitbench/small_resnet, 2/2 cells",
        "drawing figures",
        "writing the report",
    ):
        assert any(line.startswith(stage) for line in stages), stage
    percents = [int(line.partition(" %")[0]) for line in states if "%" in line]
    assert percents == sorted(percents) and percents[0] == 0
    assert re.fullmatch(r"100 %, 2/2 cells, done after [\w ]+", last)


def test_what_is_stored_counts_as_done(tmp_path, capsys, every_change):
    sweep, out = write(tmp_path, TRAINED.replace("epochs: 2", "epochs: 20")), tmp_path / "run"
    assert splitbench("run", sweep, "--out", out) == 0
    first = next(line for line in capsys.readouterr().err.splitlines() if "%" in line)
    assert first.startswith("0 %") and "0/2 cells" in first
    assert splitbench("run", sweep, "--out", out, "--set", "methods.0.bits=[2,3]") == 0
    planned = next(line for line in capsys.readouterr().err.splitlines() if "%" in line)
    assert int(planned.partition(" %")[0]) > 3 and "2/3 cells" in planned


def test_what_is_bundled_is_no_work():
    """Neither the first estimate nor the fraction holds a training that comes with the project."""
    spec = mock.Mock()
    spec.run.trainings.has = {"bundled"}.__contains__
    task = TrainTask(spec=spec, pass_number=0, priority=(0,), keys=("bundled", "new"))
    work = PassWork(images=1, trainings={"bundled": 3600.0, "new": 60.0})
    assert task.pieces(work) == {"new": Piece("training", 60.0)}


def test_a_run_that_is_quiet_or_json_keeps_standard_output_clean(tmp_path, capsys, every_change):
    sweep, out = write(tmp_path, SMALL), tmp_path / "run"
    assert splitbench("run", sweep, "--out", out, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["summary"] and "100 %" in said.err
    assert splitbench("run", sweep, "--out", out, "--overwrite", "all", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_python_gets_the_same_lines(tmp_path, capsys, every_change):
    api.run(write(tmp_path, SMALL), tmp_path / "run")
    assert re.fullmatch(r"100 %, \d/\d cells, done after [\w ]+", capsys.readouterr().err.splitlines()[-1])


def test_training_alone_is_shown_as_a_whole_too(tmp_path, capsys, every_change):
    assert splitbench("train", write(tmp_path, TRAINED), "--out", tmp_path / "run") == 0
    *states, last = capsys.readouterr().err.splitlines()
    assert any("% " not in line and ": training bottleneck lmbda=1.0 layer3" in line for line in states)
    assert last.startswith("100 %")


def test_nothing_is_said_of_weights_that_are_all_0(tmp_path, capsys):
    assert splitbench("run", write(tmp_path, SMALL), "--out", tmp_path / "run") == 0
    assert "no panel" not in capsys.readouterr().out


def test_an_estimate_says_what_it_rests_on(tmp_path, capsys):
    assert splitbench("validate", write(tmp_path, SMALL)) == 0
    assert (
        "by the time that one image takes (median of 3) on this machine, as busy as it is now"
        in capsys.readouterr().out
    )
