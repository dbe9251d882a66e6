"""Which Pythons are supported: markers, pinned versions, and the interpreter that make takes."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(python):
    """The version that constraints pin of each package on one Python."""
    result = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            assert pin.url is None, f"{line}: no address belongs into a lock"
            if pin.marker is None or pin.marker.evaluate({"python_version": python}):
                name = re.sub("[-_.]+", "-", pin.name).lower()
                assert name not in result, f"{name} is pinned twice on Python {python}"
                result[name] = str(pin.specifier).removeprefix("==")
    return result


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_version_that_it_allows(python):
    assert SpecifierSet(project()["requires-python"]).contains(f"{python}.0")
    assert f"Programming Language :: Python :: {python}" in project()["classifiers"]
    locked = pins(python)
    extras = [line for extra in project()["optional-dependencies"].values() for line in extra]
    for line in (*project()["dependencies"], *extras):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            name = re.sub("[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(locked[name]), f"{name} {locked[name]} on Python {python}"


def test_others_are_refused():
    requires = SpecifierSet(project()["requires-python"])
    assert not requires.contains("3.10.9") and not requires.contains("3.15.0")


def test_compressai_and_its_old_numpy_stand_where_they_install_alone():
    for python in PYTHONS:
        old = python in ("3.11", "3.12")
        assert ("compressai" in pins(python)) is old
        assert pins(python)["numpy"].startswith("1." if old else "2.")


FAKE = """#!/bin/sh
# An interpreter that says it is {version}; the rest is asked of a real one.
case "$*" in *ensurepip*) exit {status};; *"pip install"*) exit 0;; esac
exec {real} "$@"
"""


def setup(tmp_path, pythons, *options):
    """What ``make setup`` prints where ``pythons`` (names to the exit status of being asked) are all there is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, status in pythons.items():
        (folder / name).write_text(FAKE.format(version=name, status=status, real=sys.executable))
        (folder / name).chmod(0o755)
    for tool in ("sh", "make", "mkdir", "test", "touch", "ln"):
        source = next(Path(place, tool) for place in os.environ["PATH"].split(":") if Path(place, tool).is_file())
        (folder / tool).symlink_to(source)
    words = ["make", "-C", str(ROOT), "setup", f"VENV={tmp_path / 'venv'}", *options]
    environment = {"PATH": str(folder), "HOME": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)  # noqa: S603
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="make and sh are Unix's")
class TestMake:
    def test_takes_the_newest_that_runs(self, tmp_path):
        printed = setup(tmp_path, {"python3.14": 127, "python3.13": 0, "python3.12": 0, "python3": 0}, "--dry-run")
        assert "|| python3.13 -m venv" in printed

    def test_falls_back_to_python3(self, tmp_path):
        assert "|| python3 -m venv" in setup(tmp_path, {"python3.11": 1, "python3": 0}, "--dry-run")

    def test_says_what_to_do_where_there_is_none(self, tmp_path):
        printed = setup(tmp_path, {"python3": 1})
        assert "no Python 3.11 to 3.14 with venv was found" in printed and "PYTHON=" in printed

    def test_keeps_an_environment_that_is_there(self, tmp_path):
        python = tmp_path / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(FAKE.format(version="the environment's", status=0, real=sys.executable))
        python.chmod(0o755)
        printed = setup(tmp_path, {"python3.13": 0})
        assert "using Python" in printed and "error" not in printed
        assert (tmp_path / "venv" / ".ready").exists() and not (tmp_path / "venv" / "pyvenv.cfg").exists()

    def test_refuses_a_named_one_that_is_too_old(self, tmp_path):
        printed = setup(tmp_path, {"python3.12": 0, "python2": 1}, "PYTHON=python2")
        assert "PYTHON=python2 is no Python 3.11 to 3.14" in printed
