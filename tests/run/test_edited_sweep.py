"""A sweep that was edited, run again into the same folder: nothing stored is lost, and what the table shows is said."""

import csv

import pytest
from typer.testing import CliRunner

from splitbench.bench.cli.main import app
from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.tools.migrate import migrate
from tests.helpers.small_sweep import SMALL


@pytest.fixture
def run(tmp_path):
    """Run the small sweep with other bits, into the same folder; return what it did, what it said, and the table."""

    def edited(bits, label="synthetic"):
        path = tmp_path / "sweep.yaml"
        messages: list[str] = []
        text = SMALL.replace("[2, 4]", bits).replace("name: synthetic", f"name: synthetic, label: {label}")
        path.write_text(text)
        result = runner.run(read(path), Sources(), Store(tmp_path / "out"), say=messages.append)
        return result.done, result.kept, " ".join(messages), table(tmp_path)

    return edited


def table(tmp_path):
    with (tmp_path / "out" / "cells.csv").open() as stream:
        return [(row["dataset"], row["value"]) for row in csv.DictReader(stream)]


def collected(tmp_path, *options):
    result = CliRunner().invoke(app, ["collect", str(tmp_path / "out"), *options])
    assert result.exit_code == 0
    return result.output


def test_a_rate_point_taken_out_stays_stored_and_comes_back(run, tmp_path):
    assert run("[2, 4]")[:2] == (2, 0)
    done, kept, messages, rows = run("[4]")
    assert (done, kept, rows) == (0, 1, [("synthetic", "4")])
    assert read(tmp_path / "out" / "sweep.yaml") == read(tmp_path / "sweep.yaml")
    assert "1 stored cell of earlier sweeps is not in this one, nor in the table" in messages
    assert f"`splitbench collect --all {tmp_path / 'out'}`" in messages
    assert "1 stored cell of earlier sweeps left out: --all takes them in" in collected(tmp_path)
    assert table(tmp_path) == [("synthetic", "4")]
    assert "left out" not in collected(tmp_path, "--all")
    assert table(tmp_path) == [("synthetic", "4"), ("synthetic", "2")]
    done, kept, messages, rows = run("[2, 4]")
    assert (done, kept, rows) == (0, 2, [("synthetic", "2"), ("synthetic", "4")])
    assert "earlier sweeps" not in messages


def test_a_rate_point_put_in_is_run_alone(run):
    run("[4]")
    done, kept, messages, rows = run("[4, 6]")
    assert (done, kept, rows) == (1, 1, [("synthetic", "4"), ("synthetic", "6")])
    assert "earlier sweeps" not in messages


def test_another_label_of_the_same_cells_is_no_other_cell(run):
    run("[4]")
    done, kept, messages, rows = run("[4]", "drawn")
    assert (done, kept, rows) == (0, 1, [("drawn", "4")])
    assert "earlier sweeps" not in messages


def test_a_migration_keeps_which_cells_are_earlier_ones(run, tmp_path):
    run("[2, 4]")
    run("[4]")
    migrate(tmp_path / "out")
    assert table(tmp_path) == [("synthetic", "4")]
    collected(tmp_path, "--all")
    assert table(tmp_path) == [("synthetic", "4"), ("synthetic", "2")]
