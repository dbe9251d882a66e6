"""What users get wrong, from end to end: one sentence that says how to mend it, before anything is computed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 4}]
backbones: [{name: splitbench/small_resnet, splits: [layer2]}]
methods: [{name: quantize-rle, bits: [4]}]
"""
MODELS = """
import torch
from torch import nn


class Model(nn.Module):
    preprocessing = {"resize": None, "crop": 32, "mean": (0, 0, 0), "std": (1, 1, 1)}

    def __init__(self, gives="scores"):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=4)
        self.gives = gives

    def forward(self, x):
        maps = self.stem(x)
        if self.gives == "error":
            return nn.functional.linear(maps, torch.zeros(3, 99))
        scores = maps.mean((2, 3))
        return {"scores": scores, "tuple": (scores, 1), "maps": maps, "one": scores[0]}[self.gives]


class Finder(nn.Module):
    categories = tuple(range(1, 13))

    def prepare(self, image):
        return image.float()

    def forward(self, x):
        return x.boxes

    def detections(self, raw, sizes):
        return []
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch):
    """The current folder, with ``sweep.yaml`` and ``own_models.py``."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "own_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("own_models", None)


@pytest.fixture
def error(capsys):
    """Runs a command that must fail for what the user gave, and returns its error message."""

    def run(*words: object) -> str:
        assert splitbench(*words) == 2
        message = capsys.readouterr().err
        assert all(line.startswith("error: ") for line in message.splitlines())
        return message.replace("error: ", "").strip()

    return run


def validated(here: Path, error, *changes: tuple[str, str]) -> str:
    """What ``validate`` says of the sweep with texts replaced by others."""
    text = SWEEP
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    (here / "sweep.yaml").write_text(text)
    return error("validate", "sweep.yaml")


def test_a_key_given_twice(here, error):
    assert validated(here, error, ("methods", "methods: [{name: raw}]\nmethods")) == (
        "sweep.yaml: methods: given twice (line 5)"
    )
    sides = "device: {macs_per_second: 1.0}\nserver: {macs_per_second: 1.0}\n"
    Path("mine.yaml").write_text(f"name: a\nname: b\n{sides}")
    assert error("what-if", ".", "--profile", "mine.yaml") == "mine.yaml: name: given twice (line 2)"


def test_weights_of_no_such_name(here, error):
    (here / "exp").mkdir()
    for name in ("splitbench/small_resnet", "timm/mobilenetv2_050"):
        changes = ("splitbench/small_resnet", f"{name}, weights: tset")
        assert f"{name} has no weights 'tset': give a file, `default` or `none`" in validated(here, error, changes)
    folder = validated(here, error, ("small_resnet", "small_resnet, weights: exp"))
    assert folder == "splitbench/small_resnet: weights 'exp' is a folder: name a file in it"


@pytest.mark.parametrize(
    ("gives", "sentence"),
    [
        ("error", r"it fails on an image of 32 x 32 pixels: RuntimeError: .*shapes.* \(own_models\.py, line 17\)$"),
        ("tuple", r"must give one tensor of scores, \(images, classes\), and gives something of type tuple"),
        ("maps", r"gives something of shape \(1, 12, 8, 8\)"),
        ("one", r"gives something of shape \(12,\)"),
    ],
)
def test_a_model_of_ones_own_that_fails(here, error, gives, sentence):
    own = ("splitbench/small_resnet", f"'own_models:Model', args: {{gives: {gives}}}, weights: none")
    message = validated(here, error, own, ("layer2", "stem"))
    assert re.match(rf"own_models:Model with synthetic: .*{sentence}", message)


def test_a_detector_of_ones_own_that_fails(here, error):
    own = ("splitbench/small_resnet", "'own_models:Finder', weights: none")
    result = (("datasets", "task: detection\ndatasets"), ("synthetic", "synthetic-detection"))
    message = validated(here, error, *result, own, ("quantize-rle, bits: [4]", "boxes"))
    assert re.match(r"own_models:Finder: Finder\.forward failed: .* \(own_models\.py, line 29\)$", message)


def test_a_data_folder_that_is_not_there_or_not_read(here, error):
    assert error("validate", "sweep.yaml", "--data", "none") == "data folder not found: none"
    message = error("validate", "sweep.yaml", "--data", here)
    assert f"{here} would not be read: the sweep's images come from no folder (synthetic). Leave it out" in message
    assert "or run a sweep over cifar10 or imagenet" in message
    elsewhere = SWEEP.replace("limit: 4", "limit: 4, calibration: {name: imagenet, root: train}")
    (here / "sweep.yaml").write_text(elsewhere)
    assert splitbench("validate", "sweep.yaml", "--data", here) == 0


def test_files_in_place_of_folders_and_folders_in_place_of_files(here, error):
    for command in (("figures", ".", "--out"), ("compare", ".", "--out")):
        for path in ("sweep.yaml", "sweep.yaml/pictures"):
            assert error(*command, path) == f"sweep.yaml is a file: {command[-1]} takes a folder"
    (here / "exp").mkdir()
    assert error("report", ".", "--out", "exp") == "exp is a folder: --out takes a file, as in exp/report.html"
    assert error("report", ".", "--out", "sweep.yaml/x.html") == "sweep.yaml is a file: --out takes a folder"


@pytest.mark.parametrize("given", ["[]", "{auto: 0}", "{auto: many}", "{atuo: 2}", "layer2", "[1, 2]", "null"])
def test_splits_that_are_none(here, error, given):
    message = validated(here, error, ("[layer2]", given))
    displayed = {"{auto: 0}": "{'auto': 0}", "{auto: many}": "{'auto': 'many'}", "{atuo: 2}": "{'atuo': 2}"}
    displayed |= {"layer2": "'layer2'", "null": "None"}
    quoted = " (names that are numbers in quotes)" if given == "[1, 2]" else ""
    assert message == (
        f"sweep.yaml: backbones.0.splits: expected a list of split points{quoted}, `auto`, or `{{auto: n}}` with n at "
        f"least 1, not {displayed.get(given, given)}"
    )


def test_lists_that_are_none_are_shown(here, error):
    for given in ("synthetic", "[synthetic]"):
        message = validated(here, error, ("[{name: synthetic, limit: 4}]", given))
        place, kind = (".0", "keys with values, as in `{") if "[" in given else ("", "a list, as in `[{")
        assert message.startswith(f"sweep.yaml: datasets{place}: expected {kind}name: synthetic}}")
        assert message.endswith("`, not 'synthetic'")
    message = validated(here, error, ("methods: [", "seeds: 3\nmethods: ["))
    assert message == "sweep.yaml: seeds: expected a list, as in `[...]`, not 3"


def test_all_names_and_settings_are_reported_at_once(here, error):
    changes = ("name: synthetic", "name: syntetic"), ("small_resnet", "small_resnt")
    methods = ("[{name: quantize-rle", "[{name: image, qualty: 3}, {name: quantise-rle")
    assert _places(validated(here, error, *changes, methods)) == [
        "datasets.0.name",
        "backbones.0.name",
        "methods.1.name",
        "methods.0 (image)",
    ]
    methods = ("[{name: quantize-rle", "[{name: image, qualty: 3}, {name: quantize-rle, bitz: 3")
    lines = validated(here, error, methods)
    assert _places(lines) == ["methods.0 (image)", "methods.1 (quantize-rle)"]
    assert "did you mean bits" in lines and "did you mean quality" in lines


def _places(lines: str) -> list[str]:
    return [line.partition(": ")[2].partition(":")[0] for line in lines.splitlines()]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("methods.1.bits=[2]", "--set methods.1.bits=[2]: '1' is no position in a list of 1, counted from 0"),
        ("method.0.bits=[2]", "--set method.0.bits=[2]: there is no 'method' in the sweep; did you mean methods?"),
        ("methods.0.bits.a.b=1", "--set methods.0.bits.a.b=1: 'a' is no position in a list of 1, counted from 0"),
        ("methods.0.name.x=1", "--set methods.0.name.x=1: methods.0.name is 'quantize-rle', which has no entry 'x'"),
        ("methods", "--set methods: give a place and a value, as in methods.0.bits=[2,3]"),
        ("methods.0.bits=[2", "--set methods.0.bits: '[2' is not YAML: "),
        ("methods.0.bitz=[2]", "sweep.yaml: methods.0 (quantize-rle): bitz: unknown key; did you mean bits? "),
        (
            "methods.0.bits=[30]",
            "sweep.yaml: methods.0 (quantize-rle): bits: input should be less than or equal to 8, not",
        ),
    ],
)
def test_values_that_cannot_be_set(here, error, assignment, message):
    assert error("validate", "sweep.yaml", "--set", assignment).startswith(message)


def test_values_of_a_sweep_are_set_on_the_command_line(here, capsys):
    words = ("--set", "methods.0.bits=[2, 5]", "--set", "batch=2", "--set", "datasets.0.limit=3")
    assert splitbench("validate", "sweep.yaml", *words) == 0
    out = capsys.readouterr().out
    assert "3 images, 2 cells" in out and "bits=2" in out and "bits=5" in out and "bits=4" not in out


def test_misspelt_keys_and_names_are_reported_before_torch_is_loaded(here):
    text = (here / "sweep.yaml").read_text()
    for old, new in (
        ("splits:", "splitz:"),
        ("name: quantize-rle", "name: quantise-rle"),
        ("name: synth", "name: sinth"),
        ("small_resnet", "small_resnt"),
    ):
        assert old in text
        (here / "wrong.yaml").write_text(text.replace(old, new))
        code = (
            "import sys; sys.argv = ['splitbench', 'run', 'wrong.yaml']\n"
            "from splitbench.bench.cli.main import main\n"
            "write, loaded = sys.stderr.write, []\n"
            "def noted(text):\n"
            "    if new in text:\n        loaded.append(sorted({'torch', 'timm'} & set(sys.modules)))\n"
            "    return write(text)\n"
            "sys.stderr.write = noted\n"
            "try:\n    main()\n"
            "except SystemExit as stop:\n    print(stop.code, *loaded)"
        ).replace("new in", f"{new.rpartition(' ')[2].rstrip(':')!r} in")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=True)  # noqa: S603
        assert done.stdout.splitlines()[-1] == "2 []", done.stderr


def test_where_names_of_backbones_are_listed(error, capsys):
    assert error("splits", "timm/zzzz") == "unknown backbone of timm 'zzzz' (`splitbench list backbones` lists them)"
    assert splitbench("support", "timm/zzzz") == 0
    assert "'timm/zzzz': `timm.list_models()` and" in capsys.readouterr().out


def test_figures_and_photographs_of_split_points(here, error):
    (here / "exp").mkdir()
    network = ("splits", "splitbench/small_resnet")
    for plot in ("plot", "plot.jpg"):
        assert error(*network, "--plot", plot) == f"{plot}: --plot takes a file ending in .png, .svg, .pdf"
    assert error(*network, "--plot", "exp") == "exp is a folder: --plot takes a file, as in exp/splits.png"
    assert error(*network, "--image", "exp") == "exp is a folder: --image takes a photograph"
    assert error(*network, "--image", "none.jpg") == "none.jpg cannot be read as an image (No such file or directory)"
    assert "sweep.yaml cannot be read as an image (cannot identify" in error(*network, "--image", "sweep.yaml")


def test_devices_are_reported_as_they_were_typed(here, error):
    for device in ("cuda:7", "cuda:8"):
        assert error("validate", "sweep.yaml", "--device", device).startswith(f"--device {device}, but PyTorch sees ")


def test_seeds_are_not_negative(here, error):
    message = validated(here, error, ("methods", "seeds: [0, -1]\nmethods"))
    assert message == "sweep.yaml: seeds.1: input should be greater than or equal to 0, not -1"


def test_a_sweep_is_no_device_profile(here, error):
    message = error("what-if", ".", "--profile", "sweep.yaml")
    assert message.startswith("sweep.yaml is no device profile (the bundled `slow-device` is one): name: ")


def test_calibration_images_that_are_evaluated_say_how_to_name_others(here, error, photographs):
    validation = SWEEP.replace("synthetic, limit: 4", f"imagenet, root: {photographs / 'val'}")
    validation = validation.replace("splitbench/small_resnet", "torchvision/squeezenet1_1, weights: none")
    validation = validation.replace("layer2", "features.5").replace("bits: [4]", "bits: [4], range: calibrated")
    (here / "sweep.yaml").write_text(validation)
    message = error("validate", "sweep.yaml")
    assert "imagenet: 12 calibration images are evaluation images" in message
    assert message.endswith("by `calibration: {root: FOLDER}`, or leave them out by `calibration: exclude`")


def test_one_is_not_several(here, capsys):
    (here / "sweep.yaml").write_text(SWEEP.replace("limit: 4", "limit: 1"))
    assert splitbench("validate", "sweep.yaml") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "synthetic splitbench/small_resnet: 1 image, 1 cell"
    assert printed[-1].startswith("1 cell, 1 (image, cell) pairs, ")


def test_all_faults_of_a_file_are_listed_at_once(here, error):
    wrong = (
        ("synthetic, limit: 4", "synthetik, limit: 4"),
        (
            "{name: splitbench/small_resnet, splits: [layer2]}",
            "{name: timm/resnet81, splits: [a]}, {name: splitbench/small_resnet}",
        ),
        ("bits: [4]}", "bits: [99]}, {name: quantise, bits: [4]}, {name: image, quality: [10], size: 3}"),
        ("methods", "batch: 0\nmethods"),
    )
    places = [line.split(": ")[1].partition(" ")[0] for line in validated(here, error, *wrong).splitlines()]
    assert places == [
        *("backbones.1.splits", "batch"),
        *("datasets.0.name", "backbones.0.name", "methods.1.name"),
        *("methods.0", "methods.2"),
    ]


def test_backbones_without_a_source_are_found(error, here):
    network = ("splits", "squezenet1_1")
    assert "; did you mean torchvision/squeezenet1_1? (names begin with torchvision/, " in error(*network)
    assert "did you mean timm/resnet50 or torchvision/resnet50?" in error("splits", "resnet50")
    assert "did you mean timm/resnet50 or torchvision/resnet50?" in error("splits", "torchvison/resnet50")


def test_folders_that_are_not_there(here, error):
    (here / "weights").mkdir()
    (here / "weights" / "a.pth").touch()
    assert error("validate", "sweep.yaml", "--weights", "wieghts") == (
        "weights folder not found: wieghts; did you mean weights?"
    )
    assert error("validate", "sweep.yaml", "--weights", "weights/of/all") == (
        "weights folder not found: weights/of/all (there is no weights/of)"
    )
    assert error("validate", "sweep.yaml", "--weights", "weights/a.pth") == (
        "weights/a.pth is a file, and a weights folder is wanted: did you mean weights?"
    )
    changes = ("splitbench/small_resnet", "torchvision/resnet18, weights: ./wieghts")
    assert validated(here, error, changes) == "torchvision/resnet18: weights not found: wieghts; did you mean weights?"
    (here / "photos").mkdir()
    model = ("bench", "--model", "splitbench/small_resnet", "--data")
    assert error(*model, here / "photoes") == f"data folder not found: {here}/photoes; did you mean {here}/photos?"
    assert error("data", "check", "imagenet", "photoes") == "data folder not found: photoes; did you mean photos?"


def test_an_option_of_bench_is_no_option_of_run(error, here):
    for command in ("run", "validate", "train"):
        assert "a sweep says how many images it takes, here --set datasets.0.limit=7" in error(
            command, "sweep.yaml", "--limit", 7
        )
