"""Renamed words: the old ones work, and a line names the new one."""

import subprocess
import sys

import pytest

from splitbench.bench.sweep.reading import read
from splitbench.bench.sweep.renamed import RENAMED, RenamedWarning, current
from splitbench.bench.utils.errors import UserError
from tests.helpers.command_line import splitbench

OLD = "splitbench.bench.models.cifar_resnet:resnet20"
SWEEP = """
datasets: [{{name: cifar10}}]
backbones: [{{name: "{name}", weights: none, splits: [layer2]}}]
methods: [{{name: raw}}]
"""


def test_a_word_that_is_current_is_left_alone(recwarn):
    assert current("backbone", "splitbench/resnet20") == "splitbench/resnet20"
    assert not recwarn


def test_no_word_leads_to_another_old_one():
    for words in RENAMED.values():
        assert not words.keys() & {*words.values()}


def test_a_sweep_with_an_old_backbones_name_means_the_new_one(tmp_path):
    (tmp_path / "old.yaml").write_text(SWEEP.format(name=OLD))
    (tmp_path / "new.yaml").write_text(SWEEP.format(name="splitbench/resnet20"))
    with pytest.warns(RenamedWarning, match="is called splitbench/resnet20 now"):
        assert read(tmp_path / "old.yaml") == read(tmp_path / "new.yaml")


DATASETS = """
datasets: [{{name: {synthetic}, calibration: {{name: {synthetic}, limit: 3}}, train: {{limit: 2}}}}]
backbones: [{{name: splitbench/small_resnet, splits: [layer2]}}]
methods: [{{name: raw}}]
"""


def test_a_dataset_is_known_by_its_old_name_wherever_a_sweep_names_one(tmp_path):
    (tmp_path / "old.yaml").write_text(DATASETS.format(synthetic="embedded"))
    (tmp_path / "new.yaml").write_text(DATASETS.format(synthetic="synthetic"))
    with pytest.warns(RenamedWarning, match="dataset embedded is called synthetic now"):
        assert read(tmp_path / "old.yaml") == read(tmp_path / "new.yaml")


SETTINGS = """
datasets: [{{name: synthetic}}]
backbones: [{{name: splitbench/small_resnet, splits: [layer2]}}]
methods: [{{name: {method}, {settings}}}]
"""


def test_a_setting_has_its_old_name_too(tmp_path):
    (tmp_path / "old.yaml").write_text(SETTINGS.format(method="retrained", settings="share: [0.02, 0.1]"))
    (tmp_path / "new.yaml").write_text(SETTINGS.format(method="retrained", settings="backbone_lr_scale: [0.02, 0.1]"))
    with pytest.warns(RenamedWarning, match="setting of retrained share is called backbone_lr_scale now"):
        assert read(tmp_path / "old.yaml") == read(tmp_path / "new.yaml")


def test_an_old_setting_is_refused_beside_the_new_one_and_in_other_methods(tmp_path):
    for method, settings, sentence in (
        (
            "retrained",
            "share: 0.1, backbone_lr_scale: 0.1",
            "share is called backbone_lr_scale now, and both",
        ),
        ("bottleneck", "share: 0.1", "share: unknown key"),
    ):
        (tmp_path / "own.yaml").write_text(SETTINGS.format(method=method, settings=settings))
        with pytest.raises(UserError, match=sentence):
            read(tmp_path / "own.yaml")


def test_commands_and_names_on_the_command_line_have_their_old_names_too(capsys):
    with pytest.warns(RenamedWarning, match="dataset embedded-detection is called synthetic-detection now"):
        assert splitbench("datasets", "embedded-detection") == 0
    assert "synthetic-detection: for detection" in capsys.readouterr().out
    with pytest.warns(RenamedWarning, match="command train-embedded is called train-synthetic now"):
        assert splitbench("train-embedded", "--begin", "none.safetensors") == 2
    assert "--begin is for --network small_detector" in capsys.readouterr().err


def test_the_command_line_says_it_in_one_line(tmp_path):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "splitbench.bench", "splits", OLD], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr
        == f"note: backbone {OLD} is called splitbench/resnet20 now; the old name works in this version only\n"
    )
    assert "layer2" in done.stdout
