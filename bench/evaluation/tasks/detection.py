"""Detection: COCO's average precision of boxes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from torch import Tensor

from splitbench.bench.backbones.detectors import Detector
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.tasks.task import Scored
from splitbench.bench.metrics import bootstrap, coco_metrics
from splitbench.bench.metrics.records import Records
from splitbench.datasets.base import Dataset
from splitbench.datasets.formats.categories import categories_problem, in_numbering_of
from splitbench.datasets.formats.detection_dataset import Box, DetectionDataset
from splitbench.methods.base import MethodError


class Detection:
    """Any number of boxes per image, each with a category."""

    name: ClassVar[str] = "detection"
    ragged: ClassVar[Mapping[str, str]] = dict.fromkeys(("boxes", "labels", "scores"), "detections")
    paired: ClassVar[tuple[str, ...]] = ("detections", "labels", "scores", "matched", "ignored")

    def mismatch(self, dataset: Dataset, backbone: Backbone, example: Any) -> str:
        """Look for another kind of backbone, nothing to find, and categories that the detector does not know."""
        if not isinstance(backbone, Detector):
            return "it finds no boxes: choose a detector, or set `task: classification` and a dataset with labels"
        images = cast(DetectionDataset, dataset)
        if not any(not box["iscrowd"] for index in range(len(images)) for box in images.boxes(index)):
            return "no image has a box to find"
        return categories_problem(in_numbering_of(dataset, backbone.category_names))

    def scores(self, outputs: Sequence[dict[str, Tensor]], image: int) -> Tensor:
        """Return the boxes' scores in descending order."""
        return outputs[image]["scores"].sort(descending=True).values

    def doubt(self, baseline: float, dataset: Dataset) -> str:
        """Warn of a detector that finds nothing."""
        return "" if baseline > 0 else "the uncompressed detector finds nothing of what is annotated: is it trained?"

    def target(self, dataset: Dataset, index: int) -> list[Box]:
        """Return COCO's annotations, crowds included."""
        return cast(DetectionDataset, dataset).boxes(index)

    def record(self, outputs: Sequence[dict[str, Tensor]], targets: Sequence[list[Box]]) -> Records:
        """See :func:`splitbench.bench.metrics.coco_metrics.record`."""
        return coco_metrics.record(outputs)

    def score(self, records: Records, targets: Sequence[list[Box]]) -> Scored:
        """Match detections to boxes, and add all that average precision follows from.

        The records added are ``matched`` and ``ignored``; ``truths``, the number of annotated boxes in each image
        without crowds, and ``truth_labels``, their categories; and ``samples``, average precision in bootstrap samples
        of the images, which takes seconds to compute.
        """
        evaluated = coco_metrics.evaluate(records, targets)
        categories = [[box["category_id"] for box in boxes if not box["iscrowd"]] for boxes in targets]
        records = records | {
            "matched": evaluated.matched,
            "ignored": evaluated.ignored,
            "truths": np.array([len(labels) for labels in categories], np.int64),
            "truth_labels": np.array([label for labels in categories for label in labels], np.int64),
        }
        samples = bootstrap.average_precisions(records)
        return Scored(records | {"samples": samples}, evaluated.numbers, samples)

    def summary(self, scored: Scored, baseline: Scored) -> dict[str, Any]:
        """Return average precision and its drop, with 95 % intervals by bootstrap, and COCO's other numbers."""
        value, reference = scored.columns[coco_metrics.METRIC], baseline.columns[coco_metrics.METRIC]
        if value is None or reference is None:
            raise MethodError("none of the images that could be read has a box to find")
        drop = reference - value
        low, high = bootstrap.interval(scored.bootstrap, value)
        drop_low, drop_high = bootstrap.interval(baseline.bootstrap - scored.bootstrap, drop)
        return {
            "metric": coco_metrics.METRIC,
            "accuracy": value,
            "accuracy_low": low,
            "accuracy_high": high,
            "drop": drop,
            "drop_low": drop_low,
            "drop_high": drop_high,
            "baseline": reference,
            **scored.columns,
        }
