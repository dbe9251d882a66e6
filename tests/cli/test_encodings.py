"""Output that is no UTF-8: letters are spelled in ASCII, no command ends in a traceback, and files stay UTF-8."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from splitbench.bench.utils.files import write_text
from splitbench.bench.utils.log import LOG, log_to
from tests.helpers import csv_samples as samples
from tests.helpers.small_sweep import SMALL

ENCODINGS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}


def splitbench(encoding: str, *words: object) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-m", "splitbench.bench", *map(str, words)]
    kept = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LANG", "PYTHONIOENCODING")}
    done = subprocess.run(command, capture_output=True, env=kept | ENCODINGS[encoding], check=False)  # noqa: S603
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_comparison_is_printed_in_any_encoding_and_written_in_utf_8(tmp_path, encoding):
    run = tmp_path / "ergebnisse-ü"
    samples.save(run / "cells.csv", samples.curve([100, 200], [70.0, 75.5], method="größe"))
    code, out, _ = splitbench(encoding, "compare", run, "--out", run / "comparison")
    assert code == 0
    assert (b"drop <= 1" in out) == (encoding != "utf-8")
    assert {"latin-1": "größe".encode("latin-1"), "utf-8": "größe".encode()}.get(encoding, rb"gr\xf6\xdfe") in out
    assert "drop ≤ 1" in (run / "comparison" / "comparison.txt").read_text(encoding="utf-8")


def test_a_run_prints_writes_and_logs_without_utf_8(tmp_path):
    sweep = tmp_path / "größe.yaml"
    sweep.write_text(
        SMALL.replace("{name: synthetic, limit: 12}", "{name: synthetic, limit: 4, label: größe≤4}"), "utf-8"
    )
    code, out, err = splitbench("C", "run", sweep, "--out", tmp_path / "läufe")
    assert code == 0, err.decode(errors="replace")
    assert b"2 cells run, 0 kept, 0 failed" in out and b"gr\\xf6\\xdfe<=4" in out
    assert "größe≤4" in (tmp_path / "läufe" / "cells.csv").read_text(encoding="utf-8")
    assert {"report.html", "comparison", "figures"} <= {path.name for path in (tmp_path / "läufe").iterdir()}


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "C"])
def test_mistakes_and_help_are_printed_in_any_encoding(encoding):
    code, _, err = splitbench(encoding, "validate", "größe-≤.yaml")
    assert code == 2 and err.startswith(b"error: sweep file gr")
    code, out, _ = splitbench(encoding, "columns")
    assert code == 0 and b"<=" in out


def test_a_path_in_a_sweep_that_the_machine_cannot_name_is_a_sentence(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    text = SMALL.replace("{name: synthetic, limit: 12}", "{name: imagenet, root: größe}")
    sweep.write_text(text, encoding="utf-8")
    code, _, err = splitbench("C", "validate", sweep, "--data", tmp_path)
    assert code == 2 and err.startswith(b"error: imagenet: data folder not found") and rb"gr\xf6\xdfe" in err


def test_names_that_are_no_text_are_escaped_in_files_and_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(LOG, "propagate", False)  # pytest-xdist cannot send what pytest would capture
    name = os.fsdecode(b"gr\xf6\xdfe")
    assert write_text(tmp_path / "a.txt", name).read_text(encoding="utf-8") == "gr\\udcf6\\udcdfe\n"
    with log_to(tmp_path):
        LOG.log(logging.INFO, name)
    (file,) = Path(tmp_path / "log").iterdir()
    assert file.read_text(encoding="utf-8").endswith("gr\\udcf6\\udcdfe\n")
