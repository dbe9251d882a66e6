"""What a second run does: only what is missing, whatever changed; and never two runs in one folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torchvision.models import squeezenet1_1

from splitbench.bench.evaluation import measure
from splitbench.bench.results.store import Store
from splitbench.bench.results.table import read as read_table
from splitbench.bench.run import runner, tasks
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.run.runner import RunOptions
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from tests.helpers.command_line import splitbench
from tests.helpers.photographs import write_photographs
from tests.helpers.results_samples import difference
from tests.helpers.small_sweep import SMALL, ran
from tests.torture.injected_faults import FAULTS, fault

SWEEP = """
datasets:
  - name: imagenet
    label: photos
    root: val
    preprocessing: {resize: 64, crop: 64}
    calibration: {root: train}
    train: {root: train}
backbones:
  - {name: torchvision/squeezenet1_1, weights: own.safetensors, splits: [features.5, features.8]}
methods:
  - {name: raw, dtype: float32}
  - {name: quantize-rle, bits: [2, 4]}
  - {name: quantize-entropy, bits: [3]}
  - {name: bottleneck, lmbda: [0.5, 1.5], epochs: 1, start: neighbour}
  - {name: label-only, k: 1}
"""
ALL = {"raw float32", "quantize-rle 2", "quantize-rle 4", "quantize-entropy 3", "bottleneck 0.5", "bottleneck 1.5"}
ALL |= {"label-only 1"}
CALIBRATED, TRAINED = {"quantize-entropy 3"}, {"bottleneck 0.5", "bottleneck 1.5"}


@dataclass(frozen=True)
class Place:
    """Data and weights that the sweep is about."""

    data: Path
    weights: Path

    def keys(self, text: str = SWEEP) -> dict[tuple[str, str], set[str]]:
        """Each cell's key, by split, and method with rate point."""
        path = self.weights / "sweep.yaml"
        path.write_text(text)
        result: dict[tuple[str, str], set[str]] = {}
        for item in plan_passes(read(path), Sources(self.data, self.weights)):
            for p in item.cells:
                result.setdefault((p.cell.split, f"{p.cell.method} {p.cell.value}"), set()).add(p.key)
        return result


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    data, weights = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("weights")
    for part, first in (("val", 0), ("train", 100)):
        files = write_photographs(data / part / "images", 6, first)
        lines = ["file,label", *(f"images/{file.name},{index}" for index, file in enumerate(files))]
        (data / part / "labels.csv").write_text("\n".join(lines))
    torch.manual_seed(0)
    save_file(squeezenet1_1().state_dict(), weights / "own.safetensors")
    return Place(data, weights)


@pytest.fixture(scope="module")
def before(place) -> dict[tuple[str, str], set[str]]:
    result = place.keys()
    assert len(result) == 2 * (len(ALL) - 1) + 1
    return result


@pytest.fixture
def copied(place, tmp_path) -> Place:
    shutil.copytree(place.data, tmp_path / "data")
    shutil.copytree(place.weights, tmp_path / "weights")
    return Place(tmp_path / "data", tmp_path / "weights")


def again(before, after) -> set[str]:
    """The cells, at any split, of which something would be run again."""
    return {name for (split, name), result in after.items() if not result <= before.get((split, name), set())}


REPLACED = {
    "a knob": (("bits: [2, 4]", "bits: [2, 5]"), {"quantize-rle 5"}),
    "a setting": (("bits: [2, 4]", "bits: [2, 4], clip: mse"), {"quantize-rle 2", "quantize-rle 4"}),
    "a recipe": (("epochs: 1,", "epochs: 2,"), TRAINED),
    "the second of two trainings": (("lmbda: [0.5, 1.5]", "lmbda: [0.5, 2.5]"), {"bottleneck 2.5"}),
    "what a training begins with": (("lmbda: [0.5, 1.5]", "lmbda: [2.5, 1.5]"), {"bottleneck 2.5", "bottleneck 1.5"}),
    "preprocessing": (("crop: 64", "crop: 56"), ALL),
    "the backbone's preprocessing": (("splits: [f", "preprocessing: {mean: [0.5, 0.5, 0.5]}, splits: [f"), ALL),
    "the constructor's arguments": (("splits: [f", "args: {dropout: 0.3}, splits: [f"), ALL),
    "a seed": (("methods:", "seeds: [1]\nmethods:"), ALL),
    "the precision": (("methods:", "precision: bfloat16\nmethods:"), ALL),
    "some of the images": (("root: val\n", "root: val\n    limit: 5\n"), ALL),
    "unreadable images": (("root: val\n", "root: val\n    unreadable: skip\n"), ALL),
    "fewer calibration images": (("calibration: {root: train}", "calibration: {root: train, limit: 4}"), CALIBRATED),
    "fewer training images": (("    train: {root: train}", "    train: {root: train, limit: 4}"), TRAINED),
    "the batch": (("methods:", "batch: 3\nmethods:"), set()),
    "a label": (("label: photos", "label: pictures"), set()),
    "another split": (("[features.5, features.8]", "[features.5]"), set()),
    "the splits' order": (("[features.5, features.8]", "[features.8, features.5]"), set()),
    "one rate point less": (("bits: [2, 4]", "bits: [4]"), set()),
    "the methods' order": (
        (
            "  - {name: raw, dtype: float32}\n  - {name: quantize-rle, bits: [2, 4]}\n",
            "  - {name: quantize-rle, bits: [4, 2]}\n  - {name: raw, dtype: float32}\n",
        ),
        set(),
    ),
}


@pytest.mark.parametrize("what", REPLACED)
def test_what_a_change_in_the_sweep_runs_again(what, place, before):
    change, expected = REPLACED[what]
    text = SWEEP.replace(*change)
    assert text != SWEEP
    assert again(before, place.keys(text)) == expected


def _an_image(place, monkeypatch):
    first, *_, last = sorted((place.data / "val" / "images").iterdir())
    last.write_bytes(first.read_bytes())


def _a_label(place, monkeypatch):
    file = place.data / "val" / "labels.csv"
    file.write_text(file.read_text().replace("0003.JPEG,3", "0003.JPEG,4"))


def _a_weight(place, monkeypatch):
    tensors = load_file(place.weights / "own.safetensors")
    tensors["features.0.bias"][0] += 1e-3
    save_file(tensors, place.weights / "own.safetensors")


def _a_training_image(place, monkeypatch):
    first, *_, last = sorted((place.data / "train" / "images").iterdir())
    last.write_bytes(first.read_bytes())


def _a_version(place, monkeypatch):
    method = type(METHODS.get("quantize-rle"))
    monkeypatch.setattr(method, "version", method.version + 1)


def _elsewhere(place, monkeypatch):
    place.data.rename(place.data.parent / "elsewhere")
    (place.data.parent / "data").symlink_to(place.data.parent / "elsewhere")


CHANGED = {
    "an image": (_an_image, ALL),
    "a label": (_a_label, ALL),
    "a weight": (_a_weight, ALL),
    "a training and calibration image": (_a_training_image, CALIBRATED | TRAINED),
    "a method's version": (_a_version, {"quantize-rle 2", "quantize-rle 4"}),
    "the folder": (_elsewhere, set()),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_a_change_beside_the_sweep_runs_again(what, copied, before, monkeypatch):
    change, expected = CHANGED[what]
    change(copied, monkeypatch)
    assert again(before, copied.keys()) == expected


OVERWRITTEN = {"never": set(), "failed": {4}, "all": {2, 4}}


@pytest.mark.parametrize("overwrite", OVERWRITTEN)
def test_what_overwrite_runs_again(overwrite, small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with fault(FAULTS["raises"][0], 0):
        first = runner.run(read(small), Sources(), Store(out))
    assert (first.done, len(first.failed)) == (2, 1)
    measured: set[int] = set()

    def noted(prepared, *rest):
        measured.update(cell.value for cell in prepared.cells.values())
        return measure(prepared, *rest)

    monkeypatch.setattr(tasks, "measure", noted)
    again = runner.run(read(small), Sources(), Store(out), RunOptions(overwrite=overwrite))
    expected = OVERWRITTEN[overwrite]
    assert measured == expected
    assert (again.done, again.kept, len(again.failed)) == (len(expected), 2 - len(expected), not expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_everything_and_the_same_command_goes_on(workers, tmp_path):
    out = tmp_path / "out"
    words = "-m", "splitbench.bench", "run", "scaling", "--device", "cpu", "--workers", str(workers), "--out", str(out)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, by children, too
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as run:  # noqa: S603 - our own
        while not list(out.glob("trainings/*.checkpoint")):
            assert run.poll() is None
            time.sleep(0.1)
        started = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGINT)
        _, message = run.communicate(timeout=60)
    assert run.returncode == 130 and "the same command resumes from there" in message and "Traceback" not in message
    _, left = psutil.wait_procs(started, 5)  # what Python starts beside workers ends when its pipe closes
    assert not [item.cmdline() for item in left]
    Store(out).open()
    with Store(out).held():  # nothing holds the folder
        assert list(out.glob("trainings/*.checkpoint"))


def test_a_changed_cell_is_run_and_no_other(small, tmp_path, monkeypatch):
    measured = []

    def noted(prepared, *rest):
        measured.append(sorted(cell.value for cell in prepared.cells.values()))
        return measure(prepared, *rest)

    monkeypatch.setattr(tasks, "measure", noted)
    out = tmp_path / "out"
    assert ran(small, out) == (2, 0)
    small.write_text(SMALL.replace("[2, 4]", "[2, 4, 3]"))
    measured.clear()
    assert ran(small, out) == (1, 2)
    assert measured and all(values == [3] for values in measured)


LEARNED = """
datasets: [{name: synthetic, limit: 8, train: {limit: 16}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: bottleneck, lmbda: [0.3, 1], epochs: 1, next_epochs: 1, restore_epochs: 0, start: neighbour, batch_size: 8}
batch: 8
"""


@pytest.mark.parametrize("gone", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_rate_point_is_added_whose_neighbours_cell_is_stored(gone, tmp_path):
    path, out = tmp_path / "sweep.yaml", tmp_path / "out"
    path.write_text(LEARNED.replace("[0.3, 1]", "[0.3]"))
    assert ran(path, out) == (1, 0)
    if gone:
        shutil.rmtree(out / "trainings")
    path.write_text(LEARNED)
    assert ran(path, out) == (1, 1)
    assert ran(path, tmp_path / "whole") == (2, 0)
    assert difference(out, tmp_path / "whole") == []


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_lives(small, tmp_path, capsys):
    out = tmp_path / "out"
    code = (
        "import sys, time; from pathlib import Path; from splitbench.bench.results.store import Store\n"
        "store = Store(Path(sys.argv[1])); store.open()\n"
        "with store.held(): print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:  # noqa: S603
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        assert splitbench("run", small, "--device", "cpu", "--out", out) == 2
        printed = capsys.readouterr().err
        assert f"another run writes to {out} (process {first.pid} on " in printed and "choose another folder" in printed
        assert not (out / "cells.csv").exists()
        os.kill(first.pid, signal.SIGKILL)
    assert list(out.glob("running-*.json"))  # what the dead one left
    assert ran(small, out) == (2, 0)
    assert not list(out.glob("running-*.json"))


def test_a_folder_is_held_once_within_a_process_too(tmp_path):
    store = Store(tmp_path)
    store.open()
    with store.held() as token:
        assert json.loads(token.read_text())["process"] == os.getpid()
        with pytest.raises(UserError, match="another run writes to"), store.held():
            pass
    with store.held():
        pass


def test_one_dataset_by_two_labels_is_measured_once(small, tmp_path):
    out = tmp_path / "out"
    content = yaml.safe_load(SMALL)
    (spec,) = content["datasets"]
    content["datasets"] = [spec | {"label": "one"}, spec | {"label": "two"}]
    small.write_text(yaml.safe_dump(content))
    assert ran(small, out) == (2, 0)
    table = pd.read_csv(out / "cells.csv")
    assert sorted(table["dataset"]) == ["one", "one", "two", "two"] and (table["status"] == "ok").all()
    assert table["key"].nunique() == 2 and table.groupby("key")["accuracy"].nunique().eq(1).all()
    assert sorted(read_table([out])["dataset"]) == ["one", "one", "two", "two"]


def test_what_was_trained_once_has_a_learning_curve_by_each_label(small, tmp_path):
    content = yaml.safe_load(LEARNED)
    (spec,) = content["datasets"]
    content["datasets"] = [spec | {"label": "one"}, spec | {"label": "two"}]
    small.write_text(yaml.safe_dump(content))
    assert ran(small, tmp_path / "out") == (2, 0)
    curves = [path.relative_to(tmp_path / "out" / "learning") for path in tmp_path.rglob("learning/**/*.csv")]
    assert sorted(curve.parts[0] for curve in curves) == ["one", "one", "two", "two"]
