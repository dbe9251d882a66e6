"""Trained rate points that ship with the project: packed, which saves a seventh of their float16 weights.

``python -m splitbench.bench.training.methods.bundled results/classification results/detection`` packs those of two
runs anew.
"""

import lzma
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from splitbench.bench.backbones.zoo import WEIGHTS

SHIPPED = WEIGHTS / "trained"
PACKED = ".safetensors.xz"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lp": 1, "pb": 1}]
"""Told that values are two bytes long."""


def contents(path: Path) -> bytes:
    """A safetensors file, unpacked where it ships. Raises LZMAError or EOFError where it is damaged."""
    packed = path.read_bytes()
    return lzma.decompress(packed) if path.name.endswith(PACKED) else packed


def keys() -> set[str]:
    """Of the trainings that ship."""
    return {path.name.removesuffix(PACKED) for path in SHIPPED.glob(f"*{PACKED}")}


def ship(runs: Sequence[Path]) -> None:
    """Let the trainings of these runs ship, with their reports, instead of those that ship now."""
    trained = sorted(path for run in runs for path in run.glob("trainings/*.safetensors"))
    if not trained:
        sys.exit("no trained weights there: run `splitbench train SWEEP --retrain --out RUN` first")
    for path in SHIPPED.iterdir():
        path.unlink()
    for path in trained:
        (SHIPPED / f"{path.stem}{PACKED}").write_bytes(lzma.compress(path.read_bytes(), filters=_FILTERS))
        shutil.copy(path.with_suffix(".json"), SHIPPED)


if __name__ == "__main__":
    ship([Path(run) for run in sys.argv[1:]])
