"""Backbones by name: preprocessing equal to its makers', weights from files, faults in a sentence."""

import numpy as np
import pytest
import timm
import timm.data
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Normalize
from splitbench.bench.run.sources import Sources, open_backbone
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec
from splitbench.bench.utils.errors import UserError
from tests.helpers.closeness import NUMBERS, close


def picture(width, height):
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def build(name, weights="none", folder=None, **overrides):
    return registry.build(name, {}, weights, overrides, folder)


def inputs(backbone, image):
    normalize = Normalize(backbone.preprocessing.mean, backbone.preprocessing.std)
    return normalize(backbone.preprocessing.pixels(image)[None])[0]


@pytest.mark.parametrize("size", [(320, 240), (227, 500), (100, 80)])
@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_preprocessing_equals_torchvisions(name, size):
    expected = torchvision.models.get_model_weights(name).DEFAULT.transforms()(picture(*size))
    assert close(inputs(build(f"torchvision/{name}"), picture(*size)), expected, NUMBERS)


@pytest.mark.parametrize("size", [(320, 240), (227, 500)])
@pytest.mark.parametrize("name", ["mobilenetv2_050", "resnet10t", "efficientvit_b0", "mobilevit_xxs"])
def test_preprocessing_equals_timms(name, size):
    model = timm.create_model(name, pretrained=False)
    expected = timm.data.create_transform(**timm.data.resolve_data_config(model=model))(picture(*size))
    assert close(inputs(build(f"timm/{name}"), picture(*size)), expected, NUMBERS)


def test_single_fields_can_be_replaced():
    backbone = build("torchvision/squeezenet1_1", resize=None, crop=64, mean=(0.5, 0.5, 0.5))
    assert backbone.preprocessing.pixels(picture(100, 80)).shape == (3, 64, 64)
    assert backbone.preprocessing.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(("longer", "width"), [("truncated", 336), ("rounded", 337)])
def test_the_longer_side_is_truncated_or_rounded(longer, width):
    backbone = build("torchvision/squeezenet1_1", resize=256, crop=None, longer=longer)
    assert backbone.preprocessing.pixels(picture(500, 380)).shape == (3, 256, width)  # 336.84


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = build("torchvision/squeezenet1_1"), build("torchvision/squeezenet1_1")
    assert first.weights == second.weights
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("half", [False, True])
def test_weights_from_a_file_and_from_a_folder(tmp_path, suffix, half):
    state = torchvision.models.squeezenet1_1().state_dict()
    if half:
        state = {name: value.half() for name, value in state.items()}
    path = tmp_path / f"squeezenet1_1{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, path)
    else:
        save_file(state, path)
    by_path, by_folder = (
        build("torchvision/squeezenet1_1", str(path)),
        build("torchvision/squeezenet1_1", "default", tmp_path),
    )
    assert by_path.weights == by_folder.weights
    weight = dict(by_path.model.named_parameters())["features.0.weight"]
    assert torch.equal(weight, state["features.0.weight"].float())


def test_a_sweep_says_which_of_a_files_state_dicts_is_meant(tmp_path):
    state = torchvision.models.squeezenet1_1().state_dict()
    averaged = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "both.pth")
    sources, dataset = Sources(weights=tmp_path), DatasetSpec(name="imagenet")
    spec = {"name": "torchvision/squeezenet1_1", "splits": ["features.5"]}
    with pytest.raises(UserError, match=r"say which one by `weights: \{file: both.pth, key: state_dict\}`"):
        open_backbone(BackboneSpec(weights="both.pth", **spec), dataset, sources)
    for key, values in (("state_dict", state), ("state_dict_ema", averaged)):
        chosen = BackboneSpec(weights={"file": "both.pth", "key": key}, **spec)
        backbone = open_backbone(chosen, dataset, sources)
        assert torch.equal(dict(backbone.model.named_parameters())["features.0.weight"], values["features.0.weight"])


def test_a_file_that_would_execute_code_is_refused(tmp_path):
    import pickle

    marker = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="holds more than tensors"):
        build("torchvision/squeezenet1_1", str(path))
    torch.save({"a": Bomb()}, path)
    with pytest.raises(UserError, match="holds more than tensors"):
        build("torchvision/squeezenet1_1", str(path))
    assert not marker.exists()


def test_faults_are_told_in_a_sentence(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), other)
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(other.read_bytes()[:1000])
    for weights, sentence in (
        (str(other), "weights of another model than torchvision/squeezenet1_1: .* missing .* unexpected"),
        (str(corrupt), "damaged"),
        (str(tmp_path / "none.pth"), "weights file not found"),
        ("IMAGENET1K_V9", "no weights 'IMAGENET1K_V9': there are IMAGENET1K_V1"),
    ):
        with pytest.raises(UserError, match=sentence):
            build("torchvision/squeezenet1_1", weights)
    for name, sentence in (
        ("torchvision/resnet5", "did you mean resnet50"),
        ("timm/mobilenetv2_10", "did you mean .*mobilenetv2_100"),
        ("resnet50", "names begin with torchvision/, timm/"),
        ("splitbench/small_resnt", "did you mean small_resnet"),
    ):
        with pytest.raises(UserError, match=sentence):
            build(name)
    with pytest.raises(UserError, match="`args` do not fit"):
        registry.build("torchvision/squeezenet1_1", {"depth": 3}, "none", {})


def test_weights_that_cannot_be_downloaded_say_how_to_do_without(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\).*WEIGHTS="):
        build("torchvision/squeezenet1_1", "default")
