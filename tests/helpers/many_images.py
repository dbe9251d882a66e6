"""A run's results as they would be of more images: every record of its images comes several times.

``python -m tests.helpers.many_images RUN OUT 50000`` makes a folder for ``compare`` and ``report``;
``--detections 100`` gives each image of a detector's that many, those added being wrong and of low scores.
"""

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from splitbench.bench.metrics.records import Records

_OF_DETECTIONS = ("scores", "boxes", "labels", "matched", "ignored")


def repeat_images(run: Path, out: Path, images: int, detections: int = 0) -> Path:
    """Write the results of a run as those of more images.

    Args:
        run: The run's folder.
        out: The folder to write.
        images: How many images there are to be; those of the run come again in turn.
        detections: How many detections each image is to have, where it has fewer.

    Returns:
        ``out``.
    """
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("records", "comparison", "figures", "report.html"))
    (out / "records").mkdir()
    with (run / "cells.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    sizes = {}
    for file in sorted((run / "records").glob("*.npz")):
        with np.load(file) as stored:
            records = _repeated(dict(stored), images, detections)
        sizes[file.stem] = float(records["bytes"].mean())
        np.savez_compressed(out / "records" / file.name, **records)
    for row in rows:
        row |= {"images": str(images), "bytes_mean": f"{sizes[row['key']]:.7g}"} if row["key"] in sizes else {}
    with (out / "cells.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out


def _repeated(records: Records, images: int, detections: int) -> Records:
    count = len(records["image"])
    chosen = np.arange(images) % count
    whole = {name: values[chosen] for name, values in records.items() if len(values) == count}
    for prefix in ("", "baseline_"):
        counts = records.get(f"{prefix}detections")
        if counts is not None:
            added = np.maximum(0, detections - counts.astype(int))[chosen]
            for name in _OF_DETECTIONS:
                if f"{prefix}{name}" in records:
                    parts = np.split(records[f"{prefix}{name}"], np.cumsum(counts)[:-1])
                    whole[f"{prefix}{name}"] = _ragged([parts[i] for i in chosen], added, name)
            whole[f"{prefix}detections"] = counts[chosen] + added
    if "truths" in records:
        labels = np.split(records["truth_labels"], np.cumsum(records["truths"])[:-1])
        whole["truth_labels"] = np.concatenate([labels[i] for i in chosen])
    if "samples" in records:
        whole["samples"] = records["samples"]
    return whole | {"image": np.arange(images)}


def _ragged(parts: list[Any], added: Any, name: str) -> Any:
    """Return the entries of all images, with wrong detections behind each."""
    rng, result = np.random.default_rng(0), []
    labels = np.unique(np.concatenate(parts)) if name == "labels" else None
    for part, more in zip(parts, added, strict=True):
        new = np.zeros((more, *part.shape[1:]), part.dtype)
        if labels is not None:
            new = rng.choice(labels, more).astype(part.dtype)
        elif name == "scores":
            new = (rng.random(more) * 0.05).astype(part.dtype)
        result += [part, new]
    return np.concatenate(result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("images", type=int)
    parser.add_argument("--detections", type=int, default=0)
    given = parser.parse_args()
    repeat_images(given.run, given.out, given.images, given.detections)
