"""COCO's categories."""

_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

CATEGORIES: tuple[int, ...] = tuple(category for category in range(1, 91) if category not in _UNUSED)
"""The ids of the 80 categories that COCO annotates, in the order in which detectors number their classes from 0."""
