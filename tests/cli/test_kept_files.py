"""``export`` and ``bench`` replace what they wrote themselves, and nothing else unasked; archives end in .ZIP, too."""

from pathlib import Path

import pytest

from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench
from tests.helpers.photographs import photographs_in


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a run's table."""
    folder = tmp_path / "user"
    folder.mkdir()
    samples.save(folder / "cells.csv", samples.curve([1000, 2000], [90.0, 95.0], method="a", baseline=100.0))
    return folder


def test_export_keeps_a_file_that_is_no_export_of_the_run(run, tmp_path, capsys):
    file = tmp_path / "user.zip"
    file.write_bytes(b"mine")
    assert splitbench("export", run) == 2
    refusal = capsys.readouterr().err
    assert f"{file} is there already" in refusal and "--force" in refusal and refusal.count("\n") == 1
    assert file.read_bytes() == b"mine"
    assert splitbench("export", run, "--force") == 0
    assert splitbench("export", run) == 0  # an earlier archive of the same run


def test_export_keeps_the_archive_of_another_run(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    samples.save(other / "cells.csv", samples.curve([500], [80.0], method="b", baseline=100.0))
    assert splitbench("export", other, "--out", tmp_path / "user.zip") == 0
    before = (tmp_path / "user.zip").read_bytes()
    assert splitbench("export", run) == 2
    assert (tmp_path / "user.zip").read_bytes() == before


def test_export_replaces_its_archive_after_the_run_went_on(run):
    (run / "cells").mkdir()
    (run / "cells" / "a.json").write_text('{"seconds": 1.5}')
    assert splitbench("export", run) == 0
    samples.save(run / "cells.csv", samples.curve([1000, 3000], [90.0, 96.0], method="a", baseline=100.0))
    assert splitbench("export", run) == 0


def test_an_archive_whose_ending_is_in_capitals_is_one(run, tmp_path, capsys):
    assert splitbench("export", run, "--out", tmp_path / "B1.ZIP") == 0
    assert splitbench("compare", tmp_path / "B1.ZIP") == 0
    assert "a" in capsys.readouterr().out


def test_export_of_a_table_that_is_not_utf8_is_a_sentence(run, tmp_path, capsys):
    (run / "cells.csv").write_bytes(b"key,versions\n1,\xff\xfe\n")
    assert splitbench("export", run) == 2
    refusal = capsys.readouterr().err
    assert f"{run / 'cells.csv'} is not a table" in refusal and refusal.count("\n") == 1
    assert not (tmp_path / "user.zip").exists()


@pytest.mark.usefixtures("no_figures")
def test_bench_keeps_a_sweep_that_was_edited(tmp_path, capsys):
    words = ("bench", "--model", "torchvision/squeezenet1_1", "--weights", "none", "--limit", 1, "--device", "cpu")
    out = tmp_path / "out"
    out.mkdir()
    (out / "bench.yaml").write_text("mine\n")
    assert splitbench(*words, "--data", photographs_in(tmp_path / "photos"), "--out", out) == 2
    refusal = capsys.readouterr().err
    assert f"{out / 'bench.yaml'} is there already" in refusal and "--force" in refusal
    assert (out / "bench.yaml").read_text() == "mine\n"


@pytest.fixture
def timed(tmp_path: Path) -> Path:
    """A folder with a run's table, with times."""
    folder = tmp_path / "timed"
    folder.mkdir()
    times = dict.fromkeys(("head_ms", "encode_ms", "decode_ms", "tail_ms"), 1.0)
    samples.save(folder / "cells.csv", samples.curve([1000, 2000], [99.5, 99.9], method="a", baseline=100.0, **times))
    return folder


@pytest.mark.parametrize(
    ("command", "theirs"), [("compare", "costs.csv"), ("compare", "comparison.md"), ("what-if", "regions.csv")]
)
def test_a_command_keeps_files_in_its_folder_that_it_did_not_write(timed, tmp_path, capsys, command, theirs):
    out = tmp_path / "mine"
    out.mkdir()
    (out / theirs).write_text("mine")
    assert splitbench(command, timed, "--out", out) == 2
    refusal = capsys.readouterr().err
    assert f"{out / theirs} is there already" in refusal and "--force" in refusal and refusal.count("\n") == 1
    assert [file.read_text() for file in out.iterdir()] == ["mine"]
    assert splitbench(command, timed, "--out", out, "--force") == 0
    (out / "notes.txt").write_text("mine")
    assert splitbench(command, timed, "--out", out) == 0  # an earlier answer
    assert (out / "notes.txt").read_text() == "mine" and (out / theirs).read_text() != "mine"


def test_report_keeps_a_page_that_is_no_report(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html>\n<title>Mine</title>")
    assert splitbench("report", run, "--out", page) == 2
    assert f"{page} is there already" in capsys.readouterr().err and "Mine" in page.read_text()
    assert splitbench("report", run, "--out", page, "--force") == 0
    assert splitbench("report", run, "--out", page) == 0
