"""Classification: the share of images whose class is predicted correctly."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from splitbench.bench.backbones.classifiers import Classifier
from splitbench.bench.backbones.registry import Backbone
from splitbench.bench.evaluation.failures import failure_on
from splitbench.bench.evaluation.tasks.task import Scored
from splitbench.bench.metrics import accuracy
from splitbench.bench.metrics.records import Records
from splitbench.datasets.base import DataError, Dataset, class_names, numbering_advice


class Classification:
    """One label per image."""

    name: ClassVar[str] = "classification"
    ragged: ClassVar[Mapping[str, str]] = {}
    paired: ClassVar[tuple[str, ...]] = ("prediction", "top1", "top5")

    def mismatch(self, dataset: Dataset, backbone: Backbone, example: Tensor) -> str:
        """Look for another kind of backbone, one that cannot be run, inputs of several sizes, and other classes."""
        if not isinstance(backbone, Classifier):
            return "it finds boxes: choose a classifier, or set `task: detection` and a dataset with boxes"
        if not backbone.preprocessing.one_size:
            return (
                "`crop: null` gives inputs of different sizes, which make no batch: "
                "set `crop`, or `resize` to [height, width]"
            )
        try:
            scores = backbone.whole().to(example.device)(example)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model of the user's own does
            return failure_on(backbone.model, example, error)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(example):
            kind = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"type {type(scores).__name__}"
            return f"it must give one tensor of scores, (images, classes), and gives something of {kind} for one image"
        if not scores.is_floating_point():
            return f"scores must be floating-point numbers, not {str(scores.dtype).removeprefix('torch.')}"
        classes = scores.shape[1]
        if dataset.classes > classes or (class_names(dataset) and dataset.classes != classes):
            advice = numbering_advice(dataset)
            return (
                f"labels do not match: the dataset has {dataset.classes} classes, the backbone has {classes}"
                f"{advice and ': '}{advice}"
            )
        return ""

    def scores(self, outputs: Tensor, image: int) -> Tensor:
        """Return the scores of all classes."""
        return outputs[image]

    def doubt(self, baseline: float, dataset: Dataset) -> str:
        """Warn of accuracy by chance: the labels may be numbered in another way than the backbone's classes."""
        chance = 100 / dataset.classes
        return (
            ""
            if baseline > 1.2 * chance
            else f"the uncompressed backbone is right no more often than by chance ({baseline:.2f} % of "
            f"{dataset.classes} classes): is it trained, and are classes numbered as it numbers them?"
        )

    def target(self, dataset: Dataset, index: int) -> int:
        """Return the class index. Raises DataError where it is out of range."""
        label = int(dataset.target(index))
        if not 0 <= label < dataset.classes:
            raise DataError(
                f"{dataset.ids[index]} has the label {label}, but there are {dataset.classes} classes, numbered from 0"
            )
        return label

    def record(self, outputs: Tensor, targets: Sequence[int]) -> Records:
        """See :func:`splitbench.bench.metrics.accuracy.record`."""
        return accuracy.record(outputs, np.array(targets, np.int64))

    def score(self, records: Records, targets: Sequence[int]) -> Scored:
        """Leave the records as they are."""
        return Scored(records)

    def summary(self, scored: Scored, baseline: Scored) -> dict[str, Any]:
        """See :func:`splitbench.bench.metrics.accuracy.summary`."""
        return accuracy.summary(scored.records, baseline.records)
