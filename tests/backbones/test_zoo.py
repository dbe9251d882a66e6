"""The bundled networks: registered, built by name, and pinned to their versions."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from splitbench.bench.backbones import backbone_names, registry
from splitbench.bench.backbones.backbone_names import BUNDLED
from splitbench.bench.backbones.classifiers import Classifier
from splitbench.bench.backbones.zoo import NETWORKS
from splitbench.bench.run.planning import plan
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from tests.helpers.small_sweep import SMALL

# name: version, parameters, mean and standard deviation of the outputs for fixed weights and a fixed input
COMPUTED = {
    "small_resnet": (1, 445_202, 1.45963, 11.3612),
    "small_detector": (1, 196_674, 0.508076, 0.742394),
    "cifar_resnet": (1, 269_722, 2.49472, 14.6782),
    "resnet20": (1, 269_722, 2.49472, 14.6782),
    "resnet32": (1, 464_154, 28.9177, 265.51),
    "resnet44": (1, 658_586, 727.431, 6157.51),
    "resnet56": (1, 853_018, 9786.85, 84162.6),
    "resnet110": (1, 1_727_962, 3.00406e09, 2.38088e10),
    "yolox_nano": (1, 904_463, 0.400512, 1.05214),
    "nanodet_m": (1, 941_818, 0.503788, 1.2858),
    "fastestdet": (1, 244_490, 0.318549, 0.670389),
}


def filled(model):
    """The same values for all parameters everywhere, small enough for the outputs to stay finite."""
    state = {}
    for number, (name, tensor) in enumerate(model.state_dict().items()):
        wave = torch.sin(torch.arange(tensor.numel()) * 0.7 + number).reshape(tensor.shape)
        if name.endswith("running_var"):
            state[name] = 1 + wave.abs()
        elif tensor.is_floating_point():
            state[name] = wave * math.sqrt(2 / max(1, tensor[0].numel())) if tensor.ndim > 1 else wave * 0.5 + 0.5
        else:
            state[name] = tensor
    model.load_state_dict(state)
    return model.eval()


def outputs(name):
    model = filled(NETWORKS[name].build())
    side = 96 if "resnet" in name else 64
    batch = torch.sin(torch.arange(3 * side * side) * 0.01).reshape(1, 3, side, side)
    with torch.no_grad():
        raw = model.head([model.backbone(batch)]) if name == "small_detector" else model(batch)
    raw = raw.values() if isinstance(raw, dict) else [raw] if isinstance(raw, Tensor) else raw
    values = torch.cat([value.flatten() for value in raw]).double()
    return sum(parameter.numel() for parameter in model.parameters()), values.mean().item(), values.std().item()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_network_computes_changes_with_its_version_only(name):
    """Where this fails, the network computes something else: raise its version, and pin the new numbers here."""
    version, parameters, mean, deviation = COMPUTED[name]
    assert NETWORKS[name].version == version
    result = outputs(name)
    assert result[0] == parameters
    assert result[1:] == pytest.approx((mean, deviation), rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_built_by_name_for_its_task(name):
    backbone = registry.build(f"splitbench/{name}", {}, "none", {})
    assert isinstance(backbone, Classifier) == (BUNDLED[name] == "classification")
    if NETWORKS[name].weights is None:
        with pytest.raises(UserError, match=rf"no {name}\.safetensors or {name}\.pth .*: give `weights: FILE`"):
            registry.build(f"splitbench/{name}", {}, "default", {})


def test_other_depths_are_arguments():
    deep = registry.build("splitbench/cifar_resnet", {"depth": 26, "num_classes": 100}, "none", {})
    assert len(dict(deep.model.named_children())["layer1"]) == 4
    with pytest.raises(UserError, match="expected 6n \\+ 2 layers"):
        registry.build("splitbench/cifar_resnet", {"depth": 21}, "none", {})


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(UserError, match=r"did you mean .*resnet20"):
        backbone_names.check("splitbench/resnet21")
    with pytest.raises(UserError, match=r"there are cifar_resnet, fastestdet, .*resnet20.*, yolox_nano"):
        backbone_names.check("splitbench/xyz")


def test_a_network_for_another_task_is_refused(small):
    small.write_text(SMALL.replace("small_resnet", "yolox_nano"))
    with pytest.raises(
        UserError, match="splitbench/yolox_nano is a network for detection, but the sweep's task is class"
    ):
        read(small)


def test_keys_hold_a_networks_version_from_the_second_on_and_no_digest_of_its_code(small, monkeypatch):
    def planned():
        (item,) = plan.plan_passes(read(small), Sources())
        return item.cells[0]

    first = planned()
    assert not first.ingredients.keys() & {"code", "backbone_version"}
    monkeypatch.setitem(NETWORKS, "small_resnet", replace(NETWORKS["small_resnet"], version=2))
    second = planned()
    assert second.key != first.key
    assert second.ingredients == first.ingredients | {"backbone_version": 2}
