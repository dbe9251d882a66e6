"""Timm's configurations as preprocessing: every mode of cropping, to the pixel what timm's own transform gives."""

import pytest
import timm.data
import torch
from torch import nn

from splitbench.bench.backbones import timm_config
from splitbench.bench.backbones.preprocessing import Preprocessing
from tests.helpers.photographs import picture


class Configured(nn.Module):
    """A model as timm makes them, with a configuration of its pretrained weights."""

    def __init__(self, **changes):
        super().__init__()
        usual = {"input_size": (3, 64, 64), "crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center"}
        self.pretrained_cfg = usual | {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)} | changes


@pytest.mark.parametrize("size", [(320, 240), (227, 500), (61, 80)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"test_input_size": (3, 80, 80), "test_crop_pct": 1.0},
        {"test_input_size": (3, 80, 80)},
        {"test_crop_pct": 0.93},
        {"input_size": (3, 64, 48), "test_input_size": (3, 96, 72), "test_crop_pct": 0.9},
    ],
)
@pytest.mark.parametrize("resolution", ["test", "train"])
def test_pixels_equal_those_of_timms_transform(size, interpolation, mode, sizes, resolution):
    model = Configured(interpolation=interpolation, crop_mode=mode, **sizes)
    config = timm.data.resolve_model_data_config(model, use_test_size=resolution == "test")
    expected = timm.data.create_transform(**config, normalize=False)(picture(*size))
    preprocessing = timm_config.preprocessing_of(model, {}, resolution)
    assert preprocessing.size == config["input_size"][1:]
    assert torch.equal(preprocessing.pixels(picture(*size)), expected)


def test_an_interpolation_of_the_training_is_replaced_as_timm_does():
    model = Configured(interpolation="random")
    config = timm.data.resolve_model_data_config(model)
    expected = timm.data.create_transform(**config, is_training=True, no_aug=True, normalize=False)
    expected.transforms[0].size = int(64 / 0.875)  # its transform without augmentation does not crop
    assert torch.equal(timm_config.preprocessing_of(model, {}).pixels(picture(90, 90)), expected(picture(90, 90)))


@pytest.mark.parametrize(("given", "size"), [(96, (96, 96)), ((96, 80), (96, 80))])
def test_the_constructors_size_replaces_that_of_the_configuration(given, size):
    model = Configured(test_input_size=(3, 80, 80), test_crop_pct=1.0)
    assert timm_config.preprocessing_of(model, {"img_size": given}).size == size


def test_every_configuration_of_timms_can_be_read():
    names = [name for name in timm.list_models(pretrained=True) if timm.get_pretrained_cfg(name).num_classes == 1000]
    assert len(names) > 1000
    for name in names:
        model = nn.Module()
        model.pretrained_cfg = timm.get_pretrained_cfg(name).to_dict()
        expected = timm.data.resolve_model_data_config(model, use_test_size=True)["input_size"][1:]
        assert timm_config.preprocessing_of(model, {}).size == expected, name


def test_no_size_to_test_at_is_one_that_the_network_cannot_take():
    """Networks of one size say so; none of them names another one for testing."""
    for name in timm.list_models(pretrained=True):
        config = timm.get_pretrained_cfg(name)
        assert not config.fixed_input_size or config.test_input_size in (None, config.input_size), name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "3x224x224, resize 256, bilinear"),
        ({"longer": "rounded"}, "3x224x224, resize 256, longer side rounded, bilinear"),
        ({"resize": None, "crop": 32}, "3x32x32, not resized"),
        ({"resize": (96, 64), "crop": None}, "3x96x64, resize 96x64, bilinear"),
        ({"resize": 64, "crop": None}, "3xHxW, resize 64, bilinear"),
        ({"resize": (96, 64), "crop": (96, 64), "fit": "contain"}, "3x96x64, resize 96x64 (contain), bilinear"),
    ],
)
def test_a_row_says_how_its_input_was_made(fields, said):
    assert str(Preprocessing(**fields)) == said
