"""Runs from strangers: whatever their files hold, nothing of it is executed, and reading them ends with a sentence."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from markupsafe import escape

from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.figures import draw_all
from splitbench.bench.analysis.latency import read_profile
from splitbench.bench.results.store import Store
from splitbench.bench.results.table import read
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read as read_sweep
from splitbench.bench.training import TrainingError, checkpointing
from splitbench.bench.training.methods.trainings import Trainings, write_learning_curve
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import rows, splitbench
from tests.helpers.hostile import Harm

SWEEP = """
datasets: [{name: synthetic, limit: 16}]
backbones: [{name: splitbench/small_resnet, splits: [layer3]}]
methods: [{name: quantize-rle, bits: [2, 4]}, {name: image, quality: [30]}]
batch: 8
"""
DEEP = "[" * 100_000
HUGE = "9" * 5000


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Path]:
    """A sweep file and a run of it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SWEEP)
    ran(folder / "small.yaml", folder / "run")
    return folder / "small.yaml", folder / "run"


@pytest.fixture
def run(whole, tmp_path) -> tuple[Path, Path]:
    """The same, to be damaged."""
    shutil.copytree(whole[1], tmp_path / "run")
    return whole[0], tmp_path / "run"


def ran(sweep: Path, out: Path) -> tuple[int, int]:
    result = runner.run(read_sweep(sweep), Sources(), Store(out))
    assert result.failed == ()
    return result.done, result.kept


def changed(content: str, **columns: object) -> str:
    printed = json.loads(content)
    printed["columns"] |= columns
    return json.dumps(printed)


def without(content: str, *names: str) -> str:
    printed = json.loads(content)
    for name in names:
        del printed["columns"][name]
    return json.dumps(printed)


NO_RESULT = {
    "nothing": lambda content: "",
    "a list": lambda content: "[1, 2]",
    "columns that are a list": lambda content: '{"settings": {}, "stored": {}, "columns": ["status"]}',
    "no settings": lambda content: '{"columns": {"status": "ok"}}',
    "no sides": lambda content: json.dumps(json.loads(content) | {"stored": {}}),
    "sides of text": lambda content: json.dumps(json.loads(content) | {"stored": {"device": "x", "server": "x"}}),
    "sizes of text": lambda content: content.replace('"backbone": ', '"backbone": "x", "was": '),
    "a list in a column": lambda content: changed(content, accuracy=[1, [2]]),
    "no split": lambda content: without(content, "split", "seed"),
    "another status": lambda content: changed(content, status="fine"),
    "lists without end": lambda content: DEEP,
    "a number without end": lambda content: content.replace('"bytes_mean": ', f'"bytes_mean": {HUGE}, "was": '),
    "no text": lambda content: "\x00\ufffd",
}


@pytest.mark.parametrize("what", NO_RESULT)
def test_a_file_that_is_no_result_counts_as_missing(what, run):
    _, folder = run
    path = sorted((folder / "cells").glob("*.json"))[0]
    before = path.read_text()
    path.write_text(NO_RESULT[what](before))
    assert path.read_text() != before
    assert Store(folder).status(path.stem) is None
    assert Store(folder).damaged() == [path.stem]
    with (Store(folder).collect()).open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2


def test_collect_names_what_it_leaves_out(run, capsys):
    _, folder = run
    path = min((folder / "cells").glob("*.json"))
    path.write_text(path.read_text()[:100])
    assert splitbench("collect", folder) == 0
    assert f"1 cell left out, whose files are damaged ({path.stem}): run the sweep again" in capsys.readouterr().out


def test_what_counts_as_missing_is_run_again(tmp_path):
    """A cell for each of them, so that one run shows it."""
    path, folder = tmp_path / "sweep.yaml", tmp_path / "run"
    bits, qualities = [*range(1, 9)], [*range(10, 60, 10)]
    path.write_text(SWEEP.replace("[2, 4]", str(bits)).replace("[30]", str(qualities)))
    assert ran(path, folder) == (len(NO_RESULT), 0)
    files = sorted((folder / "cells").glob("*.json"))
    for file, damaged in zip(files, NO_RESULT.values(), strict=True):
        file.write_text(damaged(file.read_text()))
    assert ran(path, folder) == (len(NO_RESULT), 0)
    assert len(rows(folder)) == len(NO_RESULT) == len({file.name for file in files})
    assert all(Store(folder).status(file.stem) == "ok" for file in files)


@pytest.mark.parametrize("value", ["1e999", "-Infinity", "NaN", '"1 or so"', '"=1+1"', "true"])
def test_numbers_that_are_none_end_in_a_table_or_in_a_sentence(value, run, capsys):
    _, folder = run
    for path in (folder / "cells").glob("*.json"):
        path.write_text(re.sub(r'"accuracy": [0-9.]+', f'"accuracy": {value}', path.read_text()))
    assert splitbench("collect", folder) == 0
    assert splitbench("report", folder) == 2
    assert re.search("accuracy (has no values|holds .* where a number is expected)", capsys.readouterr().err)


@pytest.mark.parametrize("content", ["{}", "[3]", '[{"key": 3}]', '[{"key": "../../x"}]', DEEP])
def test_a_plan_that_is_none_is_reported_and_made_again(content, run):
    sweep, folder = run
    plan = json.loads((folder / "plan.json").read_text())
    text = json.dumps([plan[0] | json.loads(content)[0]]) if content.startswith('[{"key"') else content
    (folder / "plan.json").write_text(text)
    with pytest.raises(UserError, match=r"plan.json is missing or damaged"):
        Store(folder).collect()
    assert ran(sweep, folder) == (0, 3)
    assert len(rows(folder)) == 3


FORMULAS = ("=HYPERLINK(1)", "+1+cmd", "-1+cmd", "@SUM(1)", "\t=1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_tables_hold_no_formulas(formula, run, tmp_path):
    """A spreadsheet would run them."""
    _, folder = run
    for path in (folder / "cells").glob("*.json"):
        path.write_text(changed(path.read_text(), variant=formula, weights=formula))
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps([row | {"backbone": formula} for row in plan]))
    tables = [Store(folder).collect(), *write(examine([folder]), tmp_path / "one").files]
    named = tmp_path / "theirs" / "cells.csv"
    samples.save(named, samples.run(splits={"layer2": (1e9, 1000)}, backbone=formula))
    tables += write(examine([named]), tmp_path / "two").files
    results = [cell for table in tables if table.suffix == ".csv" for row in csv.reader(table.open()) for cell in row]
    assert any(formula.strip() in cell for cell in results)
    assert not [cell for cell in results if cell.startswith(("=", "+", "@", "\t", "-1+"))]


MARKUP = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"'><svg/onload=alert(1)>",
    "$\\frac{$",
)


@pytest.mark.parametrize("markup", MARKUP)
def test_names_are_text_in_the_report_and_figures_whatever_they_say(markup, tmp_path):
    names = dict.fromkeys(("dataset", "backbone", "split", "method", "variant", "knob", "versions", "metric"), markup)
    path = samples.save(tmp_path / "run" / "cells.csv", samples.curve([900, 1800], [74.0, 75.5], **names))
    assert splitbench("report", path, "--out", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    outside = re.sub(r"<script>\n.*?</script>", "", page, count=1, flags=re.DOTALL)  # the page's own
    assert "<script" not in outside and "<img src=x" not in page and "<svg/onload" not in page
    assert str(escape(markup)) in page
    written = draw_all(read([path]), tmp_path / "figures")
    assert written and all(item.parent == tmp_path / "figures" for item in written)
    assert not [item for item in written if item.suffix == ".svg" and re.search("<(script|img)", item.read_text())]
    for item in write(examine([path]), tmp_path / "comparison").files:
        assert item.suffix != ".md" or not re.search("<(img|script|svg)", item.read_text())


def test_records_that_hold_objects_are_not_read(run, harm, tmp_path):
    _, folder = run
    for path in (folder / "records").glob("*.npz"):
        with np.load(path) as kept:
            arrays = dict(kept)
        bad = np.empty(len(arrays["hit"]) if "hit" in arrays else 16, object)
        bad[:] = [Harm(harm.file)] * len(bad)
        np.savez(path, **dict.fromkeys(arrays, bad), allow_pickle=True)
    assert (
        splitbench("compare", folder, "--out", tmp_path / "comparison", "--anchor", "quantize-rle", "--all-pairs") == 0
    )


def test_checkpoints_that_hold_objects_are_refused(tmp_path, harm):
    path = tmp_path / "state.checkpoint"
    torch.save({"format": 1, "facts": {}, "state": harm}, path)
    with pytest.raises(TrainingError, match="damaged or no checkpoint"):
        checkpointing.read(path, {})


def test_trained_weights_that_are_a_pickle_are_refused(tmp_path, harm):
    torch.save({"weight": harm}, tmp_path / "0a.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        Trainings(tmp_path).weights("0a")


@pytest.mark.parametrize("history", ['"x"', "3", "[3]", '[{"loss": "x"}]', '[{"loss": [1]}]', DEEP])
def test_a_learning_curve_that_is_none_is_left_out(history, tmp_path):
    (tmp_path / "0a.safetensors").touch()
    (tmp_path / "0a.json").write_text(f'{{"history": {history}}}')
    assert Trainings(tmp_path).report("0a") == {}


@pytest.mark.parametrize("word", ["..", ".", "...", "/", "../..", "/etc", "a/../../..", "C:\\x", "\0", "~"])
def test_learning_curves_stay_in_their_folder(word, tmp_path):
    run = tmp_path / "a" / "b" / "run"
    spec = {
        "datasets": [{"name": "synthetic", "label": word}],
        "backbones": [{"name": "splitbench/small_resnet", "label": word, "splits": [word]}],
        "methods": [{"name": "bottleneck", "lmbda": [1]}],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps(spec))
    from splitbench.bench.sweep.cells import expand

    (cell,) = expand(read_sweep(path))
    write_learning_curve(run, cell, {"history": [{"epoch": 1, "images": 8, "loss": 0.5}]})
    (written,) = tmp_path.rglob("*.csv")
    assert written.resolve().is_relative_to(run / "learning")
    assert len(written.relative_to(run / "learning").parts) == 6


def test_learning_curves_of_different_cells_do_not_overwrite_one_another(tmp_path):
    from splitbench.bench.sweep.cells import expand
    from splitbench.bench.sweep.schema import Sweep

    labels = ("val 120", "val-120", "val+120", "val/120")
    spec = {
        "datasets": [{"name": "synthetic", "label": label} for label in labels],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer2"]}],
        "methods": [{"name": "bottleneck", "lmbda": [1]}],
        "seeds": [0, 1],
    }
    cells = list(expand(Sweep.model_validate(spec)))
    for cell in cells:
        write_learning_curve(tmp_path, cell, {"history": [{"epoch": 1, "images": 8, "loss": 0.5}]})
    assert len(list(tmp_path.rglob("*.csv"))) == len(cells) == 8


@pytest.mark.parametrize("text", [DEEP, "{a: " * 5000, "!!python/name:os.system", "!!python/module:antigravity"])
@pytest.mark.parametrize("kind", [read_sweep, read_profile])
def test_yaml_of_any_kind_is_refused_in_a_sentence(text, kind, tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        kind(path)


def test_a_sweep_of_a_few_lines_is_not_reported_at_the_length_that_it_stands_for(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace("batch: 8", "\n".join([*lines, "batch: *a11", "seeds: *a11"])))
    with pytest.raises(UserError) as printed:
        read_sweep(path)
    assert len(str(printed.value)) < 3000
