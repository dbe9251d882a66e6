"""Datasets: every module of this folder other than ``base`` is one, found by its name.

``imagenet.py`` holds the dataset ``imagenet`` in a module-level ``DATASET``. What datasets share lies in the
subfolders. A dataset that lies elsewhere is named by its import path (:mod:`splitbench.bench.utils.plugins.user_code`).
"""

from splitbench.datasets.base import DataError, Dataset, ImageError, Subset, fingerprint
from splitbench.datasets.formats.object_dataset import ObjectDataset

__all__ = ["DataError", "Dataset", "ImageError", "ObjectDataset", "Subset", "fingerprint"]
