"""Files from strangers: none executes anything, and none has a run write outside of its folder."""

import json
import pickle

import numpy as np
import pytest
import torch

from splitbench.bench.backbones import user_models
from splitbench.bench.evaluation import Shard, ShardError
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils import weight_files
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import DataError
from splitbench.datasets.formats import coco_json


def test_a_sweep_file_constructs_nothing(tmp_path, harm):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"datasets: !!python/object/apply:pathlib.Path.touch [[{harm.file}]]\n")
    with pytest.raises(UserError, match="is not YAML"):
        read(path)


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "builtins:exec", "torch.hub:load", "numpy:load"])
def test_a_sweep_file_calls_no_code_that_is_installed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"lies outside of the current folder.*SPLITBENCH_TRUST=|is no|has no"):
        user_models.find(name)


def test_a_name_passed_on_by_ones_own_module_is_not_called_either(tmp_path, monkeypatch):
    (tmp_path / "passed_on.py").write_text("from os import system\nfrom torchvision.models import resnet18\n")
    monkeypatch.chdir(tmp_path)
    for name in ("system", "resnet18"):
        with pytest.raises(UserError, match="lies outside of the current folder"):
            user_models.find(f"passed_on:{name}")
    monkeypatch.setenv("SPLITBENCH_TRUST", "other torchvision")
    assert user_models.find("passed_on:resnet18").__name__ == "resnet18"


def test_weights_execute_nothing(tmp_path, harm):
    path = tmp_path / "weights.pth"
    torch.save({"layer.weight": harm}, path)
    with pytest.raises(UserError, match="holds more than tensors"):
        weight_files.read(path)


def test_shards_and_records_execute_nothing(tmp_path, harm):
    path = tmp_path / "records" / "0a.npz"
    path.parent.mkdir()
    np.savez(path, about=np.array([harm], object), bytes=np.array([harm], object), allow_pickle=True)
    with pytest.raises(ShardError):
        Shard.from_bytes(path.read_bytes())
    with pytest.raises(ShardError):
        Shard.from_bytes(pickle.dumps(harm))
    with np.load(path, allow_pickle=False) as content, pytest.raises(ValueError, match="allow_pickle"):
        content["bytes"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"images": 3}', b'{"a": ' * 2000, b"\x80\x04."])
def test_annotations_of_any_content_are_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "annotations.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        coco_json.read(path)


def test_labels_in_a_sweep_write_nowhere_else(tmp_path):
    inside = tmp_path / "a" / "b" / "results"
    path = tmp_path / "sweep.yaml"
    path.write_text(
        json.dumps(
            {
                "datasets": [{"name": "synthetic", "label": "../../../x", "limit": 4, "train": {"limit": 16}}],
                "backbones": [{"name": "splitbench/small_resnet", "label": "/../y/../..", "splits": ["layer3"]}],
                "methods": [{"name": "bottleneck", "lmbda": [1], "epochs": 1, "restore_epochs": 0, "batch_size": 8}],
            }
        )
    )
    before = set(tmp_path.rglob("*"))
    assert runner.run(read(path), Sources(), Store(inside)).failed == ()
    written = {item for item in set(tmp_path.rglob("*")) - before if item.is_file()}
    assert written and all(item.resolve().is_relative_to(inside) for item in written)
