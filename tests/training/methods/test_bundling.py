"""Bundling trained rate points."""

import json

import pytest
import torch
from safetensors.torch import save_file

from splitbench.bench.training.methods import bundled


def test_what_was_bundled_stays_where_the_new_ones_cannot_be_packed(tmp_path, monkeypatch):
    folder, run = tmp_path / "bundled", tmp_path / "run"
    folder.mkdir()
    (run / "trainings").mkdir(parents=True)
    monkeypatch.setattr(bundled, "FOLDER", folder)
    (folder / f"old{bundled.SUFFIX}").write_bytes(b"old")
    weights = {"w": torch.rand(3, 3).half(), "b": torch.rand(3)}
    save_file(weights, run / "trainings" / "new.safetensors")
    report = {"ingredients": {"backbone": "splitbench/small_resnet"}, "neighbour": "of another run"}
    (run / "trainings" / "new.json").write_text(json.dumps(report))
    with pytest.raises(KeyError):
        bundled.bundle([run])
    assert bundled.keys() == {"old"}
    (run / "trainings" / "new.json").write_text(json.dumps(report | {"neighbour": None}))
    bundled.bundle([run])
    assert bundled.keys() == {"new"}
    read = bundled.read(folder / f"new{bundled.SUFFIX}")
    assert all(torch.equal(x, read[name]) for name, x in weights.items())
