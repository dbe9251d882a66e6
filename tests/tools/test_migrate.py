"""A run of an earlier version is brought up to date: today's version finds all of it, and runs and trains nothing."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from splitbench.bench.run.planning.keys import key_of
from splitbench.bench.tools import migrate as module
from splitbench.bench.tools.migrate import MigrationResult, migrate
from splitbench.bench.utils.errors import UserError
from tests.helpers.command_line import rows, splitbench

SWEEP = """
datasets: [{name: synthetic, limit: 8, train: {limit: 24}}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods:
  - {name: quantize-rle, bits: [4]}
  - {name: retrained, lmbda: [1, 3], epochs: 1, next_epochs: 1, start: neighbour, batch_size: 16, restore_epochs: 0,
     backbone_lr_scale: 0.1}
batch: 8
"""
WORDS = {"backbone_lr_scale": "share", "synthetic": "embedded"}


def aged(run: Path) -> None:
    """Make of a run what the version before wrote: old words, in keys too. Written without the code that it tests."""
    keys: dict[str, str] = {}
    for folder, name in (("trainings", "ingredients"), ("cells", "settings")):
        pending = {path: json.loads(path.read_text()) for path in (run / folder).glob("*.json")}
        while pending:
            for path, content in [*pending.items()]:
                if content[name].get("neighbour", "") in {other.stem for other in pending}:
                    continue
                text = json.dumps(content[name], sort_keys=True)
                for new, old in (WORDS | keys).items():
                    text = text.replace(f'"{new}"', f'"{old}"')
                keys[path.stem] = hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()[:20]
                del pending[path]
    for path in sorted(run.rglob("*"), reverse=True):
        if path.suffix in (".json", ".csv"):
            text = path.read_text()
            for new, old in (WORDS | keys).items():
                text = re.sub(rf"\b{new}\b(?!_)", old, text)
            path.write_text(text)
        name = path.name
        for new, old in (WORDS | keys).items():
            name = name.replace(new, old)
        if name != path.name:
            path.rename(path.with_name(name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A sweep file, its run, and the same run as the version before would have left it."""
    folder = tmp_path_factory.mktemp("migrate")
    (folder / "sweep.yaml").write_text(SWEEP)
    assert splitbench("run", folder / "sweep.yaml", "--out", folder / "new") == 0
    shutil.copytree(folder / "new", folder / "old")
    aged(folder / "old")
    return folder


@pytest.fixture
def old(runs, tmp_path):
    shutil.copytree(runs / "old", tmp_path / "old")
    return tmp_path / "old"


def names(run):
    kinds = ("cells", "records", "trainings", "learning")
    return {path.relative_to(run) for kind in kinds for path in (run / kind).rglob("*") if path.is_file()}


def test_what_is_migrated_is_what_todays_version_writes(runs, old, capsys):
    assert names(old) != names(runs / "new") and len(names(old)) == len(names(runs / "new"))
    assert any("share=0.1" in str(path) for path in names(old))
    assert splitbench("migrate", old) == 0
    assert "renamed 2 trainings, 2 cells, 2 learning curves" in capsys.readouterr().out
    assert names(old) == names(runs / "new")
    for path in names(old):
        if path.suffix == ".json":
            assert json.loads((old / path).read_text()) == json.loads((runs / "new" / path).read_text())
        else:
            assert (old / path).read_bytes() == (runs / "new" / path).read_bytes()
    assert rows(old) == rows(runs / "new")


def test_a_run_goes_on_from_there(runs, old, capsys):
    migrate(old)
    assert splitbench("run", runs / "sweep.yaml", "--out", old) == 0
    assert "0 cells run, 3 kept, 0 failed" in capsys.readouterr().out


def test_a_second_migration_changes_nothing(old):
    assert migrate(old) == MigrationResult(trainings=2, cells=2, curves=2)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert migrate(old) == MigrationResult(0, 0, 0)
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("writes", range(4))  # of two cells and two trainings
def test_a_killed_migration_is_finished_by_the_same_command(runs, old, monkeypatch, writes):
    left = [writes]

    def write_or_stop(path, content):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_whole", write_or_stop)
        with pytest.raises(KeyboardInterrupt):
            migrate(old)
    migrate(old)
    assert names(old) == names(runs / "new") and rows(old) == rows(runs / "new")


def test_what_is_not_under_its_own_key_is_left_alone(old):
    (path,) = (p for p in (old / "cells").glob("*.json") if '"quantize-rle"' in p.read_text())
    other = path.with_name("0" * 20 + ".json")
    path.rename(other)
    (old / "trainings" / "mine.json").write_text('{"ingredients": {"settings": 3}}')
    migrate(old)
    assert other.is_file() and (old / "trainings" / "mine.json").is_file()


def test_a_network_that_was_named_by_import_path_gets_its_name_and_loses_the_digest_of_its_code(tmp_path):
    ingredients = {
        "backbone": "splitbench.bench.models.cifar_resnet:resnet20",
        "code": "0123",
        "method": "bottleneck",
        "settings": {"lmbda": 1.0},
    }
    old = key_of(ingredients)
    (tmp_path / f"{old}.json").write_text(json.dumps({"ingredients": ingredients}))
    (tmp_path / f"{old}.safetensors").write_bytes(b"weights")
    keys = module.training_keys(tmp_path)
    renamed = {"backbone": "splitbench/resnet20", "method": "bottleneck", "settings": {"lmbda": 1.0}}
    assert keys == {old: key_of(renamed)}
    module.migrate_trainings(tmp_path, keys)
    assert (tmp_path / f"{keys[old]}.safetensors").read_bytes() == b"weights"
    assert json.loads((tmp_path / f"{keys[old]}.json").read_text())["ingredients"] == renamed


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run: plan\.json is missing or damaged"):
        migrate(tmp_path)
