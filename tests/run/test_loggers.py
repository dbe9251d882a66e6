"""What runs are logged with, too: each tool gets epochs and rows, and one that breaks takes nothing with it."""

import csv
import tomllib
from pathlib import Path
from typing import Any

import pytest

from splitbench.bench.cli.main import app
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.executors import ExecutorOptions, open_executor
from splitbench.bench.run.loggers import LOGGERS, Loggers, choose_loggers, open_loggers
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.runner import RunOptions
from splitbench.bench.sweep.reading import read
from tests.helpers.command_line import splitbench
from tests.helpers.small_sweep import SMALL

TRAINED = """
datasets: [{name: synthetic, limit: 4, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: bottleneck, lmbda: [1.0], epochs: 2, batch_size: 16}]
"""
TRAINING = "synthetic splitbench/small_resnet layer3 bottleneck epochs=2 batch_size=16 lmbda=1.0"
EPOCH = {"epoch": 1, "loss": 0.5, "bits_per_pixel": 0.25}
ROW = {
    "dataset": "synthetic",
    "backbone": "torchvision/resnet18",
    "split": "layer3",
    "method": "bottleneck",
    "variant": "stride=1",
    "knob": "lmbda",
    "value": "1.0",
    "status": "ok",
    "bytes_mean": 120.4,
    "accuracy": 98.5,
    "drop": 0.5,
    "reason": "",
    "seed": 0,
}


class Recorder:
    """A logger that remembers, and raises from a given call on."""

    def __init__(self, fails_at: int = 10**9) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails_at = fails_at

    def log_scalars(self, name, step, values):
        self._note("scalars", name, step, dict(values))

    def log_row(self, row):
        self._note("row", str(row["value"]), row["accuracy"])

    def close(self):
        self._note("close")

    def _note(self, *call):
        self.calls.append(call)
        if len(self.calls) >= self.fails_at:
            raise OSError("no space left on device")


def run(tmp_path, text, loggers, **options):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    result = runner.run(read(path), Sources(), Store(tmp_path / "out"), RunOptions(loggers=loggers, **options))
    with (tmp_path / "out" / "cells.csv").open() as stream:
        return result, list(csv.DictReader(stream))


def test_a_logger_that_breaks_is_left_out_and_no_result_is_lost(tmp_path):
    good, broken = Recorder(), Recorder(fails_at=1)
    warnings: list[str] = []
    loggers = Loggers({"good": good, "broken": broken}, warnings.append)
    result, rows = run(tmp_path, SMALL, loggers)
    loggers.close()
    assert (result.done, result.failed) == (2, ())
    assert [row["status"] for row in rows] == ["ok", "ok"]
    sent = {value: accuracy for _, value, accuracy in good.calls[:-1]}
    assert sent == pytest.approx({row["value"]: float(row["accuracy"]) for row in rows}, abs=1e-5)  # as rounded in rows
    assert good.calls[-1] == ("close",)
    assert len(broken.calls) == 1
    (warning,) = warnings
    assert warning.startswith("warning: broken takes nothing more (OSError: no space left on device")


@pytest.mark.parametrize("workers", [1, 2])
def test_each_epoch_is_sent_once_by_this_process_and_for_others(tmp_path, workers):
    recorder = Recorder()
    executor = open_executor(ExecutorOptions("local", workers, None, 1), "cpu")
    run(tmp_path, TRAINED, Loggers({"recorder": recorder}), executor=executor)
    epochs = [(name, step) for kind, name, step, *_ in (call for call in recorder.calls if call[0] == "scalars")]
    assert epochs == [(TRAINING, 1), (TRAINING, 2)]
    measures = recorder.calls[0][3]
    assert {"loss", "bits_per_pixel", "train_loss", "images"} <= set(measures)
    assert "epoch" not in measures
    assert [call[:2] for call in recorder.calls if call[0] == "row"] == [("row", "1.0")]


def test_names_are_checked_before_anything_is_done(tmp_path, capsys, monkeypatch):
    assert splitbench("run", "no such sweep", "--log-to", "tensorbord") == 2
    assert "--log-to has no 'tensorbord'; did you mean tensorboard?" in capsys.readouterr().err
    monkeypatch.setattr(choose_loggers, "find_spec", lambda name: None)
    for command in ("run", "train"):
        assert splitbench(command, "no such sweep", "--log-to", "wandb") == 2
        assert "pip install 'splitbench[wandb]'" in capsys.readouterr().err


def test_every_tool_has_an_extra_and_stands_in_the_help(capsys):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(LOGGERS) <= set(project["project"]["optional-dependencies"])
    (option,) = [item for item in _options("run") if "--log-to" in item.opts]
    assert all(name in option.help for name in LOGGERS)


def _options(command):
    import typer

    group: Any = typer.main.get_command(app)
    return group.commands[command].params


def sent_to(name, tmp_path):
    """Send an epoch and a row to a real tool, which writes below the folder."""
    warnings: list[str] = []
    loggers = open_loggers([name], tmp_path, "batch: 32\n", warnings.append)
    loggers.log_epoch("a training=1 (x)", EPOCH)
    loggers.log_epoch("a training=1 (x)", EPOCH | {"epoch": 2, "loss": 0.25})
    loggers.log_row(ROW)
    loggers.log_row(ROW | {"status": "failed", "accuracy": None, "bytes_mean": None, "drop": None, "reason": "broke"})
    loggers.close()
    assert warnings == []


def test_tensorboard_shows_losses_over_epochs_and_accuracy_over_bytes(tmp_path):
    pytest.importorskip("tensorboard", reason="needs pip install 'splitbench[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sent_to("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    loss = [(event.step, event.value) for event in events.Scalars("training/a training=1 (x)/loss")]
    assert loss == [(1, 0.5), (2, 0.25)]
    (accuracy,) = events.Scalars("accuracy over bytes/synthetic/torchvision/resnet18/layer3/bottleneck, stride=1")
    assert (accuracy.step, accuracy.value) == (120, 98.5)


def test_wandb_writes_a_run_to_synchronize_later(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs pip install 'splitbench[wandb]'")
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    sent_to("wandb", tmp_path)
    wandb.teardown()  # as at the end of this process: the one that writes for it ends, too
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert b"a training=1 (x)/loss" in content and b"0.25" in content
    (table,) = (tmp_path / "wandb").glob("offline-run-*/files/media/table/*.json")
    assert "bottleneck" in table.read_text() and "98.5" in table.read_text()


def test_mlflow_has_a_run_for_the_sweep_and_one_below_it_for_each_cell(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs pip install 'splitbench[mlflow]'")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    sent_to("mlflow", tmp_path)
    client = mlflow.tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("splitbench")
    runs = client.search_runs([experiment.experiment_id])
    (sweep,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    history = client.get_metric_history(sweep.info.run_id, "a training_1 _x_/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == sweep.info.run_id]
    assert sorted(run.info.status for run in below) == ["FAILED", "FINISHED"]
    (cell,) = [run for run in below if run.info.status == "FINISHED"]
    assert cell.data.metrics == {"bytes_mean": 120.4, "accuracy": 98.5, "drop": 0.5}
    assert cell.data.params["method"] == "bottleneck"
    assert sweep.info.status == "FINISHED"
