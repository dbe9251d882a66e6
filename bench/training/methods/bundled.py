"""Trained rate points that come with the project, compressed, which saves a seventh of their float16 weights.

``python -m splitbench.bench.training.methods.bundled results/classification results/detection`` replaces them by those
of two runs.
"""

import lzma
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from splitbench.bench.backbones.zoo import WEIGHTS

FOLDER = WEIGHTS / "trained"
SUFFIX = ".safetensors.xz"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lp": 1, "pb": 1}]
"""For values of two bytes."""


def read(path: Path) -> bytes:
    """Return a safetensors file's content, decompressed if bundled. Raises LZMAError or EOFError for a damaged file."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.name.endswith(SUFFIX) else content


def keys() -> set[str]:
    """Return the keys of the bundled trainings."""
    return {path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")}


def bundle(runs: Sequence[Path]) -> None:
    """Replace the bundled trainings and their reports by those of these runs."""
    trained = sorted(path for run in runs for path in run.glob("trainings/*.safetensors"))
    if not trained:
        sys.exit("no trained weights there: run `splitbench train SWEEP --retrain --out RUN` first")
    for path in FOLDER.iterdir():
        path.unlink()
    for path in trained:
        (FOLDER / f"{path.stem}{SUFFIX}").write_bytes(lzma.compress(path.read_bytes(), filters=_FILTERS))
        shutil.copy(path.with_suffix(".json"), FOLDER)


if __name__ == "__main__":
    bundle([Path(run) for run in sys.argv[1:]])
