"""``run`` and ``validate`` with --dry-run, --quiet, --verbose and --json; ``show``; resumed trainings; Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from splitbench.bench.training.checkpointing import Checkpoint
from tests.helpers.command_line import rows, splitbench
from tests.helpers.photographs import write_photographs

TRAINED = """
datasets: [{name: synthetic, limit: 8, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: bottleneck, lmbda: [1], epochs: 3, restore_epochs: 0, batch_size: 16}]
"""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    path = tmp_path / "trained.yaml"
    path.write_text(TRAINED)
    return path


@pytest.mark.usefixtures("no_figures")
def test_a_dry_run_says_what_is_there_and_writes_nothing(small, tmp_path, capsys):
    out = tmp_path / "out"
    assert splitbench("run", small, "--out", out, "--dry-run") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "synthetic splitbench/small_resnet: 12 images, 2 cells to run, 0 stored"
    assert said[-1] == f"0 rate points to train, 2 cells to run, 0 stored in {out}; nothing was written"
    assert not out.exists()
    assert splitbench("run", small, "--out", out, "--set", "methods.0.bits=[2]") == 0
    capsys.readouterr()
    before = sorted(out.rglob("*"))
    assert splitbench("run", small, "--out", out, "--dry-run", "--json") == 0
    (previewed,) = json.loads(capsys.readouterr().out)["passes"]
    assert previewed["stored"] == 1 and previewed["trainings"] == []
    assert previewed["cells"] == ["synthetic splitbench/small_resnet layer3 quantize-rle bits=4"]
    assert sorted(out.rglob("*")) == before


@pytest.mark.usefixtures("no_figures")
def test_a_dry_run_names_the_trainings(trained, tmp_path, capsys):
    assert splitbench("run", trained, "--out", tmp_path / "out", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "  train  synthetic splitbench/small_resnet layer3 bottleneck" in said
    assert "1 rate point to train, 1 cell to run" in said


def test_quiet_prints_the_last_line_and_json_is_json(small, tmp_path, capsys):
    out = tmp_path / "out"
    assert splitbench("run", small, "--out", out, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == "2 cells run, 0 kept, 0 failed\n" and captured.err == ""
    assert splitbench("run", small, "--out", out, "--json") == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert summary[0]["at_split"] == "layer3"
    assert splitbench("compare", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["summary"] == summary
    assert splitbench("run", small, "--quiet", "--verbose") == 2
    assert "exclude each other" in capsys.readouterr().err


def test_json_names_the_failures_where_every_cell_fails(tmp_path, capsys):
    sweep, broken = tmp_path / "s.yaml", tmp_path / "photos" / "0" / "broken.jpg"
    sweep.write_text(
        "datasets: [{name: imagenet}]\nmethods: [{name: raw}]\n"
        "backbones: [{name: splitbench/small_resnet, weights: none, splits: [layer3]}]\n"
    )
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no picture")
    write_photographs(broken.parent, 1)
    assert splitbench("run", sweep, "--data", broken.parent.parent, "--out", tmp_path / "out", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["summary"] == [] and printed["failed"]
    for failure in printed["failed"]:
        assert "broken.jpg" in failure["reason"] and "BytesIO" not in failure["reason"]


@pytest.mark.usefixtures("no_figures")
def test_verbose_prints_every_epoch(trained, tmp_path, capsys):
    assert splitbench("run", trained, "--out", tmp_path / "out", "--verbose") == 0
    assert "epoch 3 of 3: " in capsys.readouterr().err


def test_validate_estimates_training_and_prints_json(trained, capsys):
    assert splitbench("validate", trained) == 0
    assert "1 rate point is trained first: roughly " in capsys.readouterr().out
    assert splitbench("validate", trained, "--json") == 0
    (estimated,) = json.loads(capsys.readouterr().out)["passes"]
    ((key, seconds),) = estimated["trainings"].items()
    assert estimated["images"] == 8 and len(key) == 20 and seconds > 0


@pytest.mark.usefixtures("no_figures")
def test_show_takes_the_first_letters_of_a_key(trained, tmp_path, capsys):
    out = tmp_path / "out"
    assert splitbench("run", trained, "--out", out, "--quiet") == 0
    (row,) = rows(out)
    capsys.readouterr()
    assert splitbench("show", row["key"][:5], out) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{row['key']}  synthetic splitbench/small_resnet layer3 bottleneck lmbda=1")
    assert "epochs 3" in said and "% top1 [" in said and "stored on the device" in said
    assert splitbench("show", row["key"], out, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert float(shown["columns"]["bytes_mean"]) == pytest.approx(float(row["bytes_mean"]))
    assert shown["settings"]["epochs"] == 3 and shown["training"]["train_images"] > 0
    assert all(Path(file).is_file() for file in shown["files"]) and len(shown["files"]) == 4
    assert splitbench("show", out, row["key"][:5]) == 0  # other commands take the run first
    assert splitbench("show", "x", out) == 2
    assert f"no cell in {out} has a key that begins with 'x', as {row['key']} does" in capsys.readouterr().err
    assert splitbench("show", "", tmp_path) == 2
    assert "holds no cells" in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_a_resumed_training_says_from_which_epoch(trained, tmp_path, monkeypatch, capsys):
    save = Checkpoint.save

    def interrupted(self, state):
        save(self, state)
        if len(state.report.history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    assert splitbench("run", trained, "--out", tmp_path / "out") == 130
    monkeypatch.setattr(Checkpoint, "save", save)
    capsys.readouterr()
    assert splitbench("run", trained, "--out", tmp_path / "out") == 0
    assert "resumed after epoch 2 of 3: synthetic splitbench/small_resnet layer3" in capsys.readouterr().out


COMPUTES = """
import hashlib, time
from splitbench.bench.cli.interrupt import acknowledged
with acknowledged():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 4_000_000)  # in C, for seconds
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_ctrl_c_is_acknowledged_while_something_computes():
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", COMPUTES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.stderr.readline()
        assert process.stderr.readline().startswith("stopping: the computation that is running ends first")
        assert process.poll() is None  # it computes still
        process.kill()
