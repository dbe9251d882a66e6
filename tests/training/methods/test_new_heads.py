"""New heads from sweep to table: what is trained in which stage, and what the ledger counts as whose."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.training import TrainingError
from splitbench.bench.training.methods import MethodTrainer, Trainings, rate_point
from splitbench.bench.training.methods.learner import Learner
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods import Context, MethodError
from tests.helpers.command_line import rows, splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 16, train: {limit: 40}}]
backbones: [{name: splitbench/small_resnet, splits: [layer2]}]
methods:
  - {name: raw, dtype: float32}
  - {name: entropic-student, lmbda: [0.1, 10], channels: 4, width: 16, distill_epochs: 2, epochs: 1, batch_size: 12}
  - name: channel-reduction
    channels: [2, 4]
    width: 16
    distill_epochs: 2
    epochs: 1
    batch_size: 12
    train_tail: false
batch: 8
"""

# Of layer2's head on an image of 96 x 96, with 16 channels after the first convolution at 48 x 48, 8 at 24 x 24 and
# 12 x 12: three convolutions of 5 x 5.
CONVOLUTIONS = 3 * 25 * 16 * 48**2 + 16 * 25 * 8 * 24**2 + 8 * 25 * 8 * 12**2
CONVOLUTION_WEIGHTS = 3 * 25 * 16 + 16 * 25 * 8 + 8 * 25 * 8
DIVISIONS = 16 * 16 * 48**2 + 8 * 8 * 24**2 + 8 * 8 * 12**2
DIVISION_WEIGHTS = 16 * 16 + 16 + 2 * (8 * 8 + 8)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "heads.yaml"
    path.write_text(SWEEP)
    return path


def planned(path: Path):
    (item,) = plan_passes(read(path), Sources())
    return item


def trainer(pass_, folder: Path) -> MethodTrainer:
    return MethodTrainer(
        inputs=pass_.training_inputs(),
        trainings=Trainings(folder, bundled=False),
        device=torch.device("cpu"),
        memory=2**28,
    )


@pytest.mark.usefixtures("no_figures")
def test_the_ledger_counts_the_new_head_and_not_the_backbones(sweep, tmp_path):
    assert splitbench("run", sweep, "--out", tmp_path / "out") == 0
    table = {(row["method"], row["value"]): row for row in rows(tmp_path / "out")}
    assert {row["status"] for row in table.values()} == {"ok"}
    whole, student = table["raw", "float32"], table["entropic-student", "0.1"]
    few, more = table["channel-reduction", "2"], table["channel-reduction", "4"]
    assert float(student["macs_head"]) == CONVOLUTIONS + DIVISIONS + 8 * 4 * 12**2
    assert float(few["macs_head"]) == CONVOLUTIONS + 8 * 2 * 12**2
    assert float(more["macs_head"]) == CONVOLUTIONS + 8 * 4 * 12**2
    assert {float(row["macs_encoder"]) for row in (student, few, more)} == {0.0}

    # The decoder to 48 channels at 12 x 12, and what the backbone's tail takes.
    decoder = (9 * 2 * 96 + 96 * 48 + 9 * 48 * 48) * 12**2
    assert float(few["macs_tail"]) == decoder + float(whole["macs_tail"])

    # Convolutions and 1 x 1 of both rate points, a batch norm's four numbers per channel, and the range.
    norms = 4 * (16 + 8 + 8)
    last = [8 * channels + 4 * channels for channels in (2, 4)]
    device = 4 * (2 * (CONVOLUTION_WEIGHTS + norms) + sum(last) + 2)
    assert float(few["storage_device_bytes"]) == device == 2 * float(few["switch_device_bytes"])
    # The tail is the backbone's, and stays where it is at a switch; its decoder is not. The floor, 0, is the same.
    decoders = [9 * c * 96 + 4 * 96 + 96 * 48 + 4 * 48 + 9 * 48 * 48 + 4 * 48 for c in (2, 4)]
    assert float(few["storage_server_bytes"]) == float(whole["storage_server_bytes"]) + 4 * (sum(decoders) + 2 + 1)
    assert float(few["switch_server_bytes"]) == 4 * (sum(decoders) / 2 + 1)

    # The student's device: convolutions, GDN, 1 x 1 and its norm, steps; the rest of it are tables.
    weights = 4 * (CONVOLUTION_WEIGHTS + DIVISION_WEIGHTS + 8 * 4 + 4 * 4 + 4)
    assert 2 * weights < float(student["storage_device_bytes"]) < 2 * weights + 20_000
    assert float(student["storage_server_bytes"]) > 2 * float(whole["storage_server_bytes"])  # a tail per rate point

    assert [float(row["bytes_mean"]) for row in (few, more)] == [2 * 12**2, 4 * 12**2]
    assert [row["cut"] for row in (whole, student, few)] == ["48x12x12", "4x12x12", "2x12x12"]


def test_training_counts_both_stages(sweep, tmp_path):
    item = planned(sweep)
    here = trainer(item, tmp_path)
    training = next(p.training for p in item.cells if p.cell.method == "channel-reduction")
    here.run([training])
    report = here.trainings.report(training.key)
    # Of 40 images 4 are held out: two epochs, then one.
    assert report["train_images"] == 3 * 36
    assert (len(report["warm_up"]), len(report["history"])) == (2, 1)

    first, rest = 3 * 25 * 16 * 48**2, CONVOLUTIONS - 3 * 25 * 16 * 48**2 + 8 * 2 * 12**2
    decoder = (9 * 2 * 96 + 96 * 48 + 9 * 48 * 48) * 12**2
    head, tail = backbones_macs()
    # A gradient costs a pass for the weights and a pass for the input, which the first convolution does not need, nor
    # the decoder's behind a frozen encoder; a frozen tail needs none for its weights.
    distilled = head + tail + (2 * first + 3 * rest) + 3 * decoder + 2 * tail
    tuned = first + rest + 3 * decoder - (9 * 2 * 96) * 12**2 + 2 * tail
    assert report["train_macs"] == 36 * (2 * distilled + tuned)


def backbones_macs():
    """Of the backbone's head and tail at layer2: by hand."""
    conv1, layer1 = 27 * 16 * 48**2, (9 * 16 * 24 + 9 * 24 * 24 + 16 * 24) * 24**2
    layer2 = (9 * 24 * 48 + 9 * 48 * 48 + 24 * 48) * 12**2
    layer3 = (9 * 48 * 96 + 9 * 96 * 96 + 48 * 96) * 6**2
    layer4 = (9 * 96 * 128 + 9 * 128 * 128 + 96 * 128) * 3**2
    return conv1 + layer1 + layer2, layer3 + layer4 + 128 * 18


def test_the_first_stage_trains_the_encoder_and_the_second_only_what_is_behind_it(sweep, tmp_path, monkeypatch):
    sweep.write_text(SWEEP.replace("train_tail: false", "train_tail: true"))
    item = planned(sweep)
    here = trainer(item, tmp_path)
    seen: dict[str, set[str]] = {}
    train = rate_point._train

    def noted(model, *args, **kwargs):
        before = {name: x.clone() for name, x in model.state_dict().items()}
        result = train(model, *args, **kwargs)
        changed = {name for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
        seen.setdefault(type(model).__name__, set()).update(changed)
        return result

    monkeypatch.setattr(rate_point, "_train", noted)
    for method in ("entropic-student", "channel-reduction"):
        seen.clear()
        split = item.splits["layer2"]
        before = {name: x.clone() for name, x in here.inputs.backbone.model.state_dict().items()}
        here.run([next(p.training for p in item.cells if p.cell.method == method)])
        assert not here.failed
        assert all(torch.equal(x, before[name]) for name, x in here.inputs.backbone.model.state_dict().items())
        first, second = seen["HeadDistillation"], seen["Learner"]
        assert {name.split(".")[1] for name in first if name.startswith("new_head")} == {"encoder", "decoder"}
        assert {".".join(name.split(".")[:3]) for name in second} == {
            "own.new_head.decoder",
            *(f"own.tail.{name}" for name in ("layer3", "layer4", "fc")),
        }
        assert any(name.startswith("unit.") for name in first) == (method == "entropic-student")
        learned = here.learned(next(p.training for p in item.cells if p.cell.method == method), split)
        assert learned.head is not split.head and learned.tail is not split.tail


def test_frozen_is_the_tail_that_is_not_trained(sweep, tmp_path):
    item = planned(sweep)
    here = trainer(item, tmp_path)
    training = next(p.training for p in item.cells if p.cell.method == "channel-reduction")
    here.run([training])
    split = item.splits["layer2"]
    learned = here.learned(training, split)
    backbone = {x.data_ptr() for x in split.tail.parameters()}
    assert backbone <= {x.data_ptr() for x in learned.tail.parameters()}
    assert not {x.data_ptr() for x in split.head.parameters()} & {x.data_ptr() for x in learned.head.parameters()}


@pytest.mark.parametrize("from_scratch", [False, True])
def test_without_a_first_stage_all_is_trained_at_once(sweep, tmp_path, monkeypatch, from_scratch):
    sweep.write_text(SWEEP.replace("train_tail: false", "train_tail: true"))
    method: Any = METHODS.get("channel-reduction")
    learn = method.learn
    changes = {"from_scratch": True} if from_scratch else {"warm_up": None}
    monkeypatch.setattr(method, "learn", lambda settings, context: replace(learn(settings, context), **changes))
    item = planned(sweep)
    here = trainer(item, tmp_path)
    training = next(p.training for p in item.cells if p.cell.method == "channel-reduction")
    here.run([training])
    assert not here.failed and "warm_up" not in here.trainings.report(training.key)
    weights = here.trainings.weights(training.key)
    untrained = learn(training.cell.settings, Context(None, None, item.splits["layer2"].specs, image=(3, 96, 96)))
    for name, x in untrained.new_head.named_parameters():
        assert not torch.equal(weights[f"own.new_head.{name}"], x), name
    last = "own.tail.fc.weight"
    pretrained = here.inputs.backbone.model.state_dict()["fc.weight"]
    assert last in weights and not torch.equal(weights[last], pretrained)
    assert torch.allclose(weights[last], pretrained, atol=0.05) != from_scratch


@pytest.mark.parametrize("killed_in", ["HeadDistillation", "Learner"])
def test_a_killed_training_goes_on_in_its_stage_and_ends_in_the_same_weights(sweep, tmp_path, monkeypatch, killed_in):
    sweep.write_text(SWEEP.replace(" epochs: 1,", " epochs: 2,"))
    item = planned(sweep)
    training = next(p.training for p in item.cells if p.cell.method == "entropic-student")
    uncut = trainer(item, tmp_path / "uncut")
    uncut.run([training])

    train = rate_point._train
    epochs = []

    def killed(model, *args, **kwargs):
        def after_epoch(measures):
            epochs.append(type(model).__name__)
            if type(model).__name__ == killed_in:
                raise TrainingError("killed")

        return train(model, *args, **kwargs | {"on_epoch": after_epoch})

    with monkeypatch.context() as patch:
        patch.setattr(rate_point, "_train", killed)
        cut = trainer(item, tmp_path / "cut")
        cut.run([training])
    assert training.key in cut.failed and epochs.count(killed_in) == 1
    again = trainer(item, tmp_path / "cut")
    again.run([training])
    expected, weights = (one.trainings.weights(training.key) for one in (uncut, again))
    assert expected.keys() == weights.keys() and all(torch.equal(x, weights[name]) for name, x in expected.items())
    assert not list((tmp_path / "cut").glob("*.checkpoint"))
    shutil.rmtree(tmp_path / "cut")


def test_the_second_stage_decodes_by_the_range_that_is_deployed(sweep, tmp_path, monkeypatch):
    item = planned(sweep)
    here = trainer(item, tmp_path)
    ranges = []
    train = rate_point._train

    def noted(model, *args, **kwargs):
        ranges.append(float(model.unit.greatest))
        return train(model, *args, **kwargs)

    monkeypatch.setattr(rate_point, "_train", noted)
    training = next(p.training for p in item.cells if p.cell.method == "channel-reduction")
    here.run([training])
    assert ranges == [0, float(here.trainings.weights(training.key)["unit.greatest"])]


def test_what_fails_in_the_second_stage_fails_before_the_first(sweep, tmp_path, monkeypatch):
    def refuse(self, *args):
        raise MethodError("not by this loss")

    monkeypatch.setattr(Learner, "_measure", refuse)
    monkeypatch.setattr(rate_point, "_train", lambda *args, **kwargs: pytest.fail("it was trained"))
    item = planned(sweep)
    here = trainer(item, tmp_path)
    training = next(p.training for p in item.cells if p.cell.method == "channel-reduction")
    here.run([training])
    assert here.failed[training.key].reason == "not by this loss"


DETECTION = """
task: detection
datasets: [{name: synthetic-detection, limit: 3, train: {limit: 12}}]
backbones: [{name: splitbench/small_detector, splits: [backbone.body.layer2]}]
methods:
  - {name: entropic-student, lmbda: 1, channels: 4, width: 8, distill_epochs: 1, epochs: 1, distortion: [task, distill]}
  - {name: channel-reduction, channels: [2], width: 8, distill_epochs: 1, epochs: 1, half: true}
batch: 2
"""


@pytest.mark.usefixtures("no_figures")
def test_detectors_are_cut_likewise(sweep, tmp_path):
    sweep.write_text(DETECTION)
    assert splitbench("run", sweep, "--out", tmp_path / "out") == 0
    table = rows(tmp_path / "out")
    assert [row["status"] for row in table] == ["ok"] * 3, [row["reason"] for row in table]
    few = table[-1]
    assert float(few["bytes_mean"]) == 2 * 24**2 + 4  # and the image's size
    # Kernels and GDN's matrices are rounded: 2 bytes each.
    assert float(few["storage_device_packed_bytes"]) < 0.7 * float(few["storage_device_bytes"])


def test_validation_tries_them_untrained_with_every_coder(sweep, capsys):
    text = SWEEP.replace("train: {limit: 40}", "train: {limit: 40}, calibration: {limit: 4}")
    sweep.write_text(text.replace("lmbda: [0.1, 10]", "lmbda: [1], coder: [range, huffman, context, mixing]"))
    assert splitbench("validate", sweep) == 0
    # One for range, context and mixing, one for huffman, and two for channels.
    assert "\n4 rate points are trained first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("input", "inside the network, which this is not"),
        ("output", "inside the network, which this is not"),
        ("layer3.conv1", "a new head makes one tensor"),
    ],
)
def test_where_no_head_can_be_replaced_a_sentence_says_so(sweep, tmp_path, capsys, split, said):
    sweep.write_text(SWEEP.replace("[layer2]", f"[{split}]"))
    assert splitbench("validate", sweep) != 0
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
