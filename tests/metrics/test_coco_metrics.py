"""Average precision: our whole path against pycocotools used by the book, and the fast path against both."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from splitbench.bench.evaluation.tasks import get
from splitbench.bench.metrics import coco_metrics
from splitbench.bench.metrics.average_precision import average_precision
from splitbench.bench.metrics.bootstrap import average_precisions, interval, matches_in
from splitbench.bench.metrics.records import joined
from splitbench.methods import MethodError

TASK = get("detection")


def box(category, left, top, width, height, crowd=0):
    bbox = (float(left), float(top), float(width), float(height))
    return {"category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": crowd}


def found(*rows):
    """Detections from (category, left, top, width, height, score)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    corners = torch.cat([table[:, 1:3], table[:, 1:3] + table[:, 3:5]], 1)
    return {"boxes": corners, "labels": table[:, 0].long(), "scores": table[:, 5]}


def by_the_book(outputs, truths):
    """pycocotools on files: annotations and results as anyone would write them."""
    images = [{"id": 10 + index, "width": 640, "height": 480} for index in range(len(truths))]
    boxes = [entry | {"image_id": 10 + index} for index, entries in enumerate(truths) for entry in entries]
    boxes = [entry | {"id": 1 + number, "bbox": list(entry["bbox"])} for number, entry in enumerate(boxes)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": boxes, "categories": [{"id": i} for i in range(1, 91)]}
        truth.createIndex()
        results = [
            {
                "image_id": 10 + index,
                "category_id": int(label),
                "bbox": [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])],
                "score": float(score),
            }
            for index, output in enumerate(outputs)
            for b, label, score in zip(output["boxes"], output["labels"], output["scores"], strict=True)
        ]
        if not results:
            return [0.0 if any(not e["iscrowd"] for e in boxes) else -1.0] * 2
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def ours(outputs, truths, size=2):
    """The whole path: recorded batch by batch, last batch first, joined and scored."""
    starts = range(0, len(outputs), size)
    parts = [
        {"image": np.arange(len(outputs))[start : start + size]}
        | TASK.record(outputs[start : start + size], truths[start : start + size])
        for start in starts
    ]
    return TASK.score(joined(parts[::-1], TASK.ragged), truths)


TRUTH = [
    [box(1, 10, 10, 50, 50), box(1, 100, 100, 20, 20), box(2, 200, 50, 120, 200)],
    [box(2, 0, 0, 300, 200)],
    [],
    [box(1, 0, 0, 640, 480, crowd=1)],
    [box(1, 30, 30, 60, 60), box(1, 0, 0, 640, 480, crowd=1)],
]
GOOD = [
    found((1, 11, 9, 50, 50, 0.9), (1, 102, 99, 20, 20, 0.8), (2, 190, 60, 120, 190, 0.7)),
    found((2, 5, 5, 280, 210, 0.95)),
    found(),
    found(),
    found((1, 31, 31, 60, 60, 0.6)),
]
many = np.random.default_rng(3)
CASES = {
    "good": (GOOD, TRUTH),
    "no detections": ([found()] * 5, TRUTH),
    "duplicate boxes": ([found(*[(1, 11, 9, 50, 50, s) for s in (0.9, 0.8, 0.8, 0.7)]), *GOOD[1:]], TRUTH),
    "duplicate truths": (GOOD[:1], [[box(1, 10, 10, 50, 50)] * 2]),
    "equal scores": (
        [found((1, 11, 9, 50, 50, 0.5), (1, 300, 9, 50, 50, 0.5), (2, 190, 60, 120, 190, 0.5))],
        TRUTH[:1],
    ),
    "within crowds": (
        [*GOOD[:3], found((1, 5, 5, 90, 90, 0.9)), found(*[(1, i, 5, 50, 50, 0.9) for i in range(9)])],
        TRUTH,
    ),
    "image without annotations": ([*GOOD[:2], found((1, 5, 5, 90, 90, 0.9)), *GOOD[3:]], TRUTH),
    "categories that nothing is annotated with": ([found((7, 11, 9, 50, 50, 0.9)), *GOOD[1:]], TRUTH),
    "more than 100 detections": (
        [
            found(*[(1, *many.uniform(0, 300, 2), *many.uniform(20, 90, 2), many.uniform()) for _ in range(150)]),
            found(*[(2, i, i, 300 - i, 200 - i, 1 - i / 200) for i in range(120)][::-1]),
            *GOOD[2:],
        ],
        TRUTH,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_all_twelve_numbers_are_pycocotools(name):
    outputs, truths = CASES[name]
    columns = ours(outputs, truths).columns
    expected = by_the_book(outputs, truths)
    assert tuple(columns) == coco_metrics.NUMBERS
    for value, reference in zip(columns.values(), expected, strict=False):
        assert (value is None and reference == -1) or value == pytest.approx(100 * reference, abs=1e-9)


def test_only_crowds_leave_nothing_to_measure():
    scored = ours([found((1, 5, 5, 90, 90, 0.9))], [TRUTH[3]])
    assert set(scored.columns.values()) == {None}
    with pytest.raises(MethodError, match="none of the images that could be read has a box"):
        TASK.summary(scored, scored)


def draws_of(scored, draws):
    return 100 * average_precision(matches_in(scored.records), np.array(draws))


@pytest.mark.parametrize("name", CASES)
def test_the_fast_path_is_pycocotools_on_every_sample(name):
    """Each sample is also put together in earnest: images repeated, matched and accumulated by pycocotools."""
    outputs, truths = CASES[name]
    scored = ours(outputs, truths)
    rng = np.random.default_rng(0)
    count = len(truths)
    draws = [[1] * count, *rng.multinomial(count, [1 / count] * count, 12).tolist()]
    for draw, value in zip(draws, draws_of(scored, draws), strict=True):
        chosen = [index for index in range(count) for _ in range(draw[index])]
        expected = by_the_book([outputs[i] for i in chosen], [truths[i] for i in chosen])[0]
        assert (np.isnan(value) and expected == -1) or value == pytest.approx(100 * expected, abs=1e-9)


def test_published_results(pack):
    """pycocotools' own check: made-up detections with known results."""
    folder = pack / "coco_evalcheck"
    annotations = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    ids = sorted(image["id"] for image in annotations["images"])
    keys = ("category_id", "area", "iscrowd")
    truths = [
        [{k: a[k] for k in keys} | {"bbox": tuple(a["bbox"])} for a in annotations["annotations"] if a["image_id"] == i]
        for i in ids
    ]
    results.sort(key=lambda result: result["image_id"])
    corners = np.array([result["bbox"] for result in results])  # float64: some overlaps lie on a threshold
    corners[:, 2:] += corners[:, :2]
    records = {
        "detections": np.array([sum(result["image_id"] == i for result in results) for i in ids]),
        "boxes": corners,
        "labels": np.array([result["category_id"] for result in results]),
        "scores": np.array([result["score"] for result in results]),
    }
    scored = TASK.score(records, truths)
    expected = [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]
    assert [round(value / 100, 3) for value in scored.columns.values()] == expected
    assert draws_of(scored, [[1] * 100])[0] == pytest.approx(scored.columns["ap"], abs=1e-9)


def test_summary_pairs_the_samples_of_two_cells():
    baseline, worse = ours(GOOD, TRUTH), ours([found(), *GOOD[1:]], TRUTH)
    same = TASK.summary(baseline, baseline)
    assert (same["drop"], same["drop_low"], same["drop_high"]) == (0, 0, 0)
    assert same["metric"] == "ap" and same["accuracy"] == same["baseline"] == same["ap"]
    columns = TASK.summary(worse, baseline)
    assert columns["drop"] == pytest.approx(columns["baseline"] - columns["accuracy"])
    for name in ("accuracy", "drop"):
        assert columns[f"{name}_low"] < columns[name] < columns[f"{name}_high"]
    assert columns["drop_low"] > -1e-9, "losing all boxes of an image never helps"


def test_records_alone_give_the_intervals_again():
    scored = ours(GOOD, TRUTH)
    assert np.array_equal(average_precisions(dict(scored.records)), scored.bootstrap, equal_nan=True)
    assert scored.records["detections"].tolist() == [3, 1, 0, 0, 1]
    assert scored.records["truths"].tolist() == [3, 1, 0, 0, 1]


def test_intervals_lie_around_the_estimate():
    values = np.random.default_rng(0).normal(40, 2, 4000)
    assert interval(values, 37.0) == pytest.approx((37 - 3.92, 37 + 3.92), abs=0.2)
    assert interval(np.full(10, 40.0), 37.0) == (37.0, 37.0)


def test_outputs_that_are_not_numbers_are_refused():
    for broken in (found((1, float("nan"), 9, 50, 50, 0.9)), found((1, 1, 9, 50, 50, float("inf")))):
        with pytest.raises(MethodError, match="no finite"):
            TASK.record([broken], [[]])
