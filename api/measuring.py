"""Measuring one method on one model, without a sweep: bytes, accuracy and costs as a row of the results' table."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from splitbench.bench.evaluation.costs import CostMeter
from splitbench.bench.evaluation.pipeline.transmission import transmit
from splitbench.bench.metrics import accuracy, ledger, rate
from splitbench.bench.metrics.records import Records, concatenated
from splitbench.bench.results.columns import NAMES
from splitbench.bench.split import SplitModel
from splitbench.bench.split import split as split_model
from splitbench.bench.split.tracing.facts import evaluating
from splitbench.bench.utils.devices import to_device
from splitbench.bench.utils.errors import UserError
from splitbench.methods.base import Deployment
from splitbench.models import ConfiguredMethod, Split

_TIMED_IMAGES = 8


def measure(
    model: nn.Module,
    at: str,
    method: ConfiguredMethod,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    calibration: Iterable[Tensor] = (),
) -> "pd.Series[Any]":
    """Measure a method at a split point of a classifier.

    Accuracy is that of what the tail computes from the decoded bytes, and these bytes are counted. The codec is
    checked as in a run: images coded singly and in a batch, decoded by a copy that has seen bytes only.
    Times are medians over the first images, one at a time.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 5)).eval()
    >>> loader = [(torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 3]))]
    >>> from splitbench import method
    >>> row = measure(model, "1", method("quantize-rle", bits=3), loader)
    >>> row["images"], row["macs_head"]
    (4, 42336)

    Args:
        model: A classifier: a batch (B, ...) to scores (B, classes). It runs in eval mode, where it is.
        at: The split point.
        method: As ``splitbench.method`` returns it.
        loader: Batches of inputs and class indices, a ``DataLoader`` for example; iterated over once.
        calibration: Batches of inputs that the method may fit ranges and tables on; none of ``loader``'s.

    Returns:
        The columns of ``cells.csv`` that are known, by name (``splitbench columns`` says what they are).

    Raises:
        UserError: The model cannot be cut there, the loader is empty, or the method needs a sweep.
        MethodError: The method cannot code the cut, or its codec fails a check.
    """
    records: list[Records] = []
    baselines: list[Records] = []
    columns: dict[str, Any] = {}
    with torch.no_grad(), evaluating(model):
        deployed: tuple[SplitModel, Deployment] | None = None
        for inputs, labels in loader:
            if deployed is None:
                parts = split_model(model, at, inputs)
                deployment = method.deploy(Split(parts.head, parts.tail, parts.specs), calibration).deployment
                deployed = parts, deployment
                images = [inputs[index : index + 1] for index in range(min(len(inputs), _TIMED_IMAGES))]
                meter = CostMeter(model, images, inputs.device)
                columns = meter.columns(parts, deployment) | ledger.over_rate_points([meter.stored(deployment)])
            targets = labels.cpu().numpy().astype(np.int64)
            recorded, baseline = _measure_batch(model, *deployed, inputs=inputs, targets=targets)
            records.append(recorded)
            baselines.append(baseline)
    if not records:
        raise UserError("the loader gave no batch: there is nothing to measure")
    whole = concatenated(records)
    columns |= {"split": at, "method": method.name, "images": len(whole["bytes"])}
    columns |= accuracy.summary(whole, concatenated(baselines))
    columns |= rate.summary(whole, float(whole["pixels"].mean()), float(whole["elements"].mean()))
    return pd.Series({name: columns[name] for name in NAMES if name in columns}, dtype=object)


def _measure_batch(
    model: nn.Module, split: SplitModel, deployment: Deployment, *, inputs: Tensor, targets: "np.ndarray[Any, Any]"
) -> tuple[Records, Records]:
    """Return a batch's records, and those of the uncompressed model."""
    streams, arguments = transmit(split, deployment.codec, deployment.head(inputs))
    sizes = {
        "pixels": np.full(len(streams), inputs.shape[-2] * inputs.shape[-1]),
        "elements": np.full(len(streams), sum(spec.elements for spec in split.specs)),
    }
    scored = accuracy.record(deployment.tail(*to_device(arguments, inputs.device)), targets)
    return rate.record(streams) | sizes | scored, accuracy.record(model(inputs), targets)
