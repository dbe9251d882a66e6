"""Backbones by name: preprocessing equal to its makers', weights from files, faults in a sentence."""

import pytest
import timm
import timm.data
import torch
import torchvision
from safetensors.torch import save_file

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.preprocessing import Normalize
from splitbench.bench.run.planning.sources import Sources, open_backbone
from splitbench.bench.sweep.schema import BackboneSpec, DatasetSpec
from splitbench.bench.utils.errors import UserError
from tests.helpers.closeness import NUMBERS, close
from tests.helpers.photographs import picture


def build(name, weights="none", folder=None, **overrides):
    return registry.build(name, {}, weights, overrides, folder=folder)


def inputs(backbone, image):
    normalize = Normalize(backbone.preprocessing.mean, backbone.preprocessing.std)
    return normalize(backbone.preprocessing.pixels(image)[None])[0]


@pytest.mark.parametrize("size", [(320, 240), (227, 500), (100, 80)])
@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_preprocessing_equals_torchvisions(name, size):
    expected = torchvision.models.get_model_weights(name).DEFAULT.transforms()(picture(*size))
    assert close(inputs(build(f"torchvision/{name}"), picture(*size)), expected, NUMBERS)


def test_every_transform_of_torchvisions_classifiers_is_read():
    models = torchvision.models.list_models(module=torchvision.models)
    presets = [weights.transforms() for name in models for weights in torchvision.models.get_model_weights(name)]
    distinct = {str(preset): preset for preset in presets}
    assert len(distinct) > 20
    for preset in distinct.values():
        preprocessing = registry.preprocessing_of(preset)
        normalize = Normalize(preprocessing.mean, preprocessing.std)
        given = normalize(preprocessing.pixels(picture(320, 240))[None])[0]
        assert close(given, preset(picture(320, 240)), NUMBERS), preset


@pytest.mark.parametrize("size", [(320, 240), (227, 500)])
@pytest.mark.parametrize("test_size", [True, False])
@pytest.mark.parametrize("name", ["mobilenetv2_050", "resnet10t", "efficientvit_b0", "mobilevit_xxs", "regnetz_b16"])
def test_preprocessing_equals_timms(name, test_size, size):
    model = timm.create_model(name, pretrained=False)
    config = timm.data.resolve_model_data_config(model, use_test_size=test_size)
    backbone = build(f"timm/{name}", resolution="test" if test_size else "train")
    assert close(inputs(backbone, picture(*size)), timm.data.create_transform(**config)(picture(*size)), NUMBERS)


def test_the_default_is_the_size_that_timms_published_accuracy_is_of():
    """81.24 % top-1 of resnet50.a1_in1k is at 288 (timm's results-imagenet.csv), where 224 was trained at."""
    assert str(build("timm/resnet50.a1_in1k").preprocessing) == "3x288x288, resize 288, bicubic"
    trained = build("timm/resnet50.a1_in1k", resolution="train")
    assert trained.input == "3x224x224, resize 235, bicubic"
    assert trained.recipe == {
        "resize": 235,
        "crop": 224,
        "longer": "truncated",
        "interpolation": "bicubic",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }  # what a cell's key has held since before there was a choice


def test_an_img_size_in_args_takes_the_preprocessing_along():
    backbone = registry.build("timm/vit_tiny_patch16_224", {"img_size": 96}, "none", {})
    assert backbone.pixels(picture(320, 240)).shape == (3, 96, 96)


def test_what_has_one_size_refuses_that_of_the_training():
    with pytest.raises(UserError, match="`resolution: train` is for timm's models"):
        build("torchvision/squeezenet1_1", resolution="train")


def test_single_fields_can_be_replaced():
    backbone = build("torchvision/squeezenet1_1", resize=None, crop=64, mean=(0.5, 0.5, 0.5))
    assert backbone.preprocessing.pixels(picture(100, 80)).shape == (3, 64, 64)
    assert backbone.preprocessing.std == (0.229, 0.224, 0.225)


def test_a_crop_that_is_larger_than_what_it_is_cut_from_is_refused():
    with pytest.raises(UserError, match=r"black border.*\(3x288x288, resize 256, bicubic\): give both"):
        build("timm/resnet50.a1_in1k", resize=256)
    assert build("timm/resnet50.a1_in1k", resize=256, crop=224).input == "3x224x224, resize 256, bicubic"
    padded = build("torchvision/squeezenet1_1", resize=(64, 64), crop=64, fit="contain").preprocessing
    assert padded.pixels(picture(90, 30))[:, 0, 0].tolist() == [124, 116, 104]  # the mean colour


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


def test_faults_are_reported_in_a_sentence(tmp_path):
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
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\).*--weights"):
        build("torchvision/squeezenet1_1", "default")
