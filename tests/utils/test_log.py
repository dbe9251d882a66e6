"""What a run keeps for whoever looks for a fault: tracebacks, and how trainings go."""

import logging

import pytest

from splitbench.bench.utils import log
from splitbench.methods.quantize_rle import METHOD
from tests.helpers.command_line import splitbench

pytestmark = pytest.mark.usefixtures("no_figures")

TRAINED = """
datasets: [{name: synthetic, limit: 8, train: {limit: 32}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: bottleneck, lmbda: [1], epochs: 2, restore_epochs: 0, batch_size: 16}]
"""


def text(out):
    return "".join(path.read_text() for path in (out / "log").glob("*.txt"))


def breaks(settings, context):
    if settings.bits == 2:
        return {}["what is not there"]
    return deploy(settings, context)


deploy = METHOD.deploy


def test_a_cell_that_breaks_leaves_its_traceback(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(METHOD, "deploy", breaks)
    out = tmp_path / "out"
    assert splitbench("run", small, "--out", out) == 1
    assert f"tracebacks: {out / 'log'}" in capsys.readouterr().err
    assert "small_resnet layer3 quantize-rle bits=2 (" in text(out)
    assert 'return {}["what is not there"]' in text(out) and "bits=4" not in text(out)
    assert [path.name.partition("-")[0] for path in (out / "log").iterdir()] == ["failures"]


def test_a_run_without_faults_leaves_no_log_and_none_is_kept_after_it(small, tmp_path):
    out = tmp_path / "out"
    assert splitbench("run", small, "--out", out) == 0
    log.LOG.error("nobody's")
    assert not (out / "log").exists()
    assert [type(handler) for handler in log.LOG.handlers] == [logging.NullHandler]


def test_every_epoch_is_a_line(tmp_path):
    path, out = tmp_path / "trained.yaml", tmp_path / "out"
    path.write_text(TRAINED)
    assert splitbench("run", path, "--out", out) == 0
    first, second = text(out).splitlines()
    assert "epoch 1 of 2: seconds " in first and "train_loss" in first and "left" in first
    assert "epoch 2 of 2" in second and second.endswith("about 00:00 left")
    assert [path.name.partition("-")[0] for path in (out / "log").iterdir()] == ["progress"]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "log").touch()
    with log.log_to(tmp_path):
        log.LOG.error("no folder can be made for this")
    with log.log_to(tmp_path / "gone"):
        log.LOG.error("nor for this")
