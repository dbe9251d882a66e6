"""Methods: families of codecs, one file each, found by being there.

A method's name is its file's name with ``-`` for ``_``: ``quantize_rle.py`` holds ``quantize-rle`` in a module-level
``METHOD``. Nothing is imported before it is asked for, so a file that cannot be imported troubles nobody else. A method
that lies elsewhere is named by its import path (:mod:`splitbench.bench.utils.user_code`).
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
from splitbench.methods.registry import SHIPPED, add, checked, get, module_of, names

__all__ = [
    "SHIPPED",
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
    "add",
    "checked",
    "get",
    "module_of",
    "names",
]
