"""The bundled trainings are those that the synthetic sweeps ask for, and all together are small."""

import pytest
import yaml

from splitbench.bench.backbones.zoo import WEIGHTS
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import read
from splitbench.bench.training.methods import bundled
from splitbench.bench.training.methods.trainings import Trainings
from splitbench.methods.coding.context import context_tables
from tests.helpers.command_line import splitbench

MOST = 12_000_000
TRAINED = ("classification", "detection")


def trainings(name):
    return [p.training for item in plan_passes(read(SWEEPS.get(name)), Sources()) for p in item.cells if p.training]


@pytest.mark.parametrize("name", TRAINED)
def test_every_rate_point_of_the_synthetic_sweeps_is_bundled(name, tmp_path):
    store = Trainings(tmp_path)
    needed = trainings(name)
    assert len(needed) >= 2 * 2 * 4  # two methods at two splits and four rate points
    missing = [str(item.cell) for item in needed if not store.has(item.key)]
    assert not missing, "train them anew: see CONTRIBUTING.md, Bundled weights"
    for item in needed:
        report = store.report(item.key)
        assert report["ingredients"] == item.ingredients
        assert report["train_images"] > 0 and report["train_macs"] > 0 and report["train_seconds"] > 0


def test_a_coder_that_is_fitted_after_training_takes_the_bundled_weights(tmp_path):
    text = SWEEPS.get("classification").read_text()
    fitted = tmp_path / "fitted.yaml"
    fitted.write_text(text.replace("stride: 1,", "stride: 1, coder: context,"))
    found = [p for one in plan_passes(read(fitted), Sources()) for p in one.cells if p.training]
    assert all("coder=context" in p.cell.variant for p in found)
    assert {p.training.key for p in found} == {one.key for one in trainings("classification")}
    assert all(p.ingredients["revision"] == context_tables.REVISION for p in found)
    assert not any("revision" in p.training.ingredients for p in found)


def test_nothing_else_is_bundled():
    needed = {item.key for name in TRAINED for item in trainings(name)}
    assert bundled.keys() == needed == {path.stem for path in bundled.FOLDER.glob("*.json")}
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors*")) < MOST


@pytest.fixture
def without_bundled(monkeypatch, tmp_path):
    """What is installed from wheels without ``splitbench-trained``."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "trained")


def test_what_is_not_installed_is_missed_by_their_backbones_alone(without_bundled):
    assert "splitbench-trained" in bundled.missing_note(["torchvision/resnet18", "splitbench/small_resnet"])
    assert bundled.missing_note(["torchvision/resnet18", "splitbench/resnet20"]) is None


def test_nothing_is_missed_in_a_clone():
    assert bundled.missing_note(["splitbench/small_resnet"]) is None


@pytest.mark.parametrize(("method", "said"), [("bottleneck", True), ("quantize-rle", False)])
def test_a_run_says_that_it_trains_what_is_not_installed(method, said, without_bundled, no_figures, tmp_path, capsys):
    knob = {"bottleneck": {"lmbda": 1, "epochs": 1, "restore_epochs": 0}, "quantize-rle": {"bits": 2}}[method]
    sweep = {
        "datasets": [{"name": "synthetic", "limit": 8, "train": {"limit": 16}}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer3"]}],
        "methods": [{"name": method} | knob],
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep))
    for command in (("validate", file), ("run", file, "--out", tmp_path / "out")):
        assert splitbench(*command) == 0
        printed = capsys.readouterr()
        assert ("splitbench-trained" in printed.out + printed.err) is said
