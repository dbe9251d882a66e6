"""``splitbench list``: names by patterns, for people and programs, without waiting for torch."""

import json
import subprocess
import sys

import pytest
import timm
import torchvision

from splitbench.bench.backbones import backbone_names
from splitbench.bench.backbones.zoo import NETWORKS
from splitbench.bench.utils.plugins import DATASETS, METHODS
from tests.helpers.command_line import splitbench


def listed(capsys, *words: str) -> list[str]:
    assert splitbench("list", *words) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_backbones_are_those_that_the_libraries_know():
    models = torchvision.models
    known = {f"timm/{name}": "classification" for name in timm.list_models()}
    known |= {f"torchvision/{name}": "classification" for name in models.list_models(module=models)}
    known |= {f"torchvision/{name}": "detection" for name in models.list_models(module=models.detection)}
    bundled = {name: task for name, task in backbone_names.tasks().items() if name.startswith("splitbench/")}
    assert backbone_names.tasks() == known | bundled
    assert bundled.keys() == {f"splitbench/{name}" for name in NETWORKS}


def test_backbones_by_pattern(capsys):
    tiny = listed(capsys, "backbones", "vit_tiny*")
    assert tiny == [f"timm/{name}" for name in timm.list_models("vit_tiny*")] and tiny
    assert listed(capsys, "backbones", "torchvision/resnet18") == ["torchvision/resnet18"]
    detectors = listed(capsys, "backbones", "splitbench/*", "--task", "detection")
    assert detectors == [f"splitbench/{name}" for name in ("fastestdet", "nanodet_m", "small_detector", "yolox_nano")]


def test_methods_and_datasets_by_pattern_and_as_json(capsys):
    assert listed(capsys, "methods", "quantize-*") == [name for name in METHODS.names() if name.startswith("quantize")]
    assert splitbench("list", "methods", "--json") == 0
    for row in json.loads(capsys.readouterr().out):  # read from the sources: the same as what is imported
        method = METHODS.get(row["name"])
        assert row == {
            "name": row["name"],
            "knob": method.knob,
            "tasks": list(method.tasks),
            "summary": method.summary,
        }
    assert splitbench("list", "datasets", "--json") == 0
    assert [(row["name"], row["task"]) for row in json.loads(capsys.readouterr().out)] == [
        (name, DATASETS.get(name).task) for name in DATASETS.names()
    ]


def test_split_points_by_pattern(capsys):
    assert splitbench("list", "splits", "splitbench/small_resnet", "layer[23]", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["crosses"], first["bytes"]) == ("layer2", "48x12x12", 4 * 48 * 12 * 12)
    assert second["name"] == "layer3" and second["macs_head"] > first["macs_head"]


def test_a_pattern_that_nothing_matches(capsys):
    assert splitbench("list", "methods", "quantise*") == 2
    assert capsys.readouterr().err.startswith("error: no method matches 'quantise*'; did you mean quantize-")


@pytest.mark.parametrize("words", ["methods", "datasets", "sweeps", "list backbones vit*", "list methods *"])
def test_lists_do_not_wait_for_torch(words):
    code = (
        f"import sys; sys.argv = ['splitbench', *{words.split()!r}]\n"
        "from splitbench.bench.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'torch', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]" and len(done.stdout.splitlines()) > 4
