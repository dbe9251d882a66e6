"""The learning curve as a CSV."""

import pandas as pd
import pytest

from splitbench.bench.training import Report, TrainingError
from tests.helpers.training_samples import fit, full_disk


@pytest.fixture(scope="module")
def report() -> Report:
    _, report = fit()
    return report


def test_the_csv_reads_back_as_the_history(report, tmp_path):
    path = tmp_path / "new" / "curve.csv"
    report.write_csv(path)
    table = pd.read_csv(path, float_precision="round_trip")
    assert table.to_dict("records") == report.history
    assert list(table.columns[:4]) == ["epoch", "images", "seconds", "learning_rate"]
    assert [file.name for file in path.parent.iterdir()] == ["curve.csv"]


def test_a_csv_that_cannot_be_written_is_reported_and_the_old_one_kept(report, tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("old")
    with full_disk(10), pytest.raises(TrainingError, match=r"cannot write .*: make room"):
        report.write_csv(path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]
