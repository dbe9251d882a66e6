"""Sweep files: what is refused and how it is said, and the cells that they expand into."""

from pathlib import Path

import pytest

from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError

GOOD = """
datasets:
  - {name: imagenet, label: photos, root: val, calibration: {root: train}}
backbones:
  - {name: torchvision/squeezenet1_1, weights: none, splits: [features.5, features.8]}
methods:
  - {name: quantize-rle, bits: [1, 8], range: [image, calibrated]}
  - {name: image, quality: [10, 50]}
  - {name: label-only}
"""


def parse(tmp_path: Path, text: str):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return read(path)


def test_expands_in_order_and_places_methods_with_a_split_of_their_own_once(tmp_path):
    cells = [str(cell) for cell in expand(parse(tmp_path, GOOD))]
    rle = [
        f"quantize-rle {f'range={r} ' if r == 'calibrated' else ''}bits={b}"
        for b in (1, 8)
        for r in ("image", "calibrated")
    ]
    place = "photos torchvision/squeezenet1_1"
    assert cells == [
        *(f"{place} features.5 {cell}" for cell in rle),
        f"{place} input image quality=10",
        f"{place} input image quality=50",
        f"{place} output label-only k=1",
        f"{place} output label-only k=5",
        *(f"{place} features.8 {cell}" for cell in rle),
    ]


def test_without_a_knob_a_method_gives_its_own_rate_points(tmp_path):
    cells = list(expand(parse(tmp_path, GOOD.replace("bits: [1, 8], ", ""))))
    assert sum(cell.method == "quantize-rle" and cell.split == "features.5" for cell in cells) == 16


@pytest.mark.parametrize(
    ("before", "after", "sentences"),
    [
        ("bits:", "bit:", ["methods.0 (quantize-rle): bit: unknown key; did you mean bits?"]),
        ("name: imagenet", "name: imagnet", ["datasets.0.name: unknown dataset 'imagnet'", "did you mean imagenet?"]),
        ("root: train", "rot: train", ["datasets.0: rot: unknown key; did you mean root"]),
        ("[10, 50]", "[10, 101]", ["methods.1 (image): quality:", "less than or equal to 100, not 101"]),
        ("weights: none", "weigths: none", ["backbones.0.weigths: unknown key; did you mean weights?"]),
        ("[image, calibrated]", "imag", ["expected 'image' or 'calibrated', not 'imag'; did you mean image?"]),
        ("label-only", "label-onl", ["methods.2.name: unknown method 'label-onl'", "did you mean label-only"]),
        (
            "[features.5, features.8]",
            "features.5",
            ["backbones.0.splits: expected a list of split points, `auto`"],
        ),
        ("splits: [features.5, features.8]", "splits: []", ["backbones.0.splits"]),
        ("methods:", "method:", ["methods: missing", "method: unknown key; did you mean methods"]),
        ("datasets:", "task: segmentation\ndatasets:", ["task: expected 'classification'"]),
        ("  - {name: label-only}", "  - {name: label-only", ["is not YAML"]),
        (GOOD, "just text", ["expected a sweep with the keys"]),
        ("backbones:", "backbones:\n  - {name: torchvision/squeezenet1_1, splits: [a]}", ["give each a `label`"]),
        ("  - {name: label-only}", "methods:\n  - {name: label-only}", ["methods: given twice (line 9)"]),
        ("bits: [1, 8]", "bits: [1], bits: [8]", ["bits: given twice (line 7)"]),
        ("weights: none", "args: {aux: no}", ["backbones.0.args: aux: no is text in YAML 1.2: write true or false"]),
        ("weights: none", "weights: {file: a.pth}", ["backbones.0.weights", "key"]),
    ],
)
def test_faults_name_file_key_and_nearest_name(tmp_path, before, after, sentences):
    assert before in GOOD
    with pytest.raises(UserError) as caught:
        parse(tmp_path, GOOD.replace(before, after, 1))
    assert str(caught.value).startswith(str(tmp_path / "sweep.yaml"))
    for sentence in sentences:
        assert sentence in str(caught.value)


def test_merged_keys_are_not_given_twice(tmp_path):
    text = GOOD.replace("{name: quantize-rle,", "&one {name: quantize-rle,")
    text += "  - &two {<<: *one, bits: [2]}\n  - {<<: *two, bits: [3]}\n"
    bits = [cell.value for cell in expand(parse(tmp_path, text)) if cell.method == "quantize-rle"]
    assert {1, 2, 3, 8} == set(bits)


def test_missing_files_and_names(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="did you mean classification"):
        SWEEPS.get("clasification")


@pytest.mark.parametrize("name", SWEEPS.names())
def test_sweeps_that_ship_are_valid(name):
    assert list(expand(read(SWEEPS.get(name))))
