"""What a release consists of: one version, every package and file, and a changelog that says what is in it."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TRAINED = ROOT / "bench" / "backbones" / "weights"


def toml(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_the_same_wherever_it_stands():
    version = toml(ROOT)["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version)
    trained = toml(TRAINED)["project"]
    assert trained["version"] == version and trained["dependencies"] == [f"splitbench=={version}"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\S*\] - \d{4}-\d{2}-\d{2}", heading)
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert kinds and set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def tracked() -> list[Path]:
    """All files below the folders that are installed, as git has them."""
    folders = ["api", "bench", "datasets", "methods"]
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *folders]
    done = subprocess.run(git, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        pytest.skip("not a clone: git does not list the files")
    return [Path(name) for name in done.stdout.decode().split("\0") if name]


def test_every_file_is_in_a_wheel():
    """setuptools is given the packages and the data by name: a new folder that is not named would be left out."""
    packages: dict[Path, str] = {}
    data: dict[str, list[str]] = {}
    for folder in (ROOT, TRAINED):
        settings = toml(folder)["tool"]["setuptools"]
        places = {name: (folder / path).relative_to(ROOT) for name, path in settings["package-dir"].items()}
        for name in settings["packages"]:
            top = max((place for place in places if f"{name}.".startswith(f"{place}.")), key=len)
            packages[places[top].joinpath(*name.removeprefix(top).split("."))] = name
        data |= settings["package-data"]
    named = [ROOT / path / "__init__.py" for path in packages if path.name != "trained"]
    assert all(file.is_file() for file in named)
    left_out = []
    for file in tracked():
        owner = next(path for path in file.parents if path in packages)
        patterns = data.get(packages[owner], [])
        inside = file.relative_to(owner)
        if not (inside.suffix == ".py" and len(inside.parts) == 1) and not any(inside.match(one) for one in patterns):
            left_out.append(str(file))
    assert left_out == ["bench/backbones/weights/pyproject.toml"]  # it makes the wheel of its folder
