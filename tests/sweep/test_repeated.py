"""A value that a sweep names twice is refused, as it would be one cell."""

import pytest

from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS

SWEEP = {
    "datasets": "[{name: synthetic, limit: 4}]",
    "backbones": "[{name: splitbench/small_resnet, splits: [layer2, layer3]}]",
    "methods": "[{name: quantize-rle, bits: [2, 4]}, {name: label-only}]",
    "seeds": "[0]",
}


def written(tmp_path, **changed):
    path = tmp_path / "sweep.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in (SWEEP | changed).items()))
    return path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("methods", "[{name: quantize-rle, bits: [2, 4, 2]}]", r"methods\.0 \(quantize-rle\): bits=2 is given twice"),
        (
            "methods",
            "[{name: quantize-rle, bits: 2, range: [image, calibrated, image]}]",
            r"methods\.0 \(quantize-rle\): bits=2 is given twice",
        ),
        (
            "methods",
            "[{name: quantize-rle, bits: [2, 4]}, {name: quantize-rle, bits: [4, 6], range: image}]",
            r"methods\.1 \(quantize-rle\): bits=4 is in methods\.0 already .*: leave it out of one",
        ),
        (
            "methods",
            "[{name: label-only}, {name: label-only}]",
            r"methods\.1 \(label-only\): k=1 is in methods\.0 already",
        ),
        ("backbones", "[{name: splitbench/small_resnet, splits: [layer3, layer3]}]", r"splits: layer3 is given twice"),
        ("seeds", "[0, 1, 0]", r"seeds: 0 is given twice"),
        ("datasets", "[{name: synthetic}, {name: synthetic}]", r"two datasets are called 'synthetic'"),
    ],
)
def test_a_repeated_value_is_refused(tmp_path, key, value, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, **{key: value}))


def test_the_same_values_by_other_settings_are_not_repeated(tmp_path):
    methods = "[{name: quantize-rle, bits: [2, 4]}, {name: quantize-rle, bits: [2, 4], range: calibrated}]"
    assert len(read(written(tmp_path, methods=methods)).methods) == 2


def test_a_method_without_rate_points_of_its_own_needs_some(tmp_path, monkeypatch):
    monkeypatch.setattr(type(METHODS.get("label-only")), "rates", ())
    with pytest.raises(UserError, match=r"methods\.1 \(label-only\): it has no default rate points: give `k`"):
        read(written(tmp_path))
