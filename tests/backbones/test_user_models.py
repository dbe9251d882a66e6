"""Backbones by import path: from the current folder, their preprocessing, weights and keys, faults in a sentence."""

import sys
from importlib import import_module

import pytest
import torch
from safetensors.torch import save_file

from splitbench.bench.backbones import registry, user_models
from splitbench.bench.run.planning import plan
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep import auto_splits, reading
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import user_code
from tests.helpers.command_line import rows, splitbench

SOURCE = """
from torch import nn

from own_layers import stem  # beside this file

PICTURES = {"resize": None, "crop": 16, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
trained = nn.Linear(2, 2)
number = 3


class Tiny(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = stem()
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))


def tiny(classes=10):
    model = Tiny(classes)
    model.preprocessing = PICTURES
    return model


def odd(preprocessing):
    model = Tiny()
    model.preprocessing = preprocessing
    return model


def nothing():
    return [Tiny()]


def broken():
    return {}["layers"]


class Halfway(nn.Module):
    categories = (1,)

    def detections(self, raw, sizes):
        return []


class Finder(Halfway):
    def prepare(self, image):
        return image.float()
"""
LAYERS = """
from torch import nn


def stem():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU())
"""
FIELDS = {"resize": None, "crop": 32, "mean": (0.1, 0.2, 0.3), "std": (1, 1, 1)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the module ``own.models`` in it; what is imported of it is forgotten afterwards."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "models.py").write_text(SOURCE)
    (tmp_path / "own" / "damaged.py").write_text("import torch\nimport of_no_module\n")
    (tmp_path / "own" / "again.py").write_text("from own.models import tiny\n")
    (tmp_path / "own_layers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("own", "own_layers")]:
        del sys.modules[name]


def build(name, weights="none", folder=None, args=None, **overrides):
    return registry.build(name, args or {}, weights, overrides, folder=folder)


def test_a_factory_in_the_current_folder_makes_a_backbone(folder):
    backbone = build("own.models:tiny", args={"classes": 7})
    pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert backbone.whole()(pixels).shape == (2, 7)
    head, tail = backbone.split("stem", pixels).sides
    assert torch.equal(tail(*head(pixels)), backbone.whole()(pixels))
    assert not backbone.model.training


def test_random_weights_are_the_same_before_and_after_the_first_import(folder):
    first, second = build("own.models:tiny"), build("own.models:tiny")  # the import itself draws the layer `trained`
    assert first.weights == second.weights


def test_preprocessing_is_the_models_and_the_sweeps(folder):
    own = build("own.models:tiny").recipe
    assert (own["crop"], own["mean"], own["std"]) == (16, [0.5] * 3, [0.25] * 3)
    changed = build("own.models:tiny", crop=24, mean=[0, 0, 0]).recipe
    assert changed == own | {"crop": 24, "mean": [0, 0, 0]}
    printed = build("own.models:Tiny", **FIELDS).recipe
    assert (printed["resize"], printed["crop"], printed["mean"]) == (None, 32, [0.1, 0.2, 0.3])


def test_preprocessing_that_is_not_reported_is_missed(folder):
    with pytest.raises(
        UserError, match=r"own\.models:Tiny: .* resize, crop, mean, std missing\. Give them in the sweep"
    ):
        build("own.models:Tiny")
    with pytest.raises(UserError, match=r"std missing"):
        build("own.models:Tiny", resize=None, crop=16, mean=[0, 0, 0])
    with pytest.raises(UserError, match="`preprocessing` is of type list, not a dict"):
        build("own.models:odd", args={"preprocessing": [0.5]})
    with pytest.raises(UserError, match=r"preprocessing: mea: unknown key; did you mean mean"):
        build("own.models:odd", args={"preprocessing": FIELDS | {"mea": 0}})


def test_a_detector_brings_its_own_preprocessing(folder):
    assert build("own.models:Finder").recipe == {}
    with pytest.raises(UserError, match="Halfway lacks prepare"):
        build("own.models:Halfway")
    with pytest.raises(UserError, match="leave `preprocessing` out"):
        build("own.models:Finder", crop=16)


def test_weights_come_from_a_file_only(folder):
    state = build("own.models:tiny").model.state_dict()
    save_file({name: value + 1 for name, value in state.items()}, folder / "tiny.safetensors")
    by_path, by_folder = build("own.models:tiny", "tiny.safetensors"), build("own.models:tiny", "default", folder)
    assert by_path.weights == by_folder.weights != build("own.models:tiny").weights
    assert torch.equal(by_path.model.fc.bias, state["fc.bias"] + 1)
    for weights, sentence in (
        (
            "default",
            r"no tiny\.safetensors or tiny\.pth in a weights folder .*: give `weights: FILE`, or `weights: none`",
        ),
        ("IMAGENET1K_V1", "has no weights 'IMAGENET1K_V1': give `weights: FILE`"),
        ("elsewhere.pth", "weights file not found"),
    ):
        with pytest.raises(UserError, match=sentence):
            build("own.models:tiny", weights)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("own.model:tiny", r"no module 'own\.model', neither in .* nor installed"),
        ("owner:tiny", "no module 'owner'"),
        ("own.damaged:tiny", r"importing own\.damaged failed: .* 'of_no_module' \(damaged\.py, line 2\)"),
        ("own.models:tyni", "has no 'tyni'; did you mean .*tiny"),
        ("own.models:number", "is of type int, not a function or class"),
        ("own.models:trained", "is of type Linear, not a function or class"),
        ("own.models:nothing", r"returns something of type list, not a torch\.nn\.Module"),
        ("own.models:broken", r"KeyError: 'layers' \(models\.py, line \d+\)"),
        ("own/models.py:tiny", "is no import path"),
        ("own.models:", "is no import path"),
        ("ownmodels", r"or are import paths as in my_package\.my_module:factory"),
    ],
)
def test_faults_are_reported_in_a_sentence(folder, name, sentence):
    with pytest.raises(UserError, match=sentence):
        build(name)


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.ReLU())
        self.fc = torch.nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))


def compiled(model):
    model.stem = torch.compile(model.stem, backend="eager")
    return model


def lazy(model):
    model.fc = torch.nn.LazyLinear(10)
    return model


def stateful(model, state):
    model.add_module("state", type("Stateful", (torch.nn.Module,), {"get_extra_state": lambda _: state})())
    return model


def sparse(model):
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    return model


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda model: torch.compile(model, backend="eager"),
            r"it is wrapped by torch\.compile, .*return it uncompiled",
        ),
        (compiled, r"stem is wrapped by torch\.compile"),
        (torch.jit.script, r"it is TorchScript .*return the Python module"),
        (lambda model: torch.jit.trace(model.eval(), torch.zeros(1, 3, 16, 16)), "it is TorchScript"),
        (lazy, r"fc\.weight has no shape yet \(a lazy layer\): run the model once"),
        (lambda model: model.to("meta"), r"stem\.0\.weight is on the device meta, without values"),
        (
            lambda model: torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}),
            r"its state dict holds fc\.\w+\.\w+ \(\w+\), which is no plain tensor .*return the float model",
        ),
        (
            lambda model: stateful(model, {"version": 3}),
            r".* holds state\._extra_state \(dict\), .*get_extra_state",
        ),
        (sparse, r".* holds sparse \(Tensor\)"),
    ],
)
def test_models_that_cannot_be_cut_or_stored_are_refused_in_a_sentence(change, sentence):
    with pytest.raises(UserError, match=f"mine: {sentence}"):
        user_models.build("mine", lambda: change(Plain()), {}, FIELDS)


def test_state_that_is_a_tensor_and_parts_that_are_torchscript_are_not_refused():
    assert user_models.build("mine", lambda: stateful(Plain(), torch.ones(2)), {}, FIELDS)
    model = Plain()
    model.add_module("stem", torch.jit.script(model.stem))
    assert user_models.build("mine", lambda: model, {}, FIELDS)


def test_args_that_do_not_fit_are_reported(folder):
    with pytest.raises(UserError, match=r"cannot be built from `args`: TypeError: .*'depth'"):
        build("own.models:tiny", args={"depth": 3})


def test_the_digest_follows_the_files_of_path_and_factory_and_what_they_import(folder):
    names = ("own.models:tiny", "own.again:tiny")
    before = [user_code.digest(name) for name in names]
    assert before == [user_code.digest(name) for name in names] and before[0] != before[1]
    for file, text in (("own_layers.py", LAYERS), ("own/models.py", SOURCE)):
        (folder / file).write_text(text + "# another\n")
        after = [user_code.digest(name) for name in names]
        assert before[0] != after[0] and before[1] != after[1]
        before = after


def test_the_digest_follows_relative_imports_and_those_within_functions(folder):
    """However far they were run: a key is the same before and after."""
    (folder / "own" / "blocks.py").write_text("from . import sizes\nfrom .sizes import WIDTH\nimport torch.nn\n")
    (folder / "own" / "sizes.py").write_text("WIDTH = 4\n")
    (folder / "own" / "late.py").write_text("def make():\n    from own.blocks import WIDTH\n    import of_no_module\n")
    before = user_code.digest("own.late:make")
    (folder / "own" / "sizes.py").write_text("WIDTH = 8\n")
    after = user_code.digest("own.late:make")
    assert before != after
    import_module("own.blocks")
    assert user_code.digest("own.late:make") == after


def test_code_without_a_file_is_refused(folder, monkeypatch):
    monkeypatch.setenv("SPLITBENCH_TRUST", "builtins")
    with pytest.raises(UserError, match="comes from no file"):
        user_code.digest("builtins:dict")


SWEEP = """
datasets:
  - {name: imagenet, root: val, calibration: {root: train}}
backbones:
  - {name: "own.models:tiny", label: tiny, args: {classes: 1000}, weights: none, splits: [stem]}
  - {name: torchvision/squeezenet1_1, weights: none, preprocessing: {resize: 64, crop: 64}, splits: [features.8]}
methods:
  - {name: quantize-rle, bits: [4]}
"""


@pytest.mark.parametrize("place", ["backbone", "dataset"])
def test_auto_splits_know_the_preprocessing_of_the_sweep(folder, place):
    given = "preprocessing: {resize: null, crop: 16, mean: [0, 0, 0], std: [1, 1, 1]}"
    (folder / "auto.yaml").write_text(f"""
datasets: [{{name: imagenet, root: val, {given if place == "dataset" else "seed: 1"}}}]
backbones: [{{name: "own.models:Tiny", {given if place == "backbone" else "label: tiny"}, weights: none, splits: auto}}]
methods: [{{name: raw}}]
""")
    (spec,) = auto_splits.resolved(reading.read(folder / "auto.yaml")).backbones
    assert isinstance(spec.splits, list) and spec.splits[0].startswith("stem")


def planned(folder, photographs):
    """Each backbone's one cell."""
    passes = plan.plan_passes(reading.read(folder / "own.yaml"), Sources(data=photographs))
    return {item.cells[0].cell.backbone_label: item.cells[0] for item in passes}


def test_a_sweep_runs_such_a_backbone_and_a_change_of_its_code_runs_it_again(folder, photographs):
    (folder / "own.yaml").write_text(SWEEP)
    words = ("run", "own.yaml", "--data", photographs, "--out", "out", "--device", "cpu", "--only", "tiny")
    assert splitbench(*words) == 0
    (row,) = rows(folder / "out")
    assert row["status"] == "ok" and float(row["bytes_mean"]) > 0
    before = planned(folder, photographs)
    assert before["tiny"].key == row["key"]
    (folder / "own" / "models.py").write_text(SOURCE + "# another\n")
    after = planned(folder, photographs)
    assert after["tiny"].key != before["tiny"].key
    assert after["torchvision/squeezenet1_1"].key == before["torchvision/squeezenet1_1"].key
    assert "code" not in after["torchvision/squeezenet1_1"].ingredients


def test_a_network_of_timms_is_asked_for_its_preprocessing_with_timms_as_the_example(folder):
    (folder / "own" / "timms.py").write_text(
        "import timm\ndef ten():\n    return timm.create_model('resnet10t', num_classes=10)\n"
    )
    with pytest.raises(UserError, match=r"missing.*as timm tests its pretrained weights: `\{resize: 235, crop: 224, "):
        build("own.timms:ten")
