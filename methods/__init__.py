"""Methods: families of codecs, one file each, found by being there.

A method's name is its file's name with ``-`` for ``_``: ``quantize_rle.py`` holds ``quantize-rle`` in a module-level
``METHOD``. Nothing is imported before it is asked for, so a method with a missing dependency troubles nobody else.
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
    TensorSpec,
    Unit,
)
from splitbench.methods.registry import get, names

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
    "TensorSpec",
    "Unit",
    "get",
    "names",
]
