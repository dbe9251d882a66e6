"""Detection by pycocotools: its twelve numbers, and the overlaps at which each detection was matched."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from splitbench.bench.metrics.records import Records
from splitbench.datasets.formats.detection_dataset import Box
from splitbench.methods.base import MethodError

METRIC = "ap"

NUMBERS = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""pycocotools' summary, in its order."""


def record(outputs: Sequence[dict[str, Tensor]]) -> Records:
    """Return the records of detections: how many per image (``detections``), and ``boxes``, ``labels``, ``scores``.

    The latter three have one entry per detection. Boxes are corners (left, top, right, bottom) in the image's pixels.

    Raises:
        MethodError: Boxes or scores are not finite numbers.
    """
    boxes = torch.cat([output["boxes"].reshape(-1, 4) for output in outputs]).float()
    scores = torch.cat([output["scores"] for output in outputs]).float()
    if not bool(torch.isfinite(boxes).all()) or not bool(torch.isfinite(scores).all()):
        raise MethodError("boxes or scores are no finite numbers")
    return {
        "detections": np.array([len(output["scores"]) for output in outputs], np.int64),
        "boxes": boxes.cpu().numpy(),
        "labels": torch.cat([output["labels"] for output in outputs]).to(torch.int64).cpu().numpy(),
        "scores": scores.cpu().numpy(),
    }


@dataclass(frozen=True)
class CocoResult:
    """pycocotools' numbers and matches.

    Attributes:
        numbers: By name, in percent; None where nothing of that size is annotated.
        matched: Overlaps at which each detection was matched to a box of any size, one bit each: bit 0 is 0.5, bit 9
            is 0.95, (D,).
        ignored: Overlaps at which it is ignored, (D,). pycocotools looks at 100 detections per image and category at
            most; the others are ignored at all overlaps.
    """

    numbers: dict[str, float | None]
    matched: npt.NDArray[np.uint16]
    ignored: npt.NDArray[np.uint16]


def evaluate(records: Records, targets: Sequence[Sequence[Box]]) -> CocoResult:
    """Compare detections with the annotations of the same images, in the same order."""
    evaluation = _coco_evaluation(records, targets)
    values = [None if value < 0 else 100 * float(value) for value in evaluation.stats]
    count = len(records["scores"])
    matched = np.zeros(count, np.uint16)
    ignored = np.full(count, 2 ** len(evaluation.params.iouThrs) - 1, np.uint16)
    weights = 1 << np.arange(len(evaluation.params.iouThrs))
    all_sizes = evaluation.params.areaRng[0]
    for entry in evaluation.evalImgs:
        if entry is not None and entry["aRng"] == all_sizes and entry["dtIds"]:
            at = np.array(entry["dtIds"]) - 1
            matched[at] = weights @ (entry["dtMatches"] > 0)
            ignored[at] = weights @ entry["dtIgnore"]
    return CocoResult(dict(zip(NUMBERS, values, strict=True)), matched, ignored)


def _coco_evaluation(records: Records, targets: Sequence[Sequence[Box]]) -> Any:
    images = [{"id": index} for index in range(len(targets))]
    categories = [{"id": category} for category in sorted({box["category_id"] for boxes in targets for box in boxes})]
    annotations = [
        {**box, "bbox": list(box["bbox"]), "image_id": index} for index, boxes in enumerate(targets) for box in boxes
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = COCOeval(
            _coco(images, categories, annotations), _coco(images, categories, _results(records)), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _coco(images: list[Any], categories: list[Any], annotations: list[Any]) -> COCO:
    coco = COCO()
    # Ids count from 1: to pycocotools, 0 means no match.
    numbered = [annotation | {"id": number} for number, annotation in enumerate(annotations, 1)]
    coco.dataset = {"images": images, "categories": categories, "annotations": numbered}
    coco.createIndex()
    return coco


def _results(records: Records) -> list[dict[str, Any]]:
    """Return detections as ``COCO.loadRes`` makes them."""
    corners = records["boxes"]
    sizes = corners[:, 2:] - corners[:, :2]
    bboxes = np.concatenate([corners[:, :2], sizes], 1).tolist()
    image = np.repeat(np.arange(len(records["detections"])), records["detections"]).tolist()
    return [
        {"image_id": i, "category_id": label, "bbox": bbox, "score": score, "area": bbox[2] * bbox[3], "iscrowd": 0}
        for i, label, bbox, score in zip(
            image, records["labels"].tolist(), bboxes, records["scores"].tolist(), strict=True
        )
    ]
