"""The verbs that list and make things."""

from pathlib import Path

import pytest

from splitbench.bench.backbones.preprocessing import Preprocessing
from splitbench.bench.sweep.schema import AutoSplits, BackboneSpec, DatasetSpec, MethodSpec, Sweep
from splitbench.bench.utils.plugins import DATASETS, METHODS
from tests.helpers.command_line import splitbench
from tests.helpers.photographs import write_photographs


def test_splits_lists_what_crosses(capsys, tmp_path: Path):
    assert splitbench("splits", "torchvision/resnet18", "--plot", tmp_path / "plot.png") == 0
    lines = capsys.readouterr().out.splitlines()
    layer2 = next(line.split() for line in lines if line.startswith("layer2 "))
    assert layer2[1:4] == ["128x28x28", "100352", "401kB"]
    assert any(line.startswith("layer1 ") and line.endswith("larger than the input") for line in lines)
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_splits_says_the_share_of_zeros_in_photographs(capsys, tmp_path: Path):
    (file,) = write_photographs(tmp_path, 1)
    words = ("--weights", "default", "--image", file)
    assert splitbench("splits", "splitbench/small_resnet", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = [int(line.split("%")[0].split()[-1]) for line in lines[1:-1]]
    assert all(0 <= share <= 100 for share in shares)
    assert max(shares) > 20  # after a ReLU


@pytest.mark.parametrize("name", ["torchvision/resnet19", "timm/nothing_at_all", "resnet18"])
def test_splits_of_an_unknown_backbone(capsys, name):
    assert splitbench("splits", name) == 2
    assert capsys.readouterr().err.startswith("error: unknown")


def test_support_says_how_a_backbone_is_cut(capsys):
    assert splitbench("support", "torchvision/squeezenet1_1", "timm/nothing_at_all") == 0
    good, bad = capsys.readouterr().out.splitlines()[1:]
    assert good.split()[1:] == ["fx", "16", "1", "2", "yes", "128", "160", "yes"]
    assert "unknown" in bad


def test_train_synthetic_writes_weights_that_load(capsys, tmp_path: Path):
    out = tmp_path / "small.safetensors"
    assert splitbench("train-synthetic", "--out", out, "--epochs", 1, "--limit", 60) == 0
    assert "evaluation_top1" in capsys.readouterr().out
    assert splitbench("splits", "splitbench/small_resnet", "--weights", out) == 0
    assert splitbench("train-synthetic", "--out", out, "--begin", out) == 2
    assert "--begin is for --network small_detector" in capsys.readouterr().err
    assert splitbench("train-synthetic", "--network", "small_detector", "--begin", tmp_path / "no.safetensors") == 2
    assert "no.safetensors" in capsys.readouterr().err


def test_methods_says_one_methods_settings(capsys):
    assert splitbench("methods", "quantize-rle") == 0
    printed = {
        line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")
    }
    fields = METHODS.get("quantize-rle").Settings.model_fields
    assert list(printed) == list(fields)
    assert printed["range"][1:] == ["image", "|", "calibrated", str(fields["range"].default)]
    assert printed["bits"][1:] == ["number", "at", "least", "1", "and", "at", "most", "8", "no", "default"]
    assert splitbench("methods", "quantise") == 2
    assert "my_package.my_module:METHOD" in capsys.readouterr().err


def test_datasets_are_listed_and_their_options_reported(capsys):
    assert splitbench("datasets") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == DATASETS.names()
    for name in DATASETS.names():
        assert splitbench("datasets", name) == 0
        printed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
        assert printed == list(DATASETS.get(name).Options.model_fields)
    assert splitbench("datasets", "imagenets") == 2


def test_every_key_of_a_sweep_is_reported(capsys):
    assert splitbench("keys") == 0
    printed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    for model in (Sweep, DatasetSpec, BackboneSpec, AutoSplits, MethodSpec, Preprocessing):
        assert set(model.model_fields) <= printed


def test_splits_says_what_the_input_is_and_which_sizes_there_are(capsys):
    assert splitbench("splits", "timm/resnet10t") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "input: 3x224x224, resize 235, bicubic",
        "`preprocessing: {resolution: test}`, the default: 3x224x224, resize 235, bicubic; "
        "`{resolution: train}`: 3x176x176, resize 201, bicubic",
    ]
    trained = ("splits", "timm/resnet10t", "--preprocessing", "{resolution: train}")
    assert splitbench(*trained) == 0
    assert "input: 3x176x176, resize 201, bicubic" in capsys.readouterr().out
    assert splitbench("splits", "splitbench/small_detector") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "input: 3x192x192, resize 192x192, bilinear"


def test_splits_takes_the_size_that_the_model_is_given(capsys):
    assert splitbench("splits", "splitbench/small_resnet") == 0
    assert "16x48x48" in capsys.readouterr().out.splitlines()[1]  # of 96 x 96 pixels
    assert splitbench("splits", "splitbench/small_resnet", "--preprocessing", "{crop: 64}") == 0
    assert "16x32x32" in capsys.readouterr().out.splitlines()[1]
    for wrong, sentence in (("{crops: 64}", "did you mean crop"), ("64", "takes keys"), ("{", "is not YAML")):
        assert splitbench("splits", "splitbench/small_resnet", "--preprocessing", wrong) == 2
        assert sentence in capsys.readouterr().err
