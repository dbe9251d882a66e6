"""Where a run finds what it needs on this machine."""

from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass(frozen=True)
class Sources:
    """Where things are on this machine: none of it is part of a cell's key.

    ``memory`` is what training may use to keep pictures or a frozen head's outputs, in bytes. ``pictures`` is a folder
    for decoded evaluation pictures, of at most ``pictures_limit`` bytes. ``naive`` evaluates each cell by itself.
    """

    data: Path | None = None
    weights: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    memory: int = 4 * 2**30
    pictures: Path | None = None
    pictures_limit: int = 20 * 2**30
    naive: bool = False
