"""The command line from end to end, on small photographs and a random SqueezeNet."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.evaluation import Prepared, measure
from splitbench.bench.results.columns import NAMES
from splitbench.bench.run import runner, tasks
from splitbench.bench.sweep.renamed import RenamedWarning
from splitbench.methods import MethodError
from splitbench.methods.quantize_rle import METHOD
from tests.helpers.command_line import rows, splitbench
from tests.helpers.photographs import photographs_in

SWEEP = """
datasets:
  - name: imagenet
    label: photos
    root: val
    preprocessing: {resize: 64, crop: 64}
    calibration: {root: train}
backbones:
  - {name: torchvision/squeezenet1_1, weights: none, splits: [features.5, features.8]}
methods:
  - {name: raw}
  - {name: quantize-rle, bits: [2, 8]}
  - {name: quantize-rle, bits: [4], granularity: channel, range: calibrated, clip: mse}
  - {name: image, quality: [10, 90]}
  - {name: label-only}
batch: 5
"""
CELLS = 2 * (2 + 2 + 1) + 2 + 2


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    (folder / "small.yaml").write_text(SWEEP)
    words = ("--data", photographs_in(folder / "data"), "--out", folder / "out", "--device", "cpu")
    assert splitbench("run", folder / "small.yaml", *words) == 0
    return folder / "out"


@pytest.fixture
def done(first: Path, tmp_path: Path) -> Path:
    """A run's folder, to be changed as one likes."""
    return shutil.copytree(first, tmp_path / "out")


def test_a_run_ends_in_table_comparison_and_figures(done):
    table = rows(done)
    assert len(table) == CELLS
    assert tuple(table[0]) == NAMES
    assert {row["status"] for row in table} == {"ok"}
    assert {row["images"] for row in table} == {"12"}
    assert {row["input"] for row in table} == {"3x64x64, resize 64, bilinear"}
    for row in table:
        parts = sum(float(row[name]) for name in ("payload_bytes", "side_bytes", "framing_bytes"))
        assert parts == pytest.approx(float(row["bytes_mean"]), rel=1e-6)
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
        assert float(row["bits_per_pixel"]) == pytest.approx(8 * float(row["bytes_mean"]) / 64**2, rel=1e-6)
        assert float(row["head_ms"]) > 0 or row["macs_head"] == "0"
        assert float(row["tail_ms"]) > 0 or row["macs_tail"] == "0"
    by = {(row["split"], row["method"], row["value"], row["variant"]): row for row in table}
    exact = by["features.5", "raw", "float32", ""]
    assert float(exact["drop"]) == 0 and exact["ratio"] == "1"
    assert int(exact["bytes_max"]) == 4 * 128 * 7 * 7
    assert by["output", "label-only", "1", ""]["bytes_mean"] == "2"
    assert by["output", "label-only", "1", ""]["top5"] == ""
    assert by["output", "label-only", "1", ""]["macs_tail"] == "0"
    assert by["input", "image", "10", ""]["macs_head"] == "0"
    assert by["features.8", "quantize-rle", "2", ""]["switch_device_bytes"] == "0"
    heads = {row["split"]: int(row["macs_head"]) + int(row["macs_tail"]) for row in table}
    assert len(set(heads.values())) == 1
    assert list((done / "figures").glob("*.svg")) and list((done / "figures").glob("*.png"))
    assert (done / "comparison" / "comparison.txt").read_text()


def test_records_hold_what_the_table_says(done):
    row = next(row for row in rows(done) if row["method"] == "quantize-rle" and row["value"] == "2")
    with np.load(done / "records" / f"{row['key']}.npz") as records:
        assert records["bytes"].mean() == pytest.approx(float(row["bytes_mean"]))
        assert 100 * records["top1"].mean() == pytest.approx(float(row["accuracy"]))
        assert 100 * records["baseline_top1"].mean() == pytest.approx(float(row["baseline"]))
        assert len(records["bytes"]) == len((done / "images" / f"{row['fingerprint']}.txt").read_text().split())


@pytest.mark.usefixtures("no_figures")
def test_running_again_does_only_what_is_missing(done, sweep, photographs, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (done / "cells").iterdir()}
    table = (done / "cells.csv").read_bytes()
    gone = sorted((done / "cells").iterdir())[0]
    content = json.loads(gone.read_text())
    gone.unlink()
    damaged = sorted((done / "cells").iterdir())[0]
    damaged.write_text(damaged.read_text()[:100])
    assert splitbench("run", sweep, "--data", photographs, "--out", done, "--device", "cpu") == 0
    assert f"2 cells run, {CELLS - 2} kept, 0 failed" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in (done / "cells").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {gone.name, damaged.name}
    again = json.loads(gone.read_text())
    measured = ("bytes_mean", "accuracy", "drop_low", "macs_head", "fingerprint", "weights")
    assert {name: content["columns"][name] for name in measured} == {name: again["columns"][name] for name in measured}
    assert len(table.splitlines()) == len((done / "cells.csv").read_bytes().splitlines())


def test_the_table_can_be_rebuilt(done):
    table = (done / "cells.csv").read_bytes()
    (done / "cells.csv").unlink()
    assert splitbench("collect", done) == 0
    assert (done / "cells.csv").read_bytes() == table


def test_compare_and_figures_read_the_table_alone(done, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "cells.csv").write_bytes((done / "cells.csv").read_bytes())
    assert splitbench("compare", alone) == 0
    assert [path.name for path in alone.iterdir()] == ["cells.csv"]  # nothing is written that was not asked for
    assert splitbench("compare", alone, "--out", tmp_path / "compared", "--json") == 0
    assert {path.name for path in (tmp_path / "compared").iterdir()} == {
        path.name for path in (done / "comparison").iterdir()
    }
    assert splitbench("figures", alone, "--out", tmp_path / "drawn") == 0
    # How bytes spread over images is not in the table: that one figure is drawn from the records.
    spread = {path.name for path in (done / "figures").glob("bytes-spread*.svg")}
    assert len(spread) == 1
    first = {path.name: path.read_bytes() for path in (done / "figures").glob("*.svg") if path.name not in spread}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "drawn").glob("*.svg")}


@pytest.mark.usefixtures("no_figures")
def test_the_key_follows_what_changes_a_result_and_nothing_else(sweep, photographs, tmp_path, capsys):
    def keys(text: str, data: Path = photographs) -> set[str]:
        sweep.write_text(text)
        assert splitbench("validate", sweep, "--data", data, "--device", "cpu") == 0
        lines = capsys.readouterr().out.splitlines()
        return {line.split()[0] for line in lines if line.startswith("  ")}

    text = SWEEP.replace("  - {name: raw}\n", "").replace("  - {name: image, quality: [10, 90]}\n", "")
    first = keys(text)
    moved = photographs.rename(tmp_path / "moved")
    assert keys(text, moved) == first
    for before, after in (("batch: 5", "batch: 7"), ("label: photos", "label: other")):
        assert keys(text.replace(before, after), moved) == first
    for before, after in (("crop: 64", "crop: 56"), ("weights: none", "weights: none, args: {dropout: 0.1}")):
        assert not keys(text.replace(before, after), moved) & first
    (moved / "train" / "images" / "photo_0100.JPEG").write_bytes(
        (moved / "train" / "images" / "photo_0101.JPEG").read_bytes()
    )
    changed = keys(text, moved)
    assert len(first - changed) == 2  # the calibrated cells, at two splits


@pytest.mark.usefixtures("no_figures")
def test_unreadable_images_fail_the_cells_or_are_left_out_by_choice(sweep, photographs, tmp_path, capsys):
    for name in ("photo_0003.JPEG", "photo_0007.JPEG"):
        (photographs / "val" / "images" / name).write_bytes(b"no image")
    out = tmp_path / "out"
    assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 1
    printed = capsys.readouterr().err
    assert "2 images cannot be read" in printed and "photo_0003.JPEG" in printed and "photo_0007.JPEG" in printed
    table = rows(out)
    assert {row["status"] for row in table} == {"failed"} and all("photo_0003" in row["reason"] for row in table)

    sweep.write_text(SWEEP.replace("    root: val\n", "    root: val\n    unreadable: skip\n"))
    assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 0
    table = rows(out)
    assert {(row["status"], row["images"], row["images_unreadable"]) for row in table} == {("ok", "10", "2")}


class Breaking:
    """A codec that fails at the first cut."""

    def __init__(self, codec):
        self.decode = codec.decode

    def encode(self, cut):
        raise MethodError("it broke in the middle")


@pytest.mark.usefixtures("no_figures")
def test_one_cell_that_fails_leaves_the_others_alone(sweep, photographs, tmp_path, monkeypatch, capsys):
    deploy = METHOD.deploy

    def fragile(settings, context):
        deployment = deploy(settings, context)
        return replace(deployment, codec=Breaking(deployment.codec)) if settings.bits == 8 else deployment

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(METHOD, "deploy", fragile)
        assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 1
    assert "bits=8: it broke in the middle" in capsys.readouterr().err
    assert sorted(row["status"] for row in rows(out)) == ["failed"] * 2 + ["ok"] * (CELLS - 2)
    assert splitbench("run", sweep, "--data", photographs, "--out", out, "--overwrite", "never") == 1
    assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 0
    assert f"2 cells run, {CELLS - 2} kept, 0 failed" in capsys.readouterr().out


def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out"


@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        (("root: val", "root: nowhere"), {}, "data folder not found"),
        (("features.8]", "features.80]"), {}, "no split point 'features.80' that runs in eval mode; did you mean"),
        (("squeezenet1_1", "squeezenet9"), {}, "did you mean squeezenet1_1"),
        (("quantize-rle, bits: [4]", "quantise-rle, bits: [4]"), {}, "did you mean quantize-rle"),
        (("weights: none", "weights: nowhere.pth"), {}, "weights file not found: nowhere.pth"),
        (("weights: none", "weights: none, args: {num_classes: 5}"), {}, "labels do not match"),
        (("{root: train}", "{root: val}"), {}, "calibration images are evaluation images"),
        (("{resize: 64, crop: 64}", "{resiz: 64}"), {}, "did you mean resize"),
        (("", ""), {"--device": "cuda:99"}, "--device cuda:99, but"),
        (("", ""), {"--device": "tpu"}, "--device takes"),
        (("", ""), {"--out": unwritable}, "choose another folder by --out"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(sweep, photographs, tmp_path, capsys, change, words, sentence):
    sweep.write_text(SWEEP.replace(*change))
    options = {"--data": photographs, "--out": tmp_path / "out", "--device": "cpu"}
    options |= {name: value(tmp_path) if callable(value) else value for name, value in words.items()}
    code = splitbench("run", sweep, *(word for pair in options.items() for word in pair))
    printed = capsys.readouterr().err
    assert code == 2
    assert sentence in printed and "Traceback" not in printed
    assert len([line for line in printed.splitlines() if line.startswith("error:")]) == 1


@pytest.mark.usefixtures("no_figures")
def test_a_folder_of_weights_that_is_not_there_is_named_even_where_no_weights_are_wanted(
    sweep, photographs, tmp_path, capsys
):
    options = ("--data", photographs, "--out", tmp_path / "out", "--device", "cpu", "--weights", "/nonexistent")
    assert splitbench("run", sweep, *options) == 2
    assert "weights folder not found: /nonexistent" in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_a_full_disk_is_reported_and_loses_nothing(done, sweep, photographs, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in (done / "cells").iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    words = ("--data", photographs, "--out", done, "--device", "cpu", "--overwrite", "all")
    assert splitbench("run", sweep, *words) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (done / "cells").iterdir()} == before
    assert not [path for path in done.rglob(".*") if path.is_file()]


@pytest.mark.usefixtures("no_figures")
def test_an_interrupted_run_keeps_finished_passes(sweep, photographs, tmp_path, monkeypatch, capsys):
    second = "  - {name: torchvision/squeezenet1_0, weights: none, splits: [features.5]}\n"
    sweep.write_text(SWEEP.replace("methods:", f"{second}methods:"))
    original = measure
    passes: list[Prepared] = []

    def interrupted(prepared, first, *rest):
        passes[:] = passes if prepared in passes else [*passes, prepared]
        if len(passes) == 2 and first > 0:
            raise KeyboardInterrupt
        return original(prepared, first, *rest)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "measure", interrupted)
        assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 130
    assert "resumes from there" in capsys.readouterr().err
    assert len(rows(out)) == CELLS
    starts: list[int] = []

    def noted(prepared, first, *rest):
        starts.append(first)
        return original(prepared, first, *rest)

    monkeypatch.setattr(tasks, "measure", noted)
    assert splitbench("run", sweep, "--data", photographs, "--out", out, "--device", "cpu") == 0
    assert f"{CELLS} kept" in capsys.readouterr().out
    assert min(starts) == 1  # the first batch of the second pass was stored before
    assert not (out / "unfinished").exists()


@pytest.mark.usefixtures("no_figures")
def test_patience_is_taken_for_time_limit_and_the_new_name_is_reported(sweep, photographs, tmp_path, monkeypatch):
    limits = []

    def noted(checked, sources, store, options, say, **more):
        limits.append(options.time_limit)
        return runner.Result(0, 0, ())

    monkeypatch.setattr(runner, "run", noted)
    words = ("run", sweep, "--data", photographs, "--out", tmp_path / "out", "--device", "cpu")
    with pytest.warns(RenamedWarning, match="option --patience is called --time-limit now"):
        assert splitbench(*words, "--patience", 7) == 0
    assert splitbench(*words, "--time-limit", 8) == 0
    assert splitbench(*words) == 0
    assert limits == [7, 8, 3600]


def test_python_m_and_lists_work():
    for words in (["--help"], ["columns"], ["methods"], ["sweeps"]):
        command = [sys.executable, "-m", "splitbench.bench", *words]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        assert done.returncode == 0, done.stderr
        assert done.stdout
