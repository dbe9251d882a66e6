"""Methods are found by being there, and one whose package is missing troubles nobody else."""

import subprocess
import sys

import pytest

from splitbench import methods
from splitbench.methods import MethodError
from tests.test_run import splitbench

WITHOUT = """
import sys
sys.modules |= dict.fromkeys(("compressai", "constriction"))  # as if they were not installed
from splitbench import methods
methods.get("quantize-rle"), methods.get("raw"), methods.get("image")
"""


def test_what_needs_no_training_needs_no_package_of_those_that_do():
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)  # noqa: S603


def test_a_missing_package_is_told_by_name(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "splitbench.methods.quantize_entropy", raising=False)
    monkeypatch.setitem(sys.modules, "splitbench.methods.coding.entropy", None)
    with pytest.raises(MethodError, match=r"quantize-entropy needs the package splitbench\.methods\.coding\.entropy"):
        methods.get("quantize-entropy")
    assert splitbench("methods") == 0
    told = {line.partition(" ")[0]: "not here:" in line for line in capsys.readouterr().out.splitlines()}
    assert list(told) == methods.names()
    assert told["quantize-entropy"] and not told["quantize-rle"]


def test_an_unknown_method_is_told_those_that_there_are():
    with pytest.raises(MethodError, match="unknown method 'no': the methods are bottleneck, boxes"):
        methods.get("no")
