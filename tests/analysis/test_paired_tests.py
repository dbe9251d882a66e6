"""Paired tests: the statistics against values made otherwise, which pairs are chosen, and runs without records."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import norm

from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.compare.curves.bd import Anchor
from splitbench.bench.analysis.compare.paired.paired_tests import paired_tests
from splitbench.bench.analysis.compare.paired.pairs import pairs
from splitbench.bench.analysis.compare.paired.statistics import difference_of_hits, difference_of_samples, holm
from splitbench.bench.analysis.compare.remarks import paired_test_remarks
from splitbench.bench.metrics import coco_metrics
from splitbench.bench.metrics.bootstrap import average_precisions
from splitbench.bench.results.table import points, read
from tests.helpers import csv_samples as samples

IMAGES = 200
Hits = npt.NDArray[np.bool_]


def test_holm_by_hand():
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1, none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_mcnemar_by_hand():
    # One of ten heads or fewer, both sides: 2 (1 + 10) / 2^10.
    assert difference_of_hits(1, 9, 100).p == pytest.approx(22 / 1024)
    assert difference_of_hits(9, 1, 100).p == pytest.approx(22 / 1024)
    assert difference_of_hits(5, 5, 100).p == pytest.approx(1.0)
    assert difference_of_hits(12, 2, 100).points == pytest.approx(10.0)


def test_the_interval_is_that_of_drawing_images():
    only_a, only_b, images = 30, 12, 150
    difference = np.repeat([1, -1, 0], [only_a, only_b, images - only_a - only_b])
    drawn = np.random.default_rng(1).choice(difference, (20_000, images)).mean(1)
    result = difference_of_hits(only_a, only_b, images)
    assert [result.low, result.high] == pytest.approx(100 * np.percentile(drawn, [2.5, 97.5]), abs=0.7)


def test_cells_that_never_differ_have_no_interval():
    result = difference_of_hits(0, 0, 100)
    assert (result.points, result.p) == (0.0, 1.0)
    assert np.isnan([result.low, result.high]).all()


def test_a_difference_of_two_standard_errors():
    drawn = np.random.default_rng(0).normal(3.0, 1.5, 50_000)
    result = difference_of_samples(3.0, drawn)
    assert result.p == pytest.approx(2 * norm.sf(2), rel=0.03)
    assert [result.low, result.high] == pytest.approx([3 - 1.96 * 1.5, 3 + 1.96 * 1.5], abs=0.1)
    assert difference_of_samples(0.0, np.zeros(10)).p == 1.0


def curves(*named: tuple[str, list[float]], **given: object) -> list[samples.Row]:
    return [row for method, sizes in named for row in samples.curve(sizes, [75.0] * len(sizes), method=method, **given)]


def chosen(tmp_path: Path, rows: list[samples.Row], anchor: Anchor | None = None) -> list[tuple[object, ...]]:
    good = points(read([samples.save(tmp_path / "cells.csv", rows)]))
    result = pairs(good, anchor, all_curves=anchor is None)
    return [(p.at_split, p.a["method"], p.a["bytes_mean"], p.b["method"], p.b["bytes_mean"]) for p in result]


def test_pairs_are_nearest_to_each_other_within_the_factor(tmp_path):
    rows = curves(("a", [1000, 1200, 8000]), ("b", [1100, 3000, 6000]))
    # 1000 is nearest to 1100 and within 1.25, but 1100 is nearer to 1200; 8000 and 6000 are 1.33 apart.
    assert chosen(tmp_path, rows) == [("layer2", "a", 1200, "b", 1100)]


def test_with_an_anchor_every_pair_holds_it(tmp_path):
    rows = curves(("a", [1000]), ("b", [1010]), ("c", [1020]))
    assert [(item, other) for _, item, _, other, _ in chosen(tmp_path, rows)] == [("a", "b"), ("a", "c"), ("b", "c")]
    result = chosen(tmp_path, rows, Anchor("b", ""))
    assert [(item, other) for _, item, _, other, _ in result] == [("a", "b"), ("c", "b")]


def test_by_default_methods_are_compared_by_their_fronts_and_not_with_themselves(tmp_path):
    rows = [
        *samples.curve([1000], [75.0], method="a"),
        *samples.curve([1010], [74.0], method="a", variant="worse=1"),  # takes more bytes and is less accurate
        *samples.curve([1020], [76.0], method="a", variant="better=1"),
        *samples.curve([1011], [75.0], method="b"),
    ]
    good = points(read([samples.save(tmp_path / "cells.csv", rows)]))
    variants = [(pair.a["variant"], pair.b["method"]) for pair in pairs(good)]
    assert variants == [("better 1", "b")]
    assert len(pairs(good, all_curves=True)) == 6


def test_images_are_paired_at_every_split_but_with_each_other_once(tmp_path):
    rows = [
        *curves(("a", [1000]), split="layer1"),
        *curves(("a", [1000]), split="layer2"),
        *curves(("image", [1010]), split="input", variant="format=jpeg"),
        *curves(("image", [1020]), split="input", variant="format=webp"),
    ]
    places = sorted((str(split), str(item), str(other)) for split, item, _, other, _ in chosen(tmp_path, rows))
    assert places == [
        ("input", "image", "image"),
        *[("layer1", "image", "a")] * 2,
        *[("layer2", "image", "a")] * 2,
    ]


def test_points_that_nobody_would_choose_are_left_out(tmp_path):
    ruined = samples.curve([1000], [20.0], method="a") + samples.curve([1000], [30.0], method="b")
    assert chosen(tmp_path, ruined) == []
    fine = samples.curve([1000], [75.0], method="c") + samples.curve([1000], [70.0], method="d")
    assert [(a, b) for _, a, _, b, _ in chosen(tmp_path, [*ruined, *fine])] == [("c", "d")]


def store(tmp_path: Path, hits: dict[str, Hits]) -> Path:
    """A run of one rate point per method, of about the same bytes, with records."""
    rows = []
    (tmp_path / "records").mkdir(parents=True, exist_ok=True)
    for place, (method, right) in enumerate(hits.items()):
        row = samples.point(1000 + place, 100 * right.mean(), method=method, split="layer2", knob="k", value=1)
        rows.append(row)
        file = tmp_path / "records" / f"{row['key']}.npz"
        np.savez_compressed(file, image=np.arange(len(right)), top1=right.astype(np.uint8))
    samples.save(tmp_path / "cells.csv", rows)
    return tmp_path


def hits(*wrong: range) -> Hits:
    right = np.ones(IMAGES, bool)
    for some in wrong:
        right[list(some)] = False
    return right


def test_two_cells_are_tested_on_the_same_images(tmp_path):
    run = store(
        tmp_path, {"quantize-rle": hits(range(40)), "b": hits(range(25)), "c": hits(range(39), range(100, 102))}
    )
    table = paired_tests(read([run]), anchor="quantize-rle").set_index("a")
    assert set(table["b"]) == {"quantize-rle k=1"}
    row = table.loc["b k=1"]
    assert (row["only_a"], row["only_b"], row["images"]) == (15, 0, IMAGES)
    assert row["difference"] == pytest.approx(7.5)
    assert row["p"] == pytest.approx(2 / 2**15)
    assert row["p_holm"] == row["p"]  # the only pair of these two methods
    assert row["better"] == "a"
    other = table.loc["c k=1"]
    assert (other["only_a"], other["only_b"], other["p"], other["better"]) == (1, 2, 1.0, "neither")
    assert "of 2 pairs" in paired_test_remarks(table.reset_index(), 1.25)[0]
    assert len(paired_tests(read([run]))) == 3  # every two of the three methods


def test_pairs_of_the_same_two_methods_are_corrected_together(tmp_path):
    """Whether one method beats another is one question, however many rate points are asked."""
    wrong = {("a", 1): 10, ("b", 1): 2, ("a", 2): 6, ("b", 2): 0, ("c", 2): 1}
    rows = []
    (tmp_path / "records").mkdir()
    for (method, value), count in wrong.items():
        right = hits(range(count))
        row = samples.point(1000.0 * value, 100 * right.mean(), method=method, split="layer2", knob="k", value=value)
        rows.append(row)
        file = tmp_path / "records" / f"{row['key']}.npz"
        np.savez(file, image=np.arange(len(right)), top1=right.astype(np.uint8))
    table = paired_tests(read([samples.save(tmp_path / "cells.csv", rows)]))
    p = {(row["a"][0], row["b"][0], row["a_bytes"]): (row["p"], row["p_holm"]) for _, row in table.iterrows()}
    assert p["a", "b", 1000] == pytest.approx((2 / 2**8, 4 / 2**8))
    assert p["a", "b", 2000] == pytest.approx((2 / 2**6, 2 / 2**6))
    assert p["a", "c", 2000][0] == p["a", "c", 2000][1]


def test_of_several_seeds_the_lowest_is_tested_and_named(tmp_path):
    run = store(tmp_path, {"quantize-rle": hits(range(40)), "b": hits(range(25))})
    (kept, again) = (samples.point(1000, 80.0, method="b", split="layer2", knob="k", value=1, seed=s) for s in (1, 2))
    first = pd.read_csv(run / "cells.csv", dtype=str, keep_default_na=False).iloc[0].to_dict()
    samples.save(run / "cells.csv", [again, {str(name): value for name, value in first.items()}, kept])
    np.savez(run / "records" / f"{kept['key']}.npz", image=np.arange(IMAGES), top1=hits(range(30)))
    np.savez(run / "records" / f"{again['key']}.npz", image=np.arange(IMAGES), top1=hits(range(50)))
    (row,) = paired_tests(read([run])).to_dict("records")
    assert (row["a"], row["b"], row["only_a"], row["only_b"]) == ("b k=1 seed=1", "quantize-rle k=1", 10, 0)


def test_the_comparison_holds_tests_in_every_form(tmp_path):
    run = store(tmp_path / "run", {"quantize-rle": hits(range(40)), "b": hits(range(25))})
    result = write(examine([run]), tmp_path / "out")
    assert "Significant differences at nearly the same bytes" in result.text
    written = pd.read_csv(tmp_path / "out" / "paired-tests.csv")
    assert written.loc[0, "p"] == pytest.approx(2 / 2**15)
    assert "6.1e-05" in (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "6.1e-05" in (tmp_path / "out" / "comparison.tex").read_text(encoding="utf-8")


def test_a_table_without_records_is_compared_and_says_so(tmp_path):
    file = samples.save(tmp_path / "cells.csv", curves(("quantize-rle", [1000]), ("b", [1010])))
    result = write(examine([file]), tmp_path / "out")
    assert result.tables["paired-tests"].empty
    assert f"no paired tests for {file}: no per-image records lie beside it" in result.text


def test_damaged_records_and_other_images_are_left_out_with_a_sentence(tmp_path):
    run = store(tmp_path, {"quantize-rle": hits(range(40)), "b": hits(range(25)), "c": hits(range(30))})
    frame = read([run])
    key = frame.loc[frame["method"] == "b", "key"].iloc[0]
    (run / "records" / f"{key}.npz").write_bytes(b"PK damaged")
    table = paired_tests(frame)
    assert table["a"].tolist() == ["c k=1"]
    assert table.attrs["untested"] == ["2 of 3 pairs are not tested: not both have records of the same images"]
    key = frame.loc[frame["method"] == "c", "key"].iloc[0]
    np.savez(run / "records" / f"{key}.npz", image=np.arange(1, IMAGES + 1), top1=hits())
    assert paired_tests(frame).empty


def test_detection_is_tested_by_the_bootstrap_of_average_precision(tmp_path):
    images = 60
    box = {"bbox": [0.0, 0.0, 10.0, 10.0], "area": 100.0, "iscrowd": 0, "category_id": 1}
    truths = [[box] for _ in range(images)]
    rows = []
    (tmp_path / "records").mkdir()
    drawn = {}
    for method, found_in in (("quantize-rle", range(images)), ("b", range(0, images, 2)), ("c", range(images))):
        records = {
            "image": np.arange(images),
            "detections": np.array([int(i in found_in) for i in range(images)]),
            "labels": np.ones(len(found_in), np.int64),
            "scores": np.full(len(found_in), 0.9, np.float32),
            "boxes": np.tile(np.array([0, 0, 10, 10], np.float32), (len(found_in), 1)),
        }
        evaluated = coco_metrics.evaluate(records, truths)
        records |= {
            "matched": evaluated.matched,
            "ignored": evaluated.ignored,
            "truths": np.ones(images, np.int64),
            "truth_labels": np.ones(images, np.int64),
        }
        ap = evaluated.numbers["ap"]
        given = {"task": "detection", "metric": "ap", "baseline": ap + 1, "images": images}
        cell = samples.point(1000, ap, method=method, split="layer2", knob="k", value=1, **given)
        rows.append(cell)
        np.savez(tmp_path / "records" / f"{cell['key']}.npz", **records)
        drawn[method] = (ap, average_precisions(records))
    table = paired_tests(read([samples.save(tmp_path / "cells.csv", rows)]), all_pairs=True)
    result = {(item["a"], item["b"]): item for item in table.to_dict("records")}
    row = result["b k=1", "quantize-rle k=1"]
    difference = drawn["b"][0] - drawn["quantize-rle"][0]
    assert row["difference"] == pytest.approx(difference)
    assert difference < -40
    spread = np.std(drawn["b"][1] - drawn["quantize-rle"][1], ddof=1)
    assert row["p"] == pytest.approx(2 * norm.sf(-difference / spread))
    assert row["better"] == "b"
    assert np.isnan(row["only_a"])
    same = result["c k=1", "quantize-rle k=1"]
    assert (same["difference"], same["p"], same["better"]) == (0.0, 1.0, "neither")
