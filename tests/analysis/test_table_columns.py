"""Every column of every table is explained, and what is said of intervals is so."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml

from splitbench.bench.analysis import table_columns
from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.compare.paired.statistics import SAMPLES
from splitbench.bench.analysis.latency import Question, what_if
from splitbench.bench.metrics import bootstrap
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench

ROOT = Path(__file__).parents[2]


def test_the_columns_are_those_of_the_tables_that_are_written(tmp_path):
    times = dict.fromkeys(("head_ms", "encode_ms", "decode_ms", "tail_ms"), 1.0)
    rows = samples.curve([1000, 2000, 4000], [70.0, 74.0, 75.5], **times)
    rows.append(samples.point(2, 76.0, **times, split="output", method="label-only", knob="k", value=1))
    file = samples.save(tmp_path / "cells.csv", rows)
    written = [
        *write(examine([file]), tmp_path / "out").files,
        *what_if([file], Question(mbps=(5.0,)), tmp_path / "out").files,
        file,
    ]
    tables = {path.name: tuple(pd.read_csv(path, nrows=0)) for path in written if path.suffix == ".csv"}
    assert {name: tuple(column.name for column in columns) for name, columns in table_columns.TABLES.items()} == tables
    assert all(column.meaning for columns in table_columns.TABLES.values() for column in columns)


def test_columns_are_reported_of_all_tables_of_one_and_by_name(capsys):
    assert splitbench("columns") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("key ") and "\nbd.csv\n" in printed and "Wilson's score interval" in printed
    for name in ("bd", "bd.csv"):
        assert splitbench("columns", name) == 0
        columns, _, intervals = capsys.readouterr().out.partition("\n\n")
        assert [line.split()[0] for line in columns.splitlines()] == [
            column.name for column in table_columns.TABLES["bd.csv"]
        ]
        assert intervals.startswith("intervals and tests")
    assert splitbench("columns", "p_holm") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("paired-tests.csv") and "Holm" in line


def test_an_unknown_column_is_named_with_the_nearest(capsys):
    assert splitbench("columns", "bytes_meen") == 2
    assert "no table and no column 'bytes_meen'; did you mean bytes_mean" in capsys.readouterr().err


def test_numbers_of_samples_are_those_that_are_drawn():
    printed = " ".join(table_columns.INTERVALS)
    assert f"bootstrap of {bootstrap.SAMPLES:,} samples" in printed
    assert f"{SAMPLES:,} samples (ap: {bootstrap.SAMPLES:,}" in printed


@pytest.mark.parametrize("name", ["version", "license"])
def test_what_is_cited_is_what_is_packaged(name):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited[name] == packaged[name]
