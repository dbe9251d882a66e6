"""Whether the best answer is clear: by the same images for both, and not by their own intervals."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from splitbench.bench.analysis.compare.paired.paired_answers import PairedAnswers, fewer_bytes, more_accurate
from splitbench.bench.analysis.compare.summary import summary
from splitbench.bench.metrics import bootstrap
from splitbench.bench.results.table import points, read
from tests.helpers import csv_samples as samples

IMAGES = 400


def stored(folder: Path, curves: dict[str, Sequence[tuple[float, set[int]]]], *, seed: int = 0) -> list[samples.Row]:
    """Rows with records: a method's rate points as (bytes, images that it gets wrong and the backbone right)."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    rows = []
    for method, rate_points in curves.items():
        for value, (size, wrong) in enumerate(rate_points):
            top1 = np.ones(IMAGES, np.uint8)
            top1[list(wrong)] = 0
            accuracy = 100 * float(top1.mean())
            given = {"method": method, "split": "layer2", "knob": "k", "value": value, "seed": seed}
            row = samples.point(size, accuracy, baseline=100.0, images=IMAGES, **given)
            rows.append(row)
            np.savez(folder / "records" / f"{row['key']}.npz", top1=top1, baseline_top1=np.ones(IMAGES, np.uint8))
    return rows


def clear(folder: Path, rows: list[samples.Row], better=None) -> bool | None:
    frame = read([samples.save(folder / "cells.csv", rows)])
    by_method = {row["method"]: row for _, row in points(frame).iterrows()}
    return PairedAnswers(frame).clear(by_method["a"], by_method["b"], better or more_accurate(1000))


@pytest.mark.parametrize(("only_a", "only_b"), [(5, 0), (6, 0), (7, 1), (9, 1), (20, 10), (24, 10), (0, 9), (0, 0)])
def test_two_classifiers_are_distinguished_where_mcnemars_test_does(tmp_path, only_a, only_b):
    wrong_a, wrong_b = set(range(only_b)), set(range(100, 100 + only_a))
    both = set(range(200, 240))  # makes the intervals of the accuracies overlap widely
    rows = stored(tmp_path, {"a": [(1000, wrong_a | both)], "b": [(1000, wrong_b | both)]})
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert clear(tmp_path, rows) == (p < 0.05 and only_a > only_b)


def test_bytes_for_a_drop_are_compared_in_every_sample(tmp_path):
    lost = [set(range(40)), set(range(20)), set(range(6)), set()]
    sizes = [100, 200, 300, 400]
    curve = list(zip(sizes, lost, strict=True))
    (tmp_path / "far").mkdir()
    # The same images are lost at 1.5 times the bytes: whichever images are drawn, that is more.
    dearer = [(1.5 * size, wrong) for size, wrong in curve]
    assert clear(tmp_path / "far", stored(tmp_path / "far", {"a": curve, "b": dearer}), fewer_bytes(2)) is True
    # The other loses other images: which of both takes fewer bytes depends on the images drawn.
    others = [(1.02 * size, {390 - image for image in wrong}) for size, wrong in curve]
    assert clear(tmp_path / "near", stored(tmp_path / "near", {"a": curve, "b": others}), fewer_bytes(2)) is False


def test_draws_are_those_of_average_precision_however_many_are_made_at_once(monkeypatch):
    images = 37
    expected = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), bootstrap.SAMPLES)
    assert np.array_equal(bootstrap.image_draws(images).T, expected)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 10 * images)
    assert np.array_equal(bootstrap.image_draws(images).T, expected)


def test_images_are_drawn_once_for_all_rate_points(tmp_path, monkeypatch):
    calls, whole = list[int](), bootstrap.image_draws

    def counted(images):
        calls.append(images)
        return whole(images)

    monkeypatch.setattr(bootstrap, "image_draws", counted)
    curves = {name: [(1000 + lost, {*range(lost)}) for lost in (5, 10, 20)] for name in "ab"}
    assert clear(tmp_path, stored(tmp_path, curves)) is False
    assert calls == [IMAGES]


def test_a_bound_of_the_other_makes_nothing_clear(tmp_path):
    rows = stored(tmp_path, {"a": [(100, {1, 2})], "b": [(5000, {3})]})
    assert clear(tmp_path, rows, fewer_bytes(5)) is False  # b might do with fewer bytes than were measured


def test_what_is_never_reached_is_clear(tmp_path):
    rows = stored(tmp_path, {"a": [(100, set(range(40))), (200, set())], "b": [(100, set(range(200)))]})
    assert clear(tmp_path, rows, fewer_bytes(5)) is True


def test_seeds_are_averaged(tmp_path):
    curves = {"a": [(1000, set())], "b": [(1000, set(range(12)))]}
    rows = stored(tmp_path, curves)
    assert clear(tmp_path, rows) is True
    again = stored(tmp_path, {"b": [(1000, set())], "a": [(1000, set(range(12)))]}, seed=1)
    assert clear(tmp_path, [*rows, *again]) is False


def test_without_records_intervals_decide_and_the_row_says_so(tmp_path):
    both = set(range(100, 140))
    rows = stored(tmp_path, {"a": [(1000, both)], "b": [(1000, both | set(range(12)))]})

    def asked() -> list[str]:
        table = summary(read([samples.save(tmp_path / "cells.csv", rows)]), budgets=[1000])
        return table.loc[table["question"] == "accuracy within 1,000 bytes", ["clear", "by"]].iloc[0].tolist()

    assert asked() == ["yes", "same images"]
    (file,) = (tmp_path / "records" / f"{row['key']}.npz" for row in rows if row["method"] == "b")
    file.unlink()
    assert clear(tmp_path, rows) is None
    assert asked() == ["no", "intervals"]  # their intervals overlap


def test_records_of_another_result_are_not_taken_for_the_rows(tmp_path):
    rows = stored(tmp_path, {"a": [(1000, set())], "b": [(1000, set(range(12)))]})
    assert clear(tmp_path, rows) is True
    for row, mean in zip(rows, (1000.0001, 1000.0001), strict=True):  # a table's numbers are rounded
        file = tmp_path / "records" / f"{row['key']}.npz"
        np.savez(file, **dict(np.load(file)), bytes=np.full(IMAGES, mean))
    assert clear(tmp_path, rows) is True
    for row, mean in zip(rows, (1000, 1001), strict=True):
        file = tmp_path / "records" / f"{row['key']}.npz"
        np.savez(file, **dict(np.load(file)) | {"bytes": np.full(IMAGES, mean)})
    assert clear(tmp_path, rows) is None


def test_damaged_records_are_left_out(tmp_path):
    rows = stored(tmp_path, {"a": [(1000, set())], "b": [(1000, set(range(12)))]})
    file = tmp_path / "records" / f"{rows[0]['key']}.npz"
    arrays = dict(np.load(file))
    for damaged in (arrays["top1"][:8], np.stack([arrays["top1"]] * 2), np.array(1)):
        np.savez(file, **arrays | {"top1": damaged})
        assert clear(tmp_path, rows) is None
    np.savez_compressed(file, **arrays)
    assert clear(tmp_path, rows) is True
    content = bytearray(file.read_bytes())
    start = 30 + content[26] + content[28]  # behind the first array's header: no block of Deflate begins so
    content[start : start + 12] = b"\xff" * 12
    file.write_bytes(content)
    assert clear(tmp_path, rows) is None
