"""Methods are found by being there, and one whose package is missing troubles nobody else."""

import subprocess
import sys

import pytest

from splitbench import datasets, methods
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import BUNDLED_METHODS, DATASETS, METHODS
from tests.helpers.command_line import splitbench

WITHOUT = """
import sys
sys.modules |= dict.fromkeys(("compressai", "constriction"))  # as if they were not installed
from splitbench.bench.utils.plugins import METHODS
METHODS.get("quantize-rle"), METHODS.get("raw"), METHODS.get("image")
"""


def test_what_needs_no_training_needs_no_package_of_those_that_do():
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)  # noqa: S603


def test_a_missing_package_is_reported_by_name(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "splitbench.methods.quantize_entropy", raising=False)
    monkeypatch.setitem(sys.modules, "splitbench.methods.coding.entropy.range_coder", None)
    with pytest.raises(UserError, match=r"quantize-entropy needs the package splitbench\.methods\.coding\.entropy"):
        METHODS.get("quantize-entropy")
    assert splitbench("methods") == 0
    printed = {line.partition(" ")[0]: "not here:" in line for line in capsys.readouterr().out.splitlines()}
    assert list(printed) == METHODS.names()
    assert printed["quantize-entropy"] and not printed["quantize-rle"]


def test_an_unknown_method_is_reported_those_that_there_are():
    with pytest.raises(
        UserError, match=r"unknown method 'no' \(there are bottleneck, .*boxes, .*; one of your own is named by"
    ):
        METHODS.get("no")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def deploy(:\n", r"methods/faulty\.py cannot be imported: SyntaxError: .*faulty\.py, line 1"),
        ("import torch\n{}['key']\n", r"methods/faulty\.py cannot be imported: KeyError: 'key' \(faulty\.py, line 2\)"),
        ("import no_such_package\n", "the method faulty needs the package no_such_package: install it"),
        ("method = 1\n", r"methods/faulty\.py has no METHOD"),
        ("class METHOD: pass\n", r"METHOD of methods/faulty\.py is the class METHOD, not an object of it"),
        ("METHOD = 1\n", r"METHOD of methods/faulty\.py lacks Settings, deploy, .* to be a method"),
    ],
)
def test_a_faulty_file_is_reported_in_a_sentence_and_troubles_nobody_else(
    tmp_path, monkeypatch, capsys, source, sentence
):
    (tmp_path / "faulty.py").write_text(source)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    try:
        with pytest.raises(UserError, match=sentence):
            METHODS.get("faulty")
        assert splitbench("methods") == 0
        printed = {line.partition(" ")[0]: "not here:" in line for line in capsys.readouterr().out.splitlines()}
        assert [name for name in printed if printed[name]] == ["faulty"] and set(BUNDLED_METHODS) < set(printed)
        (tmp_path / "other.yaml").write_text(WRONG_TASK)
        assert splitbench("validate", tmp_path / "other.yaml") == 2
        assert "boxes is a method for detection" in capsys.readouterr().err
    finally:
        sys.modules.pop("splitbench.methods.faulty", None)


WRONG_TASK = """
datasets: [{name: synthetic, limit: 4}]
backbones: [{name: splitbench/small_resnet, splits: [layer2]}]
methods: [{name: boxes}]
"""


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("class (:\n", r"datasets/faulty\.py cannot be imported: SyntaxError"),
        ("dataset = 1\n", r"datasets/faulty\.py has no DATASET"),
        ("DATASET = 1\n", r"DATASET of datasets/faulty\.py lacks Options, load, task to be a dataset"),
    ],
)
def test_so_is_a_faulty_dataset(tmp_path, monkeypatch, capsys, source, sentence):
    (tmp_path / "faulty.py").write_text(source)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    try:
        with pytest.raises(UserError, match=sentence):
            DATASETS.get("faulty")
        assert splitbench("datasets") == 0
        printed = capsys.readouterr().out.splitlines()
        assert [line.partition(" ")[0] for line in printed if "not here:" in line] == ["faulty"]
    finally:
        sys.modules.pop("splitbench.datasets.faulty", None)
