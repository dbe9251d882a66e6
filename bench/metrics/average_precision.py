"""COCO's average precision from matches alone, fast enough for thousands of bootstrap samples.

Detections are matched to boxes within one image, so that a sample of images drawn with replacement needs no new
matching: each detection counts as often as its image was drawn. The result equals what pycocotools accumulates over all
sizes and up to 100 detections per image and category (COCO's AP, Lin et al., ECCV 2014): the mean, over categories and
ten overlaps, of precision at 101 recalls, made monotonous from the right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

OVERLAPS = 10
_RECALLS = np.linspace(0.0, 1.0, 101)
_EVERY_OVERLAP = np.uint16(2**OVERLAPS - 1)


@dataclass(frozen=True)
class Matches:
    """D detections sorted by category, those of the highest score first, and the annotated boxes.

    Attributes:
        starts: Detections of category c are those from ``starts[c]`` to ``starts[c + 1]``, (C + 1,).
        image: Index of each detection's image, (D,).
        right: Overlaps at which a detection is a true positive, one bit each, (D,).
        wrong: Overlaps at which it is a false positive; it is neither where it is ignored, (D,).
        targets: Annotated boxes of each category in each image, (C, images).
    """

    starts: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]
    right: npt.NDArray[np.uint16]
    wrong: npt.NDArray[np.uint16]
    targets: npt.NDArray[np.int64]


def sort_matches(
    *,
    image: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    matched: npt.NDArray[np.uint16],
    ignored: npt.NDArray[np.uint16],
    target_image: npt.NDArray[np.int64],
    target_labels: npt.NDArray[np.int64],
    images: int,
) -> Matches:
    """Sort detections as pycocotools does.

    Args:
        image: Index of each detection's image, ascending, (D,).
        labels: Category of each detection, (D,).
        scores: Score of each detection, (D,).
        matched: Overlaps at which each detection was matched to a box, one bit each, (D,).
        ignored: Overlaps at which it counts neither as right nor as wrong, one bit each, (D,).
        target_image: Index of the image of each box to be found, (N,).
        target_labels: Its category, (N,).
        images: How many images there are.
    """
    categories = np.unique(target_labels)
    targets = np.zeros((len(categories), images), np.int64)
    np.add.at(targets, (np.searchsorted(categories, target_labels), target_image), 1)
    used = np.flatnonzero(np.isin(labels, categories) & (ignored != _EVERY_OVERLAP))
    order = used[np.lexsort((image[used], -scores[used], labels[used]))]
    starts = np.searchsorted(labels[order], [*categories, categories.max(initial=0) + 1])
    keep = ~ignored[order] & _EVERY_OVERLAP
    return Matches(starts, image[order], matched[order] & keep, ~matched[order] & keep, targets)


def average_precision(matches: Matches, draws: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return average precision (0 to 1) in each sample of images, (S,); NaN where a sample has nothing to find.

    ``draws`` (S, images) says how often each image is in each of S samples.
    """
    targets = (draws.astype(np.float64) @ matches.targets.T.astype(np.float64)).astype(np.int64)  # exact, and by BLAS
    values: npt.NDArray[np.float64] = _average(
        matches.starts, matches.image, matches.right, matches.wrong, targets, draws, _RECALLS
    )
    return values


@njit(nogil=True, cache=True)
def _average(starts, image, right, wrong, targets, draws, recalls):  # type: ignore[no-untyped-def]
    samples, categories = targets.shape
    result = np.full(samples, np.nan)
    longest = np.max(starts[1:] - starts[:-1]) if categories > 0 else 0
    reached = np.empty((OVERLAPS, longest))
    precision = np.empty((OVERLAPS, longest))
    for sample in range(samples):
        total, counted = 0.0, 0
        for category in range(categories):
            count = targets[sample, category]
            if count == 0:
                continue
            counted += 1
            hits, misses, steps = np.zeros((3, OVERLAPS), np.int64)
            everywhere = 0  # misses at all overlaps, which most detections are
            for d in range(starts[category], starts[category + 1]):
                times = draws[sample, image[d]]
                if times == 0:
                    continue
                if wrong[d] == _EVERY_OVERLAP:
                    everywhere += times
                    continue
                for overlap in range(OVERLAPS):
                    if (right[d] >> overlap) & 1:
                        hits[overlap] += times
                        step = steps[overlap]
                        reached[overlap, step] = hits[overlap] / count
                        precision[overlap, step] = hits[overlap] / (
                            everywhere + misses[overlap] + hits[overlap] + 2.0**-52
                        )
                        steps[overlap] += 1
                    elif (wrong[d] >> overlap) & 1:
                        misses[overlap] += times
            for overlap in range(OVERLAPS):
                # From the right, the best precision at this recall or above.
                best, at = 0.0, len(recalls) - 1
                for step in range(steps[overlap] - 1, -1, -1):
                    while at >= 0 and recalls[at] > reached[overlap, step]:
                        total += best
                        at -= 1
                    best = max(best, precision[overlap, step])
                total += best * (at + 1)
        if counted > 0:
            result[sample] = total / (counted * OVERLAPS * len(recalls))
    return result
