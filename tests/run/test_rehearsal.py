"""``validate`` prepares what ``run`` would, and lists all that is wrong with a sweep at once."""

import re
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import splitbench

METHODS = """
from pathlib import Path

import torch
from torch import nn

from splitbench.methods import base
from splitbench.methods.base import Deployment, MethodError
from tests.helpers.faulty_codecs import SoundCodec


class Settings(base.Settings):
    top: float = 8.0
    file: str = ""
    channels: int = 0
    images: int = 0
    table: int = 0


class Own:
    summary, version, knob, rates, only_at = "every value", 1, "top", (4.0, 8.0), None
    tasks = ("classification",)
    Settings = Settings

    def needs(self, settings):
        return frozenset({"calibration"} if settings.images else ())

    def deploy(self, settings, context):
        if settings.file:
            Path(settings.file).read_bytes()
        if settings.images and sum(len(cut[0]) for cut in context.calibration()) < settings.images:
            raise MethodError(f"it needs {settings.images} calibration images")
        codec = SoundCodec()
        if settings.channels:
            codec = Convolving(settings.channels)
        if settings.table:
            codec.table = torch.zeros(settings.table)
        return Deployment(context.head, codec, context.tail)


class Convolving(SoundCodec):
    def __init__(self, channels):
        self.channels = channels

    def encode(self, cut):
        return super().encode((nn.Conv2d(self.channels, 1, 1)(cut[0]),))


METHOD = Own()
"""
SWEEP = """
datasets: [{name: synthetic, limit: 4, calibration: {limit: 40}, train: {limit: 40}}]
backbones: [{name: splitbench/small_resnet, splits: [layer2, layer3]}]
methods: [{name: own_methods:METHOD}]
"""
CELL = "synthetic splitbench/small_resnet layer2 own_methods:METHOD"


@pytest.fixture
def here(tmp_path: Path, monkeypatch):
    """The current folder, with the module ``own_methods``."""
    (tmp_path / "own_methods.py").write_text(METHODS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("own_methods", None)


def faults_of(here, capsys, sweep):
    """The faults that validating a sweep ends with, a line each; none where it is sound."""
    (here / "sweep.yaml").write_text(sweep)
    code = splitbench("validate", "sweep.yaml")
    text = capsys.readouterr()
    assert code == (2 if text.err else 0), text
    assert bool(text.err) != bool(text.out), text  # nothing is listed of a sweep with faults
    return [line.removeprefix("error: ") for line in text.err.splitlines()]


def with_settings(settings):
    return SWEEP.replace("own_methods:METHOD", f"'own_methods:METHOD', {settings}")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("file: none.pth", "file=none.pth top=4.0 and 3 more cells: FileNotFoundError: .*'none.pth'.*own_methods.py"),
        ("channels: 7", r"channels=7 top=4.0: RuntimeError: .* channels.*own_methods.py, line \d+\)"),
        ("table: 50", r"table=50 top=4.0 and 3 more cells: the codec holds data that .*: codec.table \(200 bytes\)"),
        ("images: 33", "images=33 top=4.0 and 3 more cells: it needs 33 calibration images"),
    ],
)
def test_what_would_fail_in_a_run_is_found_and_named(here, capsys, settings, reason):
    lines = faults_of(here, capsys, with_settings(settings))
    assert re.match(rf"{CELL} {reason}", lines[0]), lines
    assert len(lines) == (2 if "channels" in settings else 1)  # the message names the channels of each split


def test_what_would_not_fail_passes(here, capsys):
    for settings in ("top: [1.0, 2.0]", "channels: 0", "images: 1", "images: 32"):  # the last needs more than a few
        assert faults_of(here, capsys, with_settings(settings)) == []


def test_all_faults_are_listed_at_once(here, capsys):
    sweep = """
datasets:
  - {name: synthetic, limit: 4}
  - {name: imagenet, root: nowhere}
backbones:
  - {name: splitbench/small_resnet, splits: [layer2, layre3]}
  - {name: splitbench/resnet20, splits: auto, weights: none}
  - {name: splitbench/resnet32, splits: [layer2], weights: none.pth}
methods:
  - {name: raw}
  - {name: 'own_methods:METHOD', file: [none.pth, own_methods.py]}
"""
    lines = faults_of(here, capsys, sweep)
    assert len(lines) == 5, lines
    expected = (
        "splitbench/small_resnet: SmallResNet has no split point 'layre3'",
        "layer2 own_methods:METHOD file=none.pth top=4.0 and 1 more cell: FileNotFoundError",
        "splitbench/resnet20 with synthetic: labels do not match",
        "splitbench/resnet32: weights file not found: none.pth",
        "imagenet: data folder not found: nowhere",
    )
    for sentence in expected:
        assert any(sentence in line for line in lines), sentence


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("learning_rate: .inf", "the recipe's learning_rate is inf; it must be above 0"),
        ("channels: 4", ""),
    ],
)
def test_a_method_that_learns_is_tried_untrained(here, capsys, settings, reason):
    sweep = SWEEP.replace("own_methods:METHOD", f"bottleneck, distortion: distill, lmbda: [1.0], {settings}")
    lines = faults_of(here, capsys, sweep)
    assert [reason in line for line in lines] == [True] * bool(reason), lines
