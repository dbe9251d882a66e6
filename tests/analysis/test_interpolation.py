"""Bytes and accuracies read off curves, and fronts, on cases small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitbench.bench.analysis.compare.curves.front import (
    beside_every_split,
    front_over_all,
    front_per_backbone,
    front_per_split,
    splits_in_order,
    undominated,
)
from splitbench.bench.analysis.compare.curves.interpolation import (
    Numbers,
    accuracy_at_budgets,
    bytes_at_drops,
    envelope,
    read_bytes,
    read_drop,
)
from splitbench.bench.results.table import points
from tests.helpers import csv_samples as samples
from tests.helpers.csv_samples import table


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


def test_nothing_is_read_in_a_gap_between_rate_points():
    size, drop = np.array([100.0, 401, 500]), np.array([30.0, 3, 1])
    assert read_bytes(size, drop, 10.0) == (401.0, "at most")
    assert read_bytes(size, drop, 3.0) == (401.0, "measured")
    assert read_bytes(size, drop, 2.0).how == "interpolated"
    assert read_drop(size, drop, 400.0) == (30.0, "measured")
    assert read_drop(size, drop, 401.0) == (3.0, "measured")
    assert read_drop(size, drop, 450.0).how == "interpolated"


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
    need = bytes_at_drops(frame, [0.5, 2.0])
    assert need["how"].tolist() == ["not reached", "interpolated"]
    assert need["bytes"].isna().tolist() == [True, False]
    assert need["bytes"].iloc[1] == pytest.approx(200)
    reach = accuracy_at_budgets(frame, [50, 200])
    assert reach["accuracy"].isna().tolist() == [True, False]
    assert reach["accuracy"].iloc[1] == pytest.approx(74)


def test_bytes_for_a_drop_carry_the_drops_interval(tmp_path):
    rows = [
        row | {"drop_low": row["drop"] - 1, "drop_high": row["drop"] + 1} for row in samples.curve([100, 400], [72, 75])
    ]
    need = bytes_at_drops(table(tmp_path, rows), [1.5, 2.5])
    narrow, wide = (need[need["tolerated_drop"] == drop].iloc[0] for drop in (1.5, 2.5))
    assert wide["bytes_low"] < wide["bytes"] < wide["bytes_high"]
    assert np.isnan(narrow["bytes_high"])


def test_the_end_of_an_interval_that_lies_below_the_smallest_rate_point_is_reported_to_be_a_bound(tmp_path):
    rows = [
        row | {"drop_low": row["drop"] - 2, "drop_high": row["drop"] + 1}
        for row in samples.curve([100, 400], [73, 75.5])
    ]
    need = bytes_at_drops(table(tmp_path, rows), [1.2, 2.0, 4.5]).set_index("tolerated_drop")
    assert need["how_low"].tolist() == ["at most"] * 3
    assert need["bytes_low"].tolist() == [100.0] * 3
    assert need["how_high"].tolist() == ["not reached", "interpolated", "at most"]
    bare = [row | {"drop_low": "", "drop_high": ""} for row in rows]
    need = bytes_at_drops(table(tmp_path, bare, "bare"), [2.0])
    assert (need["how_low"].item(), need["how_high"].item()) == ("", "")


measured = st.tuples(st.integers(1, 6), st.integers(-8, 40), st.integers(0, 12), st.integers(0, 12))


@given(st.lists(measured, min_size=1, max_size=6), st.sampled_from([0.0, 1.0, 3.3]), st.sampled_from([150.0, 350.0]))
@example([(1, 10, 0, 0), (2, 18, 0, 0), (2, 2, 0, 0)], 1.0, 150.0)
def test_no_reading_lies_outside_its_interval(drawn, tolerated, budget):
    rows = []
    for place, (size, drop, below, above) in enumerate(drawn):
        row = samples.point(100 * size, 76 - drop / 2, method="a", split="layer2", knob="k", value=place)
        ends = {"drop_low": row["drop"] - below / 2, "drop_high": row["drop"] + above / 2}
        ends |= {"accuracy_low": row["accuracy"] - below / 2, "accuracy_high": row["accuracy"] + above / 2}
        rows.append(row | ends)
    frame = pd.DataFrame(rows).assign(source="")
    for filled, name in (
        (bytes_at_drops(frame, [tolerated]), "bytes"),
        (accuracy_at_budgets(frame, [budget]), "accuracy"),
    ):
        low, middle, high = (filled[f"{name}{end}"].item() for end in ("_low", "", "_high"))
        assert not low > middle * (1 + 1e-9)
        assert not high < middle * (1 - 1e-9)


def test_the_interval_of_a_curve_that_bends_back_holds_its_reading(tmp_path):
    points = ((77, 4.8, 3.55, 7.57), (155, 6.9, 5.53, 7.48), (184, 5.9, 3.51, 6.17), (300, -0.8, -1.35, 1.67))
    rows = [
        samples.point(size, 76 - drop, method="a", split="layer2", knob="k", value=size)
        | {"drop_low": low, "drop_high": high}
        for size, drop, low, high in points
    ]
    need = bytes_at_drops(table(tmp_path, rows), [1.0])
    assert need["bytes"].item() == need["bytes_low"].item() == pytest.approx(194, abs=1)
    assert np.isnan(need["bytes_high"].item())


def test_of_two_points_of_equal_bytes_the_worse_one_has_no_part_in_the_interval(tmp_path):
    rows = [
        row | {"accuracy_low": row["accuracy"], "accuracy_high": row["accuracy"]}
        for row in samples.curve([200, 100, 200], [67.0, 71.0, 75.0])
    ]
    reach = accuracy_at_budgets(table(tmp_path, rows), [150])
    assert reach["accuracy"].item() == reach["accuracy_low"].item() == reach["accuracy_high"].item()


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
    backbone = front_per_backbone(frame)
    assert {"label-only", "image", "quantize-rle"} <= set(backbone["method"])
    assert "label-only" not in set(front_per_split(frame)["method"])
    assert len(front_over_all(frame)) == len(backbone)


def test_splits_come_shallow_to_deep_and_images_beside_each(tmp_path):
    good = points(table(tmp_path, samples.run(splits=dict(reversed(samples.RESNET50.items())))))
    assert splits_in_order(good) == ["layer1", "layer2", "layer3", "layer4"]
    beside = beside_every_split(good)
    pictures = beside[beside["method"] == "image"]
    assert pictures.groupby("at_split").size().tolist() == [12, 12, 12, 12]
