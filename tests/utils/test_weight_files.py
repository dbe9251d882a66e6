"""Weights files as trainers write them: found where they are, chosen where there are several, never executed."""

import argparse

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from splitbench.bench.utils import weight_files
from splitbench.bench.utils.errors import UserError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2))


def prefixed(prefix):
    return {prefix + key: value for key, value in network().state_dict().items()}


def stored(tmp_path, content, name="weights.pth"):
    path = tmp_path / name
    torch.save(content, path)
    return path


def loads(path, key=""):
    model = network()
    nn.init.zeros_(model[0].weight)
    weight_files.put(model, weight_files.read(path, key), path, "mine")
    return torch.equal(model[0].weight, network()[0].weight)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(1)}}}},
        lambda weights: {"model": weights, "lr_scheduler": {"last_epoch": 3}},
        lambda weights: {
            "model": weights,
            "rng": {"torch": torch.get_rng_state()},
            "scaler": {"scale": torch.tensor(2.0)},
        },
        lambda weights: {"net": weights, "acc": 93.1},
        lambda weights: {"ema": weights},
        lambda weights: {"model_state_dict": weights, "loss": 0.1},
        lambda weights: {"checkpoint": {"model": {"state_dict": weights}}},
    ],
)
def test_the_state_dict_is_found_in_what_trainers_write(tmp_path, wrap):
    assert loads(stored(tmp_path, wrap(network().state_dict())))


@pytest.mark.parametrize("name", ["a.pth", "a.PTH", "a.pt", "a.pth.tar", "a.ckpt", "a.bin", "pytorch_model.BIN"])
def test_common_endings_are_read(tmp_path, name):
    assert loads(stored(tmp_path, network().state_dict(), name))


@pytest.mark.parametrize("name", ["a.safetensors", "a.SafeTensors"])
def test_safetensors_in_any_case(tmp_path, name):
    save_file(network().state_dict(), tmp_path / name)
    assert loads(tmp_path / name)


def test_other_endings_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"weights.txt: expected a weights file ending in .safetensors, .pth"):
        weight_files.read(stored(tmp_path, {}, "weights.txt"))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module."]
)
def test_wrappers_prefixes_are_taken_off(tmp_path, prefix):
    assert loads(stored(tmp_path, {"state_dict": prefixed(prefix)}))


def test_a_compiled_submodule_s_prefix_is_taken_off_where_it_stands(tmp_path):
    inner = {key.replace("0.", "0._orig_mod.", 1): value for key, value in network().state_dict().items()}
    assert loads(stored(tmp_path, inner))


def test_a_prefix_that_the_model_has_itself_stays():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()

    weights = Wrapped().state_dict()
    assert weight_files.without_prefixes(weights, weights) == weights


@pytest.mark.parametrize("names", [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("params", "params_ema")])
def test_of_several_sets_one_must_be_chosen(tmp_path, names):
    other = {key: value + 1 for key, value in network().state_dict().items()}
    path = stored(tmp_path, {names[0]: other, names[1]: network().state_dict()})
    with pytest.raises(UserError, match=rf"holds 2 sets of weights \({', '.join(names)}\): say which one by .*key: "):
        weight_files.read(path)
    assert loads(path, names[1])
    assert not loads(path, names[0])
    with pytest.raises(UserError, match=f"no weights called 'emma': there are {', '.join(names)}"):
        weight_files.read(path, "emma")


def test_a_nested_set_is_chosen_by_its_path(tmp_path):
    path = stored(tmp_path, {"model": {"student": {"a": torch.zeros(1)}, "teacher": {"a": torch.ones(1)}}})
    assert weight_files.read(path, "model.teacher")["a"].item() == 1


@pytest.mark.parametrize(
    ("beside", "named"), [(argparse.Namespace(lr=0.1), "argparse.Namespace"), (np.float64(93.1), "scalar")]
)
def test_what_could_execute_code_is_refused_and_says_how_to_save_anew(tmp_path, beside, named):
    path = stored(tmp_path, {"state_dict": network().state_dict(), "args": beside})
    with pytest.raises(UserError, match=rf"it holds more than tensors \(\S*{named}\). Save its weights alone") as error:
        weight_files.read(path)
    assert "\n" not in str(error.value)


def test_values_that_are_no_tensors_are_named(tmp_path):
    path = stored(tmp_path, {"state_dict": network().state_dict() | {"fc._packed_params.dtype": "qint8"}})
    with pytest.raises(UserError, match=r"1 of its 10 values are none \(fc._packed_params.dtype: str\)"):
        weight_files.read(path)


def test_nan_is_reported_when_weights_are_read(tmp_path):
    weights = network().state_dict()
    weights["0.bias"][1] = torch.nan
    with pytest.raises(UserError, match=r"NaN in 1 of 9 tensors \(0.bias\)"):
        weight_files.read(stored(tmp_path, weights))


def test_a_torchscript_archive_says_what_to_save_instead(tmp_path):
    path = tmp_path / "scripted.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    with pytest.warns(UserWarning, match="TorchScript"), pytest.raises(UserError, match="save the `state_dict\\(\\)`"):
        weight_files.read(path)


def test_a_damaged_file_is_reported(tmp_path):
    path = stored(tmp_path, network().state_dict())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="damaged, or holds more than tensors"):
        weight_files.read(path)
