"""Bytes and accuracies read off curves, and fronts, on cases small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitbench.bench import compare as cmp
from splitbench.bench.compare.curves import Numbers, envelope, read_bytes, read_drop
from splitbench.bench.compare.front import beside_every_split, splits_in_order, undominated
from splitbench.bench.table import points, read
from tests import csv_samples as samples


def table(tmp_path: Path, rows: list[samples.Row], name: str = "run") -> pd.DataFrame:
    return read([samples.save(tmp_path / name / "cells.csv", rows)])


def test_the_envelope_drops_what_costs_more_and_gains_nothing():
    size, drop = envelope(np.array([400.0, 100, 300, 200, 200]), np.array([1.0, 9, 5, 4, 6]))
    assert size.tolist() == [100, 200, 400]
    assert drop.tolist() == [9, 4, 1]


def test_bytes_for_a_drop_halfway_between_two_points_are_their_geometric_mean():
    reading = read_bytes(np.array([100.0, 400.0]), np.array([3.0, 1.0]), 2.0)
    assert reading.how == "interpolated"
    assert reading.value == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("tolerated", "value", "how"),
    [(0.5, np.nan, "not reached"), (1, 400, "measured"), (3, 100, "measured"), (9, 100, "at most")],
)
def test_bytes_are_read_within_the_measured_points_only(tolerated, value, how):
    reading = read_bytes(np.array([100.0, 400.0]), np.array([3.0, 1.0]), tolerated)
    assert reading.how == how
    assert reading.value == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("budget", "value", "how"),
    [(99, np.nan, "not reached"), (100, 3, "measured"), (200, 2, "interpolated"), (9999, 1, "measured")],
)
def test_the_drop_within_a_budget(budget, value, how):
    reading = read_drop(np.array([100.0, 400.0]), np.array([3.0, 1.0]), budget)
    assert reading.how == how
    assert reading.value == pytest.approx(value, nan_ok=True)


def test_a_single_rate_point_can_be_read_but_not_interpolated():
    assert read_bytes(np.array([100.0]), np.array([1.0]), 2.0) == (100.0, "at most")
    assert read_bytes(np.array([100.0]), np.array([1.0]), 0.5).how == "not reached"


@given(arrays(float, st.integers(1, 9), elements=st.floats(1, 1e7)), st.data())
def test_readings_lie_within_the_measured_range_and_agree_with_each_other(size, data):
    drop = data.draw(arrays(float, len(size), elements=st.floats(-5, 50)))
    tolerated = data.draw(st.floats(-6, 51))
    reading = read_bytes(size, drop, tolerated)
    assert np.isnan(reading.value) == (drop.min() > tolerated)
    if not np.isnan(reading.value):
        assert size.min() * (1 - 1e-9) <= reading.value <= size.max() * (1 + 1e-9)
        assert read_drop(size, drop, reading.value * (1 + 1e-9)).value <= tolerated + 1e-3


def test_tables_of_readings_hold_every_curve_and_keep_not_reached_empty(tmp_path):
    frame = table(tmp_path, samples.curve([100, 400], [73, 75], wide=0.0))
    need = cmp.bytes_at_drops(frame, [0.5, 2.0])
    assert need["how"].tolist() == ["not reached", "interpolated"]
    assert need["bytes"].isna().tolist() == [True, False]
    assert need["bytes"].iloc[1] == pytest.approx(200)
    reach = cmp.accuracy_at_budgets(frame, [50, 200])
    assert reach["accuracy"].isna().tolist() == [True, False]
    assert reach["accuracy"].iloc[1] == pytest.approx(74)


def test_bytes_for_a_drop_carry_the_drops_interval(tmp_path):
    rows = [
        row | {"drop_low": row["drop"] - 1, "drop_high": row["drop"] + 1}
        for row in samples.curve([100, 1000], [72, 75])
    ]
    need = cmp.bytes_at_drops(table(tmp_path, rows), [1.5, 2.5])
    narrow, wide = (need[need["tolerated_drop"] == drop].iloc[0] for drop in (1.5, 2.5))
    assert wide["bytes_low"] < wide["bytes"] < wide["bytes_high"]
    assert np.isnan(narrow["bytes_high"])


# Fronts


@given(arrays(float, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=st.integers(0, 6).map(float)))
def test_the_front_is_what_nothing_dominates_and_dominates_all_else(costs):
    keep = undominated(costs)

    def beats(one: Numbers, other: Numbers) -> bool:
        return bool((one <= other).all() and (one < other).any())

    assert keep.any()
    for i, row in enumerate(costs):
        by_front = any(beats(other, row) for other in costs[keep])
        assert keep[i] != by_front


def test_a_label_does_not_win_by_bytes_alone(tmp_path):
    frame = table(tmp_path, samples.run(images=1000))
    backbone = cmp.front_per_backbone(frame)
    assert {"label-only", "image", "quantize-rle"} <= set(backbone["method"])
    assert "label-only" not in set(cmp.front_per_split(frame)["method"])
    assert len(cmp.front_over_all(frame)) == len(backbone)


def test_splits_come_shallow_to_deep_and_pictures_beside_each(tmp_path):
    good = points(table(tmp_path, samples.run(splits=dict(reversed(samples.RESNET50.items())))))
    assert splits_in_order(good) == ["layer1", "layer2", "layer3", "layer4"]
    beside = beside_every_split(good)
    pictures = beside[beside["method"] == "image"]
    assert pictures.groupby("at_split").size().tolist() == [12, 12, 12, 12]
