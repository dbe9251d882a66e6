"""YAML by its version 1.2: nothing that a user writes is read as something else."""

import math

import pytest
import yaml

from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.yaml_file import read_yaml


def read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("010", "010"),
        ("000000000139", "000000000139"),
        ("0.10", 0.1),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.", 1.0),
        (".5", 0.5),
        ("6.02e+23", 6.02e23),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("6.conv", "6.conv"),
        ("e3", "e3"),
        (".", "."),
        ("-", [None]),
    ],
)
def test_plain_values_are_what_they_look_like(tmp_path, text, value):
    read_value = read(tmp_path, f"key: {text}\n" if text != "-" else "key:\n  -\n")["key"]
    assert read_value == value
    assert type(read_value) is type(value)


def test_not_a_number(tmp_path):
    assert math.isnan(read(tmp_path, "a: .nan")["a"])


def test_keys_are_read_the_same_way(tmp_path):
    assert read(tmp_path, "on: 1\n007: 2\n") == {"on": 1, "007": 2}


def test_merge_keys_and_anchors_still_work(tmp_path):
    assert read(tmp_path, "base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\n")["mine"] == {"x": 1, "y": 3}


def test_a_key_given_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"batch: given twice \(line 2\)"):
        read(tmp_path, "batch: 1\nbatch: 2\n")


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system ''"])
def test_tags_execute_nothing(tmp_path, text):
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        read(tmp_path, f"a: {text}")


@pytest.mark.parametrize("name", SWEEPS.names())
def test_bundled_sweeps_read_as_they_did_in_yaml_1_1(name):
    path = SWEEPS.get(name)
    assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))
