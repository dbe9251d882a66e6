"""Weights in files: complete, or as they were before."""

import pytest
import torch
from safetensors.torch import load_file

from splitbench.bench import training
from splitbench.bench.training import TrainingError
from tests.helpers.training_samples import full_disk, network


def test_saved_weights_come_back_and_nothing_else_is_left(tmp_path):
    model = network()
    path = tmp_path / "new" / "weights.safetensors"
    training.save(model, path)
    loaded = load_file(path)
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
    training.save(model, path, float16=True)
    loaded = load_file(path)
    assert loaded["0.weight"].dtype == torch.float16
    assert loaded["1.running_var"].dtype == loaded["0.bias"].dtype == torch.float32
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


def test_a_full_disk_keeps_the_old_file_and_is_reported(tmp_path):
    path = tmp_path / "weights.safetensors"
    training.save(network(), path)
    before = path.read_bytes()
    with (
        full_disk(100),
        pytest.raises(TrainingError, match=r"cannot write .*weights.safetensors \(.*\): make room"),
    ):
        training.save(network(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot write .*: make room"):
        training.save(network(), tmp_path / "file" / "weights.safetensors")
