"""Trained methods from sweep to table: what is trained, what stays frozen, what is stored, and what goes wrong."""

import errno
import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.training.methods import MethodTrainer, Trainings
from splitbench.bench.utils import files
from splitbench.bench.utils.progress import Report, Stages
from tests.helpers.closeness import WEIGHTS, close
from tests.helpers.command_line import rows, splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 24, train: {limit: 48}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: quantize-rle, bits: [2]}
  - {name: bottleneck, lmbda: [0.1, 10], epochs: 2, next_epochs: 1, start: neighbour, batch_size: 16, restore_epochs: 1}
  - {name: retrained, lmbda: [1], epochs: 1, batch_size: 16, restore_epochs: 0}
batch: 8
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "learning.yaml"
    path.write_text(SWEEP)
    return path


def planned(path: Path, **changes):
    (item,) = plan_passes(read(path), replace(Sources(), **changes))
    return item


def trainer(pass_, folder: Path, memory: int = 2**28, stages: Stages | None = None) -> MethodTrainer:
    return MethodTrainer(
        inputs=pass_.training_inputs(),
        trainings=Trainings(folder, bundled=False),
        device=torch.device("cpu"),
        memory=memory,
        stages=stages or Stages(),
    )


def test_a_training_is_done_in_parts_of_its_epochs(sweep, tmp_path):
    """Warm-up epochs count, too, and a unit that begins with a neighbour's has fewer."""
    pass_ = planned(sweep)
    reports: list[Report] = []
    first, second, _ = pass_.trainings.values()
    trainer(pass_, tmp_path, stages=Stages(reports.append)).run([first, second])
    done = {
        (report.key, report.text.partition(", ")[2].partition(",")[0]): report.done for report in reports if report.text
    }
    assert done[first.key, "epoch 1/1"] == pytest.approx(1 / 3)  # of restore_epochs
    assert done[first.key, "epoch 1/2"] == pytest.approx(2 / 3)
    assert done[first.key, "epoch 2/2"] == done[second.key, "epoch 1/1"] == pytest.approx(1)


def test_a_run_trains_once_and_says_what_it_cost(sweep, tmp_path, capsys, request):
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--out", out) == 0
    table = {(row["method"], row["value"]): row for row in rows(out)}
    assert {row["status"] for row in table.values()} == {"ok"}
    first, second = table["bottleneck", "0.1"], table["bottleneck", "10"]
    retrained, quantized = table["retrained", "1"], table["quantize-rle", "2"]
    # A tenth of 48 images is held out; the first unit learned for an epoch to restore the cut.
    assert [row["train_images"] for row in (first, second, retrained)] == ["132", "44", "44"]
    assert quantized["train_macs"] == quantized["train_images"] == ""
    assert float(first["train_macs"]) > float(second["train_macs"]) > 0
    per_image = [float(row["train_macs"]) / float(row["train_images"]) for row in (first, retrained)]
    assert per_image[0] < per_image[1]
    assert quantized["switch_device_bytes"] == ""  # one rate point switches to nothing
    assert 0 < float(first["switch_device_bytes"]) < 20_000
    assert float(first["switch_mbps_10"]) == pytest.approx(
        80e-6 * (float(first["switch_device_bytes"]) + float(first["switch_server_bytes"])), rel=1e-5
    )
    assert len(list((out / "learning").rglob("*.csv"))) == 3
    assert len(list((out / "figures").glob("learning_*.png"))) == 2
    capsys.readouterr()

    request.getfixturevalue("no_figures")
    assert splitbench("run", sweep, "--out", out) == 0
    assert "0 cells run, 4 kept" in capsys.readouterr().out
    assert splitbench("run", sweep, "--out", out, "--overwrite", "all") == 0
    text = capsys.readouterr()
    assert "training 1 of" not in text.out + text.err
    again = {(row["method"], row["value"]): row for row in rows(out)}
    same = ("accuracy", "bytes_mean", "train_macs", "storage_device_bytes")
    assert all(again[key][name] == row[name] for key, row in table.items() for name in same)


def test_validate_says_how_many_rate_points_are_trained(sweep, capsys):
    assert splitbench("validate", sweep) == 0
    said = capsys.readouterr().out
    assert "\n3 rate points are trained first: roughly " in said and "bundled" not in said


def test_frozen_stays_frozen_and_retrained_does_not(sweep, tmp_path):
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings")
    before = {name: x.clone() for name, x in here.inputs.backbone.model.state_dict().items()}
    here.run([p.training for p in item.cells if p.training])
    assert not here.failed
    assert all(torch.equal(x, before[name]) for name, x in here.inputs.backbone.model.state_dict().items())

    split = item.splits["layer3"]
    for training in (p.training for p in item.cells if p.training):
        learned = here.learned(training, split)
        frozen = learned.head is split.head
        assert frozen == (training.cell.method == "bottleneck")
        assert frozen == (learned.tail is split.tail)
        changed = [
            name
            for name, x in learned.tail.state_dict().items()
            if not torch.equal(x, split.tail.state_dict()[name]) and x.is_floating_point()
        ]
        assert bool(changed) != frozen


def test_from_scratch_nothing_is_left_of_the_pretrained_weights(sweep, tmp_path):
    sweep.write_text(
        SWEEP.replace("lmbda: [1], epochs: 1", "lmbda: [1], epochs: 1, weights: scratch, learning_rate: 1.0e-9")
    )
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings")
    training = next(p.training for p in item.cells if p.cell.method == "retrained")
    here.run([training])
    split = item.splits["layer3"]
    learned = here.learned(training, split)
    fresh = item.untrained(0).split(
        "layer3", here.inputs.backbone.together([torch.zeros(3, 96, 96, dtype=torch.uint8)])
    )
    for mine, pretrained, untrained in ((learned.head, split.head, fresh.head), (learned.tail, split.tail, fresh.tail)):
        for name, x in mine.named_parameters():
            assert torch.allclose(x, dict(untrained.named_parameters())[name], atol=1e-6), name
            if x.ndim > 1:
                assert not torch.allclose(x, dict(pretrained.named_parameters())[name], atol=1e-3), name


@pytest.mark.usefixtures("no_figures")
def test_a_last_batch_of_one_image_is_left_out(sweep, tmp_path):
    # 18 training images, of which one is held out: a batch of 16 and one of 1, at a cut of 1 x 1.
    text = SWEEP.replace("splits: [layer3]", "splits: [avgpool]").replace("limit: 48", "limit: 18")
    sweep.write_text(text)
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings")
    here.run([p.training for p in item.cells if p.training])
    assert not here.failed


def test_training_lowers_the_loss(sweep, tmp_path):
    text = SWEEP.replace("lmbda: [0.1, 10], epochs: 2", "lmbda: [0.1], epochs: 15")
    sweep.write_text(text.replace("limit: 48", "limit: 96"))
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings")
    bottleneck = next(p for p in item.cells if p.cell.method == "bottleneck")
    here.run([bottleneck.training])
    history = here.trainings.report(bottleneck.training.key)["history"]
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]


@pytest.mark.parametrize("distortion", ["task", "distill"])
@pytest.mark.parametrize("kept", [True, False])
def test_every_way_to_train(sweep, tmp_path, distortion, kept):
    sweep.write_text(SWEEP.replace("epochs: 2,", f"epochs: 1, distortion: {distortion},"))
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings", memory=2**28 if kept else 0)
    here.run([p.training for p in item.cells if p.training])
    assert not here.failed
    # The head of frozen backbones runs for every example once where outputs are kept, and in every step otherwise.
    key = next(p.training.key for p in item.cells if p.training)
    assert here.trainings.report(key)["train_images"] == 2 * 44


@pytest.mark.parametrize("kept", [True, False])
def test_a_new_unit_is_warmed_up(sweep, tmp_path, kept):
    sweep.write_text(
        SWEEP.replace(
            "lmbda: [1], epochs: 1, batch_size: 16, restore_epochs: 0", "lmbda: [1], epochs: 1, batch_size: 4"
        )
    )
    item = planned(sweep)
    here = trainer(item, tmp_path / "trainings", memory=2**28 if kept else 0)
    here.run([p.training for p in item.cells if p.training])
    assert not here.failed
    new, neighbour, whole = (here.trainings.report(p.training.key) for p in item.cells if p.training)
    assert len(new["warm_up"]) == 1
    assert "warm_up" not in neighbour
    assert len(whole["warm_up"]) == 3
    assert whole["warm_up"][-1]["train_distortion"] < 0.9 * whole["warm_up"][0]["train_distortion"]
    assert whole["train_images"] == 4 * 44
    # The warm-up takes no tail, and no head either where its outputs are in memory.
    assert new["train_macs"] < 3 * neighbour["train_macs"]
    assert not list((tmp_path / "trainings").glob("*.checkpoint"))


def test_kept_outputs_train_the_same_unit(sweep, tmp_path):
    item = planned(sweep)
    weights = []
    for memory in (2**28, 0):
        here = trainer(item, tmp_path / f"trainings{memory}", memory)
        here.run([item.cells[1].training])
        weights.append(here.trainings.weights(item.cells[1].training.key))
    for name, x in weights[0].items():
        assert close(x, weights[1][name], WEIGHTS), name


def test_keys_follow_the_training_and_not_the_evaluation(sweep):
    def keys():
        return [p.training.key for p in planned(sweep).cells if p.training]

    first = keys()
    assert len(set(first)) == 3
    for old, new, same in (
        ("limit: 24,", "limit: 20,", [True, True, True]),
        ("limit: 48", "limit: 50", [False, False, False]),
        ("lmbda: [0.1, 10], epochs", "lmbda: [0.2, 10], epochs", [False, False, True]),  # its neighbour is another
        ("lmbda: [0.1, 10], epochs", "lmbda: [0.1, 11], epochs", [True, False, True]),
        ("epochs: 1, batch", "epochs: 2, batch", [True, True, False]),
    ):
        sweep.write_text(SWEEP.replace(old, new))
        assert [a == b for a, b in zip(first, keys(), strict=True)] == same, new


FITTED_AFTERWARDS = """
datasets: [{name: synthetic, limit: 24, train: {limit: 48}, calibration: {limit: 16}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: bottleneck, lmbda: [0.1, 10], coder: [range, context], epochs: 1, next_epochs: 1, start: neighbour}
  - {name: retrained, lmbda: [1], coder: [range, context], epochs: 1, restore_epochs: 0}
batch: 8
"""


@pytest.mark.usefixtures("no_figures")
def test_coders_that_are_fitted_after_training_share_it(sweep, tmp_path, capsys):
    sweep.write_text(FITTED_AFTERWARDS)
    one = planned(sweep)
    trainings = {(p.cell.method, p.cell.value, p.cell.settings.coder): p.training.key for p in one.cells}
    for method, value in (("bottleneck", 0.1), ("bottleneck", 10.0), ("retrained", 1.0)):
        assert trainings[method, value, "range"] == trainings[method, value, "context"]
    assert len({p.key for p in one.cells}) == 6 and len(one.trainings) == len({*trainings.values()}) == 3
    sweep.write_text(FITTED_AFTERWARDS.replace("[range, context]", "range"))
    assert {p.training.key for p in planned(sweep).cells} == {*trainings.values()}
    sweep.write_text(FITTED_AFTERWARDS.replace("[range, context]", "context").replace("limit: 16", "limit: 12"))
    assert {p.training.key for p in planned(sweep).cells} == {*trainings.values()}  # calibration teaches nothing

    sweep.write_text(FITTED_AFTERWARDS)
    assert splitbench("train", sweep, "--out", tmp_path / "out") == 0
    assert "3 rate points trained, 0 kept, 0 failed" in capsys.readouterr().out
    assert splitbench("run", sweep, "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out" / "trainings").glob("*.safetensors"))) == 3
    table = rows(tmp_path / "out")
    assert [row["status"] for row in table] == ["ok"] * 6
    for point in ("0.1", "10", "1"):
        first, second = (row for row in table if row["value"] == point)
        assert first["accuracy"] == second["accuracy"] and first["bytes_mean"] != second["bytes_mean"]
    assert splitbench("run", sweep, "--out", tmp_path / "out") == 0
    assert "0 cells run, 6 kept, 0 failed" in capsys.readouterr().out


PHOTOGRAPHS = """
datasets: [{name: imagenet, root: val, preprocessing: {resize: 64, crop: 64}, train: {root: %s}}]
backbones: [{name: torchvision/squeezenet1_1, weights: none, splits: [features.8]}]
methods: [{name: bottleneck, lmbda: [1]}]
"""


@pytest.mark.parametrize(
    ("folder", "said"),
    [("nowhere", "data folder not found"), ("val", "12 training images are evaluation images")],
)
def test_training_images_that_are_not_there_or_evaluated(sweep, photographs, tmp_path, capsys, folder, said):
    sweep.write_text(PHOTOGRAPHS % folder)
    assert splitbench("run", sweep, "--data", photographs, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


@pytest.mark.usefixtures("no_figures")
def test_images_of_another_dataset_teach_without_labels(sweep, photographs, tmp_path, capsys):
    text = PHOTOGRAPHS.replace("train: {root: %s}", "train: {name: synthetic, limit: 20}")
    sweep.write_text(text.replace("lmbda: [1]", "lmbda: [1], epochs: 1, distortion: [distill, task]"))
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--data", photographs, "--out", out) == 2
    assert "no use for the task's loss: set `distortion: distill`" in capsys.readouterr().err
    sweep.write_text(text.replace("lmbda: [1]", "lmbda: [1], epochs: 1, distortion: distill"))
    assert splitbench("run", sweep, "--data", photographs, "--out", out) == 0
    (row,) = rows(out)
    assert (row["status"], row["train_images"]) == ("ok", "72")  # 18 to restore the cut, three times, then once


@pytest.mark.parametrize("choice", ["fail", "skip"])
def test_an_unreadable_training_image_fails_or_another_stands_for_it(sweep, photographs, tmp_path, choice):
    broken = sorted((photographs / "train" / "images").iterdir())[2]
    broken.write_bytes(b"no image")
    text = (PHOTOGRAPHS % "train").replace("root: val,", f"root: val, unreadable: {choice},")
    sweep.write_text(text.replace("lmbda: [1]", "lmbda: [1], epochs: 1, restore_epochs: 0, batch_size: 4"))
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--data", photographs, "--out", out) == (1 if choice == "fail" else 0)
    (row,) = rows(out)
    if choice == "fail":
        assert broken.name in row["reason"]
    else:
        assert (row["status"], row["train_images"]) == ("ok", "7")


@pytest.mark.usefixtures("no_figures")
def test_a_fine_tuned_backbone_is_a_sweeps_weights(sweep, tmp_path, capsys):
    weights = tmp_path / "tuned.safetensors"
    assert splitbench("fine-tune", sweep, "--out", weights, "--epochs", 2, "--batch-size", 16) == 0
    report = json.loads(weights.with_suffix(".json").read_text())
    assert report["train_images"] == 2 * 44
    assert len(weights.with_suffix(".csv").read_text().splitlines()) == 1 + 2
    before = planned(sweep)
    sweep.write_text(SWEEP.replace("small_resnet, splits", f"small_resnet, weights: {weights}, splits"))
    after = planned(sweep)
    assert after.weights != before.weights
    assert not {p.key for p in after.cells} & {p.key for p in before.cells}

    damaged = tmp_path / "other.checkpoint"
    damaged.write_bytes(b"nothing")
    assert splitbench("fine-tune", sweep, "--out", tmp_path / "other.safetensors") == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_a_diverged_training_fails_its_cells_and_no_others(sweep, tmp_path):
    sweep.write_text(SWEEP.replace("epochs: 2,", "epochs: 2, learning_rate: 1.0e+30,"))
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--out", out) == 1
    table = {(row["method"], row["value"]): row for row in rows(out)}
    assert [row["status"] for row in table.values()] == ["ok", "failed", "failed", "ok"]
    assert "training failed" in table["bottleneck", "0.1"]["reason"]
    assert "begins with failed" in table["bottleneck", "10"]["reason"]


@pytest.mark.usefixtures("no_figures")
def test_a_full_disk_loses_nothing_but_the_writing(sweep, tmp_path, monkeypatch):
    whole = files.write_whole

    def full(path, content):
        if path.suffix == ".safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(files, "write_whole", full)
        assert splitbench("run", sweep, "--out", out) == 1
    assert "No space left on device" in rows(out)[1]["reason"]
    kept = {path.name.partition(".")[0] for path in (out / "trainings").glob("*.checkpoint")}
    assert len(kept) == 2  # the second rate point had nothing to begin with
    assert splitbench("run", sweep, "--out", out) == 0
    assert not list((out / "trainings").glob("*.checkpoint"))


@pytest.mark.usefixtures("no_figures")
def test_weights_of_another_rate_point_are_refused(sweep, tmp_path):
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--out", out) == 0
    keys = [p.training.key for p in planned(sweep).cells if p.training]
    files = [out / "trainings" / f"{key}.safetensors" for key in keys]
    assert "own.head.head.bn1.bias" in load_file(files[2])
    files[0].write_bytes(files[2].read_bytes())
    files[1].write_bytes(b"damaged")
    assert splitbench("run", sweep, "--out", out, "--overwrite", "all") == 1
    table = rows(out)
    assert "another backbone, split or unit" in table[1]["reason"]
    assert "damaged" in table[2]["reason"]
    assert table[3]["status"] == "ok"


@pytest.mark.usefixtures("no_figures")
def test_two_processes_train_what_a_run_then_takes(sweep, tmp_path, capsys):
    out = tmp_path / "out"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    command += [f"--master-port={port}", "-m", "splitbench.bench", "train", str(sweep), "--out", str(out)]
    done = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "3 rate points trained, 0 kept, 0 failed" in done.stdout
    assert splitbench("run", sweep, "--out", out) == 0
    said = capsys.readouterr()
    assert "training 1 of" not in said.out + said.err
    assert [row["train_images"] for row in rows(out)] == ["", "132", "44", "44"]
