"""The verbs that list and make things."""

from pathlib import Path

import pytest

from tests.conftest import write_photographs
from tests.test_run import splitbench


def test_splits_lists_what_crosses(capsys, tmp_path: Path):
    assert splitbench("splits", "torchvision/resnet18", "--plot", tmp_path / "plot.png") == 0
    lines = capsys.readouterr().out.splitlines()
    layer2 = next(line.split() for line in lines if line.startswith("layer2 "))
    assert layer2[1:4] == ["128x28x28", "100352", "401kB"]
    assert any(line.startswith("layer1 ") and line.endswith("larger than the input") for line in lines)
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_splits_tells_the_share_of_zeros_in_photographs(capsys, tmp_path: Path):
    (file,) = write_photographs(tmp_path, 1)
    words = ("--weights", "default", "--image", file)
    assert splitbench("splits", "splitbench/small_resnet", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = [int(line.split("%")[0].split()[-1]) for line in lines[1:]]
    assert all(0 <= share <= 100 for share in shares)
    assert max(shares) > 20  # after a ReLU


@pytest.mark.parametrize("name", ["torchvision/resnet19", "timm/nothing_at_all", "resnet18"])
def test_splits_of_an_unknown_backbone(capsys, name):
    assert splitbench("splits", name) == 2
    assert capsys.readouterr().err.startswith("error: unknown")


def test_support_tells_how_a_backbone_is_cut(capsys):
    assert splitbench("support", "torchvision/squeezenet1_1", "timm/nothing_at_all") == 0
    good, bad = capsys.readouterr().out.splitlines()[1:]
    assert good.split()[1:] == ["fx", "16", "1", "2", "yes", "128", "160", "yes"]
    assert "unknown" in bad


def test_train_embedded_writes_weights_that_load(capsys, tmp_path: Path):
    out = tmp_path / "small.safetensors"
    assert splitbench("train-embedded", "--out", out, "--epochs", 1, "--limit", 60) == 0
    assert "evaluation_top1" in capsys.readouterr().out
    assert splitbench("splits", "splitbench/small_resnet", "--weights", out) == 0
