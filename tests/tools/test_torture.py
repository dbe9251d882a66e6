"""A little of what ``make torture`` does at length: kills and faults."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture import injected_faults


def ran(*words: object) -> dict[str, int]:
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_sweep_survives_kills(tmp_path):
    counts = ran("tests.torture.kills", 3, tmp_path)
    assert counts["kills"] == 3 and counts["sweeps"] >= 1


@pytest.mark.slow
def test_full_disks_and_damaged_files_lose_nothing(tmp_path):
    injected_faults.run(tmp_path / "undisturbed")
    assert injected_faults.full_disk(tmp_path / "full", tmp_path / "undisturbed") > 10
    assert injected_faults.damaged_files(tmp_path / "damaged", tmp_path / "undisturbed") > 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    injected_faults.run(out)
    return out


FAST = ("raises",)


@pytest.mark.parametrize(
    "name", [pytest.param(f, marks=() if f in FAST else pytest.mark.slow) for f in injected_faults.FAULTS]
)
def test_one_cell_fails_alone_and_for_its_reason(name, tmp_path, undisturbed):
    injected_faults.cell_fails(name, tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quantize-rle", "coding"])
def test_the_fuzz_target_runs(name):
    pytest.importorskip("atheris", reason="needs the extra `fuzz`")
    command = [sys.executable, "-m", "tests.torture.fuzz", name, "-runs=2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr[-2000:]
    assert "number_of_executed_units: 2000" in done.stderr
