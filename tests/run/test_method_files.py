"""A file that a method reads is declared in its settings: its contents are in the key, and its path is not."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.cells import expand
from splitbench.bench.sweep.key_help import of_method
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import File, MethodError

DOCS = Path(__file__).parents[2] / "docs" / "your-own.md"
SWEEP = """
datasets: [{name: synthetic, limit: 4}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: "scaled:METHOD", scales: SCALES, factor: 1.0}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the method that the docs show and a file that it reads."""
    code = re.search(r'```python\n("""scaled: .*?)```', DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    (tmp_path / "scaled.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "fine.npy", 0.02)
    yield tmp_path
    sys.modules.pop("scaled", None)


def write(path: Path, scale: float) -> None:
    np.save(path, np.full(96, scale, np.float32))


def sweep(folder: Path, scales: str = "fine.npy") -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.replace("SCALES", scales))
    return path


def keys(path: Path) -> list[str]:
    return [planned.key for pass_ in plan_passes(read(path), Sources()) for planned in pass_.cells]


def run(path: Path) -> tuple[runner.Result, list[dict[str, str]]]:
    out = path.parent / "out"
    result = runner.run(read(path), Sources(), Store(out))
    with (out / "cells.csv").open() as stream:
        return result, [*csv.DictReader(stream)]


def test_replaced_contents_are_run_again(folder):
    path = sweep(folder)
    first, (before,) = run(path)
    assert (first.done, first.failed) == (1, ())
    assert run(path)[0].kept == 1
    write(folder / "fine.npy", 1000.0)  # all levels are 0
    second, (after,) = run(path)
    assert (second.done, second.kept, second.failed) == (1, 0, ())
    assert before["key"] != after["key"] and before["accuracy"] != after["accuracy"]
    assert re.fullmatch(r"scales=fine\.npy@[0-9a-f]{8}", after["variant"]) and before["variant"] != after["variant"]


def test_the_path_is_not_in_the_key(folder):
    given = keys(sweep(folder))
    (folder / "deep").mkdir()
    (folder / "fine.npy").rename(folder / "deep" / "other.npy")
    assert keys(sweep(folder, "deep/other.npy")) == given
    assert keys(sweep(folder, str(folder / "deep" / "other.npy"))) == given


def test_a_list_of_files_makes_a_cell_of_each(folder):
    write(folder / "coarse.npy", 0.5)
    cells = [*expand(read(sweep(folder, "[fine.npy, coarse.npy]")))]
    assert [cell.variant.partition("@")[0] for cell in cells] == ["scales=fine.npy", "scales=coarse.npy"]


def test_two_files_of_the_same_contents_are_one_cell_and_refused(folder):
    (folder / "copy.npy").write_bytes((folder / "fine.npy").read_bytes())
    with pytest.raises(UserError, match=r"scales=fine\.npy@[0-9a-f]{8} factor=1\.0 is given twice"):
        read(sweep(folder, "[fine.npy, copy.npy]"))


def test_the_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert File.of("~/fine.npy") == File.of("fine.npy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.npy", r"methods\.0 \(scaled:METHOD\): scales: no such file: missing\.npy \(relative paths are"),
        ("/nowhere/missing.npy", r"scales: no such file: /nowhere/missing\.npy$"),
        (".", r"scales: \. cannot be read \(Is a directory\)"),
        ("3", r"scales: expected the path of a file, not 3"),
    ],
)
def test_what_is_no_file_is_refused_before_anything_runs(folder, given, message):
    with pytest.raises(UserError, match=message):
        read(sweep(folder, given))


def test_a_file_that_changes_during_a_run_fails_instead_of_giving_a_wrong_row(folder):
    file = File.of("fine.npy")
    assert file.path == folder / "fine.npy"
    write(folder / "fine.npy", 1.0)
    with pytest.raises(MethodError, match="has changed since the run began: run again"):
        _ = file.path
    (folder / "fine.npy").unlink()
    with pytest.raises(MethodError, match="cannot be read"):
        _ = file.path


def test_settings_list_it_as_a_path(folder):
    assert any(
        re.match(r" +scales +path +no default", line) for line in of_method("scaled", METHODS.get("scaled:METHOD"))
    )
