"""The names of a network's precisions, for what is checked before torch is loaded."""

from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
