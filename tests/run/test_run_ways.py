"""Other ways to run a sweep: naively, in another precision; and the benchmark."""

import csv
import json
import sys

import numpy as np
import pytest

from splitbench.bench.cli import main, results
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read

SWEEP = """
datasets: [{name: imagenet, label: photos, root: val}]
backbones:
  - name: torchvision/squeezenet1_1
    weights: none
    preprocessing: {resize: 40, crop: 32}
    splits: [features.3, features.5]
methods:
  - {name: quantize-rle, bits: [2, 4]}
  - {name: label-only, k: [1]}
batch: 5
"""
TIMES = {"seconds", "fixed_seconds", "date", "head_ms", "encode_ms", "decode_ms", "tail_ms", "switch_ms"}


def splitbench(*words, monkeypatch):
    monkeypatch.setattr("sys.argv", ["splitbench", *map(str, words)])
    try:
        main.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def untimed(folder):
    """All of a run but times: rows, and every cell's records."""
    with (folder / "cells.csv").open(newline="") as stream:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(stream)]
    records = {path.name: dict(np.load(path)) for path in sorted((folder / "records").glob("*.npz"))}
    return rows, {name: {k: v.tolist() for k, v in values.items()} for name, values in records.items()}


def test_naive_runs_give_the_same(sweep, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "conclude", lambda *_: None)  # figures are not what this is about
    monkeypatch.setattr(results, "print_conclusion", lambda *_: None)
    ways = {"one-pass": (), "naive": ("--naive",)}
    result = {}
    for name, words in ways.items():
        out = tmp_path / name
        command = ("run", sweep, "--data", photographs, "--out", out, "--device", "cpu", *words)
        assert splitbench(*command, monkeypatch=monkeypatch) == 0
        result[name] = untimed(out)
    assert all(item == result["one-pass"] for item in result.values())
    rows, _ = result["one-pass"]
    assert len(rows) == 5 and {row["status"] for row in rows} == {"ok"}
    assert {(row["precision"], row["batch"]) for row in rows} == {("float32", "5")}


def test_precision_is_part_of_a_cells_key_where_it_is_not_float32(sweep, photographs):
    def keys(precision):
        sweep.write_text(SWEEP + (f"precision: {precision}\n" if precision else ""))
        (item,) = plan_passes(read(sweep), Sources(data=photographs))
        assert all(p.ingredients["precision"] == (precision or "float32") for p in item.cells)
        return {p.key for p in item.cells}

    assert keys("") == keys("float32")
    assert len(keys("float32") | keys("bfloat16") | keys("float16")) == 15


def test_answers_of_half_precision_networks_have_new_keys_since_they_are_sent_in_float32(sweep, photographs):
    for precision in ("float32", "bfloat16"):
        sweep.write_text(f"{SWEEP}precision: {precision}\n")
        (item,) = plan_passes(read(sweep), Sources(data=photographs))
        marked = {p.cell.split for p in item.cells if p.ingredients.get("answers") == "float32"}
        assert marked == ({"output"} if precision == "bfloat16" else set())
        assert "output" in {p.cell.split for p in item.cells}


def test_the_benchmark_measures_and_writes_json(tmp_path, monkeypatch, capsys):
    out = tmp_path / "folder" / "benchmark.json"
    parts = ("sweep", "quantize-rle", "profile", "intervals", "drawing")
    words = ("benchmark", "--quick", "--device", "cpu", "--out", out)
    assert splitbench(*words, *(word for part in parts for word in ("--part", part)), monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    content = json.loads(out.read_text())
    names = [item["name"] for item in content["measured"]]
    assert len(names) == len(set(names)) == 6 + 18 + 6 + 1 + 2
    for item in content["measured"]:
        assert item["smallest"] <= item["median"] <= item["largest"]
        assert item["values"] and item["smallest"] > 0
        assert item["name"] in printed
    assert content["machine"]["device"] == "cpu" and content["machine"]["threads"] >= 1
    assert splitbench("benchmark", "--part", "swep", monkeypatch=monkeypatch) == 2
    assert "sweep" in capsys.readouterr().err


def test_range_coding_is_compared_with_compressais(tmp_path, monkeypatch, capsys):
    pytest.importorskip("compressai", reason="CompressAI is not installed here")
    out = tmp_path / "benchmark.json"
    assert splitbench("benchmark", "--quick", "--part", "range", "--out", out, monkeypatch=monkeypatch) == 0
    assert len(json.loads(out.read_text())["measured"]) == 5


def test_without_compressai_that_part_is_skipped_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "compressai.entropy_models", None)
    out = tmp_path / "benchmark.json"
    words = ("benchmark", "--quick", "--part", "range", "--part", "drawing", "--out", out)
    assert splitbench(*words, monkeypatch=monkeypatch) == 0
    assert (
        "skipped range: range coding is compared with CompressAI's, which is not installed" in capsys.readouterr().out
    )
    assert len(json.loads(out.read_text())["measured"]) == 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rate_points(tmp_path, monkeypatch):
    out = tmp_path / "benchmark.json"
    words = ("benchmark", "--quick", "--device", "cpu", "--out", out, "--part", "memory")
    assert splitbench(*words, monkeypatch=monkeypatch) == 0
    assert json.loads(out.read_text())["measured"][-1]["median"] < 1.1
