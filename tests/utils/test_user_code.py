"""Methods and datasets by import path: the rule of what may be imported, rows and keys under that name."""

import sys

import pytest

from splitbench import methods
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning import plan
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils import plugins
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import BUNDLED_METHODS, METHODS
from tests.helpers.command_line import rows, splitbench
from tests.helpers.small_sweep import spec_of

METHOD = """
from splitbench.methods import raw


class Settings(raw.Settings):
    pass


class Mine(type(raw.METHOD)):
    summary = "as it is"
    Settings = Settings


class Nothing:
    summary = "not much"


METHOD = Mine()
NOTHING = Nothing()
"""
DATASET = """
from splitbench.datasets import synthetic


class Few(type(synthetic.DATASET)):
    def load(self, options, part):
        return super().load(options.model_copy(update={"limit": 6}), part)


DATASET = Few()
"""
SWEEP = """
datasets:
  - {name: "mine.pictures:DATASET", label: few}
backbones:
  - {name: splitbench/small_resnet, splits: [layer3]}
methods:
  - {name: "mine.codecs:METHOD", dtype: float16}
  - {name: raw, dtype: float16}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a package ``mine`` and a sweep in it; what is imported of it is forgotten afterwards."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "codecs.py").write_text(METHOD)
    (tmp_path / "mine" / "pictures.py").write_text(DATASET)
    (tmp_path / "own.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def planned(folder):
    (item,) = plan.plan_passes(read(folder / "own.yaml"), Sources())
    return item.cells


def test_both_are_run_under_their_names(folder):
    result = runner.run(read(folder / "own.yaml"), Sources(), Store(folder / "out"))
    assert result.done == 2 and not result.failed
    mine, raw = rows(folder / "out")
    assert (mine["method"], raw["method"], mine["dataset"]) == ("mine.codecs:METHOD", "raw", "few")
    assert mine["status"] == raw["status"] == "ok" and mine["images"] == "6"
    assert mine["bytes_mean"] == raw["bytes_mean"]
    assert splitbench("methods", "mine.codecs:METHOD", "--check") == 0


def test_another_process_finds_them_too(folder):
    (item,) = plan.plan_passes(read(folder / "own.yaml"), Sources())
    forget()  # as in a process that has not read the sweep
    again = plan.reopen(spec_of(item, folder))
    assert len(again.dataset) == 6
    assert METHODS.get("mine.codecs:METHOD").summary == "as it is"


def test_a_change_of_a_methods_own_source_is_another_key(folder):
    before = {item.cell.method: item for item in planned(folder)}
    (folder / "mine" / "codecs.py").write_text(METHOD + "# another\n")
    after = {item.cell.method: item for item in planned(folder)}
    assert before["mine.codecs:METHOD"].key != after["mine.codecs:METHOD"].key
    assert before["raw"].key == after["raw"].key
    assert "method_code" not in after["raw"].ingredients


def test_what_ships_is_there_and_what_lies_beside_it_has_its_source_in_the_key(tmp_path, monkeypatch):
    assert set(BUNDLED_METHODS) == set(METHODS.names())
    assert {plugins.method_digest(name) for name in BUNDLED_METHODS} == {None}
    (tmp_path / "beside_it.py").write_text(METHOD)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    try:
        assert METHODS.get("beside-it").summary == "as it is"
        before = plugins.method_digest("beside-it")
        (tmp_path / "beside_it.py").write_text(METHOD + "# another\n")
        assert before is not None and plugins.method_digest("beside-it") not in (before, None)
    finally:
        del sys.modules["splitbench.methods.beside_it"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("codecs:METHOD", "codecs:Mine"), "mine.codecs:Mine is the class Mine, not an object of it"),
        (("codecs:METHOD", "codecs:NOTHING"), "mine.codecs:NOTHING lacks Settings, deploy, knob, needs"),
        (("codecs:METHOD", "codecs:MEHTOD"), "mine.codecs has no 'MEHTOD'; did you mean METHOD?"),
        (("mine.codecs", "mine.codec"), "no module 'mine.codec'"),
        (("pictures:DATASET", "pictures:Few"), "mine.pictures:Few is the class Few"),
        (("pictures:DATASET", "codecs:METHOD"), "mine.codecs:METHOD lacks Options, load, task to be a dataset"),
        (("mine.codecs:METHOD", "pickle:loads"), "pickle lies outside of the current folder"),
        (("mine.pictures:DATASET", "os:system"), "os lies outside of the current folder"),
    ],
)
def test_faults_are_reported_in_a_sentence(folder, capsys, change, sentence):
    (folder / "own.yaml").write_text(SWEEP.replace(*change))
    assert splitbench("validate", "own.yaml") == 2
    printed = capsys.readouterr().err
    assert sentence in printed and len(printed.splitlines()) == 1


def test_a_package_elsewhere_is_trusted_by_name(folder, monkeypatch):
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(UserError, match=r"mine lies outside of the current folder.*SPLITBENCH_TRUST=mine"):
        METHODS.get("mine.codecs:METHOD")
    monkeypatch.setenv("SPLITBENCH_TRUST", "mine")
    assert METHODS.get("mine.codecs:METHOD").summary == "as it is"


def test_a_path_with_folders_is_no_import_path(folder):
    with pytest.raises(UserError, match="is no import path"):
        METHODS.get("mine/codecs.py:METHOD")
