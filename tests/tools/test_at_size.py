"""The stand-in for ImageNet, and what each stage takes on it."""

import os
import subprocess
import sys
from typing import Any

from splitbench.bench.backbones import registry
from splitbench.bench.tools.scaling.stand_in import make_stand_in
from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import fingerprint


def test_the_stand_in_is_an_imagenet_of_different_files(tmp_path):
    root = make_stand_in(tmp_path, 1100)
    kind: Any = DATASETS.get("imagenet")
    train, evaluation = (kind.load(kind.Options(root=root), subset) for subset in ("train", "evaluation"))
    assert (len(train), len(evaluation), train.classes) == (1100, 1000, 1000)
    assert train.global_ids and evaluation.global_ids and {*evaluation.labels} == {*range(1000)}
    contents = [dataset.content(index) for dataset in (train, evaluation) for index in range(0, len(dataset), 10)]
    assert len({*contents}) == len(contents) == 210 and train.image(7).size == (8, 8)
    before = fingerprint(evaluation)
    assert fingerprint(kind.load(kind.Options(root=make_stand_in(tmp_path, 1100)), "evaluation")) == before


def test_each_stage_is_a_process_whose_costs_are_measured(tmp_path, monkeypatch):
    (tmp_path / "waste.py").write_text(
        "import os, sys, time\nassert os.environ['SPLITBENCH_TRUST'] == 'splitbench'\n"
        "held = bytearray(int(sys.argv[1]) << 20)\nwhile time.process_time() < 1: pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    code = (
        "from splitbench.bench.tools.scaling import at_size; print(*at_size._cost('a stage', 'waste', '300'), sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    stage, seconds, core_seconds, memory = done.stdout.strip().split(",")
    assert stage == "a stage" and 1 <= float(core_seconds) < 2 and float(seconds) >= 1
    assert 300 < float(memory) < 400


def test_the_network_is_small(monkeypatch):
    monkeypatch.setenv("SPLITBENCH_TRUST", "splitbench")  # as at_size does: where it is installed may be anywhere
    backbone = registry.build("splitbench.bench.tools.scaling.small_network:SmallNetwork", {}, "none", {})
    assert sum(x.numel() for x in backbone.model.parameters()) < 10_000
