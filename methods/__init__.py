"""Methods: families of codecs. Every module of this folder other than ``base`` is a method, found by its name.

``quantize_rle.py`` holds the method ``quantize-rle`` in a module-level ``METHOD``. What methods share lies in the
subfolders. A method that lies elsewhere is named by its import path (:mod:`splitbench.bench.utils.plugins.user_code`).
"""

from splitbench.methods.base import (
    Bitstream,
    BitstreamError,
    Codec,
    Context,
    Cut,
    Deployment,
    Learned,
    Learning,
    LearningMethod,
    Method,
    MethodError,
    NewHead,
    Prefix,
    TensorSpec,
    Unit,
)

__all__ = [
    "Bitstream",
    "BitstreamError",
    "Codec",
    "Context",
    "Cut",
    "Deployment",
    "Learned",
    "Learning",
    "LearningMethod",
    "Method",
    "MethodError",
    "NewHead",
    "Prefix",
    "TensorSpec",
    "Unit",
]
