"""What trainings cost: each once, whatever rate points share it, as the mean of one seed."""

import pytest

from splitbench.bench.analysis.compare.cost_table import cost_table
from splitbench.bench.results.table import read
from tests.helpers import csv_samples as samples


def costs_of(tmp_path, rows):
    return cost_table(read([samples.save(tmp_path / "cells.csv", rows)])).set_index("method")


def trained(seed, key=None, **changes):
    """Three rate points of a seed, of 100 images each; one training ``key`` for all, or one for each."""
    rows = samples.curve([1000, 2000, 4000], [70.0, 74.0, 75.0], method="m", seed=seed, train_images=100, **changes)
    return [row | {"training": key or f"{seed} {row['value']}"} for row in rows]


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_training_for_all_rate_points_counts_once(tmp_path, seeds):
    shared = [row for seed in range(seeds) for row in trained(seed, f"training of {seed}")]
    assert costs_of(tmp_path / "shared", shared).loc["m", "train_images"] == 100
    apart = [row for seed in range(seeds) for row in trained(seed)]
    assert costs_of(tmp_path / "apart", apart).loc["m", "train_images"] == 300


def test_so_it_does_where_a_seed_lacks_a_rate_point(tmp_path):
    first, second = trained(0, "training of 0"), trained(1, "training of 1")
    assert costs_of(tmp_path, first[:2] + second).loc["m", "train_images"] == 100


def test_tables_of_versions_that_named_no_training_count_each_row(tmp_path):
    rows = [row | {"training": ""} for row in trained(0)]
    assert costs_of(tmp_path, rows).loc["m", "train_images"] == 300
