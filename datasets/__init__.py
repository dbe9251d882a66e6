"""Datasets: one file each, found by being there.

A dataset's name is its file's name: ``imagenet.py`` holds ``imagenet`` in a module-level ``DATASET``.
"""

from splitbench.datasets.base import DataError, Dataset, ImageError, Part, fingerprint
from splitbench.datasets.registry import get, names

__all__ = ["DataError", "Dataset", "ImageError", "Part", "fingerprint", "get", "names"]
