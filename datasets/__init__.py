"""Datasets: one file each, found by being there.

A dataset's name is its file's, with ``-`` for ``_``: ``imagenet.py`` holds ``imagenet`` in a module-level ``DATASET``.
One that lies elsewhere is named by its import path (:mod:`splitbench.bench.utils.user_code`).
"""

from splitbench.datasets.base import DataError, Dataset, ImageError, Part, fingerprint
from splitbench.datasets.registry import add, checked, get, names

__all__ = ["DataError", "Dataset", "ImageError", "Part", "add", "checked", "fingerprint", "get", "names"]
