# ---
# jupyter:
#   jupytext:
#     text_representation: {format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Add a method and compare it
#
# A method is a module that holds a `METHOD`. This one keeps the largest values of a cut and sends their places and
# signs, with one magnitude for all. It is written to a file, because a method is named by its import path, and its
# source is part of the results' keys.

# %%
import os
import tempfile
from pathlib import Path

import splitbench

os.chdir(tempfile.mkdtemp())  # a folder of your own; methods are looked for below the current one

SOURCE = '''
"""largest: places and signs of the largest values, and one magnitude for all of them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from splitbench.methods import base
from splitbench.methods.base import Bitstream, BitstreamError, Context, Cut, Deployment, MethodError, Specs


class Settings(base.Settings):
    share: float = 0.1


class Largest:
    summary: ClassVar[str] = "places and signs of the largest values, one magnitude for all"
    version: ClassVar[int] = 1
    knob: ClassVar[str] = "share"
    rates: ClassVar[tuple[Any, ...]] = (0.02, 0.05, 0.1, 0.2)
    only_at: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classification", "detection")
    Settings: ClassVar[type[base.Settings]] = Settings

    def needs(self, settings: Any) -> frozenset[str]:
        return frozenset()

    def deploy(self, settings: Any, context: Context) -> Deployment:
        return Deployment(context.head, Codec(settings.share), context.tail)


class Codec:
    def __init__(self, share: float) -> None:
        self.share = share

    def encode(self, cut: Cut) -> list[Bitstream]:
        flat = torch.cat([x.flatten(1) for x in cut], 1).float().cpu()
        if not bool(torch.isfinite(flat).all()):
            raise MethodError("the cut holds a value that is no finite number")
        return [self._coded(row.numpy()) for row in flat]

    def _coded(self, row: np.ndarray) -> Bitstream:
        kept = np.zeros(len(row), bool)
        kept[np.argsort(-abs(row), kind="stable")[: max(1, round(self.share * len(row)))]] = True
        magnitude = np.float32(abs(row[kept]).mean()).tobytes()
        bits = np.packbits(np.concatenate([kept, row[kept] < 0]))  # a bit per place, then one per sign
        return Bitstream(magnitude + bits.tobytes(), side=len(magnitude))

    def decode(self, streams: Sequence[bytes], specs: Specs) -> Cut:
        sizes = [spec.elements for spec in specs]
        rows = np.array([self._decoded(data, sum(sizes)) for data in streams], np.float32).reshape(-1, sum(sizes))
        parts = zip(torch.from_numpy(rows).split(sizes, 1), specs, strict=True)
        return tuple(x.reshape(-1, *spec.shape).to(spec.dtype) for x, spec in parts)

    def _decoded(self, data: bytes, size: int) -> np.ndarray:
        bits = np.unpackbits(np.frombuffer(data[4:], np.uint8)).astype(bool)
        kept, rest = bits[:size], bits[size:]
        magnitude = np.frombuffer(data[:4].ljust(4), np.float32)[0]
        if len(data) != 4 + -(-(size + kept.sum()) // 8) or not np.isfinite(magnitude):
            raise BitstreamError("damaged bitstream: wrong length, or a magnitude that is no number")
        row = np.zeros(size, np.float32)
        row[kept] = np.where(rest[: kept.sum()], -magnitude, magnitude)
        return row


METHOD = Largest()
'''
Path("largest.py").write_text(SOURCE.lstrip())

# %% [markdown]
# ## Does it keep the rules?
#
# The conformance tests that every method here passes: bytes that decode, the same alone as in a batch, damaged bytes
# refused or decoded to the right shape, nothing held that is not counted. Where there is no fault, `fault` is empty.

# %%
checked = splitbench.check_method("largest:METHOD")
checked

# %% [markdown]
# ## Against the others
#
# A sweep over drawn images and a small network that come with splitbench. Cells that are stored are not run again; an
# edit of `largest.py` runs its own again.

# %%
table = splitbench.run(
    {
        "datasets": [{"name": "synthetic", "limit": 100, "calibration": {"limit": 64}}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer2", "layer3"]}],
        "methods": [
            {"name": "largest:METHOD", "share": [0.02, 0.05, 0.1, 0.2, 0.4]},
            {"name": "quantize-rle", "bits": [1, 2, 3, 4]},
            {"name": "quantize-context", "bits": [1, 2, 3, 4]},
        ],
    },
    out="results/largest",
)
table[["split", "method", "value", "bytes_mean", "accuracy", "drop"]].round(2)

# %%
splitbench.plot(table, "rate-drop")

# %% [markdown]
# In words: what is best for a tolerated drop, and whether the next best is clearly behind on these images.

# %%
splitbench.compare(table)["summary"].drop(columns=["dataset", "backbone"])
