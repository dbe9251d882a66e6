"""Weights of torchvision's detectors from files: the model is the one that torchvision makes with its own weights."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models import WeightsEnum, get_model, get_model_weights
from torchvision.ops.misc import FrozenBatchNorm2d

from splitbench.bench.backbones import registry
from splitbench.bench.split import same
from splitbench.bench.utils.errors import UserError

FAST = ("fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")
SLOW = (
    *("fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn", "retinanet_resnet50_fpn"),
    *("retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"),
)
SMALL = "ssdlite320_mobilenet_v3_large"


@pytest.fixture
def hub(monkeypatch):
    """torchvision gets its weights from a dict in memory instead of the hub."""
    state: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, *_, **__: dict(state))
    return state


def made_up(name):
    """A state dict of random numbers, statistics of norms included; some variances are tiny."""
    generator = torch.Generator().manual_seed(0)
    state = get_model(name, weights=None, weights_backbone=None).state_dict()
    for key, value in state.items():
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) * 1e-3 + 1e-6)
        elif key.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator) * 1e-2)
    return state


def old_names(state):
    """As the files of 2019 have it: the names of before torchvision 0.14."""
    return {
        key.replace("head.conv.0.0.", "head.conv.").replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        if key.startswith(("rpn.head.conv.", "backbone.fpn."))
        else key: value
        for key, value in state.items()
    }


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
@torch.no_grad()
def test_a_file_makes_the_model_that_the_hub_makes(name, hub, tmp_path):
    hub.update(made_up(name))
    theirs = get_model(name, weights="COCO_V1").eval()
    state = theirs.state_dict()  # what the hub's file holds: of frozen norms no count of batches
    file = tmp_path / get_model_weights(name)["COCO_V1"].url.rpartition("/")[2]
    torch.save(old_names(state) if name in FAST else state, file)
    assert name != FAST[0] or set(old_names(state)) != set(state)
    ours = registry.build(f"torchvision/{name}", {}, "COCO_V1", {}, folder=tmp_path).model

    assert same(ours.state_dict(), state)
    norms = [
        [(key, type(module), module.eps) for key, module in model.named_modules() if isinstance(module, NORMS)]
        for model in (ours, theirs)
    ]
    assert norms[0] == norms[1] and (norms[0] or name == "ssd300_vgg16")
    image = torch.ones(1, 3, *[300 if name == "ssd300_vgg16" else 64] * 2)
    assert same(ours.backbone(image), theirs.backbone(image))


NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def test_weights_of_ones_own_keep_the_norms_that_they_were_trained_with(tmp_path):
    """A detector with trained norms, and one of other classes with frozen ones."""
    args = {"num_classes": 4}
    for weights, kind in ((None, nn.BatchNorm2d), ("frozen", FrozenBatchNorm2d)):
        state = get_model(FAST[1], weights=None, weights_backbone=None, **args).state_dict()
        if weights:
            state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
        for prefix in ("", "module."):  # as it is, and out of DataParallel
            save_file({prefix + key: value for key, value in state.items()}, tmp_path / "mine.safetensors")
            model = registry.build(f"torchvision/{FAST[1]}", args, "mine.safetensors", {}, folder=tmp_path).model
            norms = [module for module in model.modules() if isinstance(module, NORMS)]
            assert {type(norm) for norm in norms} == {kind} and {norm.eps for norm in norms} == {1e-5}
            assert model.categories == (1, 2, 3)


def test_a_folder_serves_weights_by_name(tmp_path):
    """As the sweeps that ship name them: a file that is called as the model is, or as the hub calls it."""
    state = get_model(SMALL, weights=None, weights_backbone=None).state_dict()
    save_file(state, tmp_path / f"{SMALL}.safetensors")
    build = {w: registry.build(f"torchvision/{SMALL}", {}, w, {}, folder=tmp_path) for w in ("COCO_V1", "default")}
    assert build["COCO_V1"].weights == build["default"].weights
    changed = {key: value + 1 for key, value in state.items()}
    torch.save(changed, tmp_path / get_model_weights(SMALL)["COCO_V1"].url.rpartition("/")[2])
    named, default = (
        registry.build(f"torchvision/{SMALL}", {}, w, {}, folder=tmp_path) for w in ("COCO_V1", "default")
    )
    assert default.weights == build["default"].weights != named.weights
    with pytest.raises(UserError, match="no weights 'COCO_V9': there are COCO_V1"):
        registry.build(f"torchvision/{SMALL}", {}, "COCO_V9", {}, folder=tmp_path)
    with pytest.raises(UserError, match="weights folder not found"):
        registry.build(f"torchvision/{SMALL}", {}, "COCO_V1", {}, folder=tmp_path / "nowhere")


@pytest.mark.parametrize(
    "fault", [OSError("no route to host"), RuntimeError('invalid hash value (expected "a79551df"'), OSError()]
)
def test_weights_that_cannot_be_downloaded_are_reported_with_what_to_do(monkeypatch, fault):
    def offline(*_, **__):
        raise fault

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    printed = (
        r"could not be downloaded \((no route|invalid hash|OSError).*put ssdlite320_mobilenet_v3_large_coco-\w+\.pth"
    )
    with pytest.raises(
        UserError, match=printed + r" or ssdlite.*\.safetensors or .* into a folder and give it by --weights"
    ):
        registry.build(f"torchvision/{SMALL}", {}, "COCO_V1", {})


def test_weights_of_another_detector_are_refused(tmp_path):
    file = tmp_path / "other.safetensors"
    save_file(get_model(SMALL, weights=None, weights_backbone=None, num_classes=5).state_dict(), file)
    with pytest.raises(UserError, match=r"of another model than torchvision/ssdlite.*of another shape \(head\.class"):
        registry.build(f"torchvision/{SMALL}", {}, str(file), {})
    state = old_names(get_model(FAST[1], weights=None, weights_backbone=None).state_dict())
    state["backbone.fpn.inner_blocks.0.weight"] = torch.zeros(3, 3, 1, 1)
    torch.save(state, tmp_path / "old.pth")
    with pytest.raises(
        UserError, match=r"of another model than torchvision/fasterrcnn.*size mismatch for backbone\.fpn"
    ):
        registry.build(f"torchvision/{FAST[1]}", {}, "old.pth", {}, folder=tmp_path)


def test_the_preprocessing_is_that_of_the_weights_which_a_file_stands_for(tmp_path):
    save_file(torchvision.models.mobilenet_v2(weights=None).state_dict(), tmp_path / "mobilenet_v2.safetensors")
    first, second = (
        registry.build("torchvision/mobilenet_v2", {}, weights, {}, folder=tmp_path).recipe
        for weights in ("IMAGENET1K_V1", "IMAGENET1K_V2")
    )
    assert first["resize"] == 256 and second["resize"] == 232
