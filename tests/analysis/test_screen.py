"""How a run ends: on one screen."""

from splitbench.bench.analysis.compare import as_screen_text
from splitbench.bench.analysis.compare.findings import examine_table
from splitbench.bench.results.table import read
from tests.helpers import csv_samples as samples


def text(tmp_path, rows) -> list[str]:
    return as_screen_text(examine_table(read([samples.save(tmp_path / "cells.csv", rows)]))).splitlines()


def test_the_best_is_named_in_words_and_in_the_table(tmp_path):
    rows = [
        *samples.curve([1000, 2000], [75.2, 76.0], method="a", baseline=76.0),
        *samples.curve([500, 4000], [70.0, 75.5], method="b", variant="mode=fast", baseline=76.0),
        *samples.curve([700, 4000], [70.0, 75.5], method="b", variant="mode=slow", baseline=76.0),
        *samples.curve([2], [76.0], method="label-only", split="output", baseline=76.0),
    ]
    lines = text(tmp_path, rows)
    assert lines[1].strip().startswith("a after layer2 needs the fewest bytes, ≤ 1,000 bytes, for a drop of 1 point")
    assert lines[2].strip().startswith("next there is b, ")
    assert "A device that can run the whole network sends 2 bytes (label-only)." in lines
    (row,) = [line for line in lines if line.startswith("layer2")]
    assert "a ≤ 1,000" in row


def test_many_backbones_fit_a_screen(tmp_path):
    rows = [
        row
        for backbone in map(str, range(12))
        for split in ("layer1", "layer2")
        for row in samples.curve([1000, 2000], [75.2, 76.0], method="a", backbone=backbone, split=split, baseline=76.0)
    ]
    lines = text(tmp_path, rows)
    assert len(lines) <= 35
    assert "(9 more rows in the report)" in lines and "(8 more backbones in the report)" in lines


def test_nothing_that_reaches_the_drop_is_said(tmp_path):
    lines = text(tmp_path, samples.curve([1000, 2000], [50.0, 60.0], method="a", baseline=76.0))
    assert lines[0].endswith("nothing that was measured loses 1 point or less.")
