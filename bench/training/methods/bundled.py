"""Trained rate points that come with the project, compressed as differences from the bundled network's weights.

A clone has them. Of wheels they are a distribution of their own, ``splitbench-trained``, since they are five times as
large as the rest.

``python -m splitbench.bench.training.methods.bundled results/classification results/detection`` replaces them by those
of two runs.
"""

import json
import lzma
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from safetensors.torch import load, load_file, save
from torch import Tensor

from splitbench.bench.backbones.zoo import NETWORKS, WEIGHTS
from splitbench.bench.training.methods import differences

FOLDER = WEIGHTS / "trained"
SUFFIX = ".safetensors.xz"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lp": 1, "pb": 1}]
"""For values of two bytes."""


def read(path: Path) -> dict[str, Tensor]:
    """Return a bundled training's tensors. Raises LZMAError, EOFError, SafetensorError or KeyError where damaged."""
    return differences.add(load(lzma.decompress(path.read_bytes())), _beginning(path.with_name(f"{_key(path)}.json")))


def _key(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _beginning(report: Path) -> dict[str, Tensor]:
    """Return the weights of the bundled network that a training began with."""
    name = json.loads(report.read_bytes())["ingredients"]["backbone"].removeprefix("splitbench/")
    weights = NETWORKS[name].weights
    return load_file(weights) if weights else {}


def keys() -> set[str]:
    """Return the keys of the bundled trainings."""
    return {_key(path) for path in FOLDER.glob(f"*{SUFFIX}")}


def missing_note(backbones: Iterable[str]) -> str | None:
    """Return what to say before these backbones are trained where the bundled trainings are not installed."""
    bundled = {f"splitbench/{name}" for name, network in NETWORKS.items() if network.weights is not None}
    if keys() or bundled.isdisjoint(backbones):
        return None
    return (
        "the trained rate points of the synthetic sweeps are not installed and are trained here, which takes an hour "
        "or more on a CPU: the package splitbench-trained and a clone of the project have them"
    )


def bundle(runs: Sequence[Path]) -> None:
    """Replace the bundled trainings and their reports by those of these runs."""
    trained = sorted(path for run in runs for path in run.glob("trainings/*.safetensors"))
    if not trained:
        sys.exit("no trained weights there: run `splitbench train SWEEP --retrain --out RUN` first")
    for path in FOLDER.iterdir():
        path.unlink()
    for path in trained:
        report = Path(shutil.copy(path.with_suffix(".json"), FOLDER))
        packed = save(differences.subtract(load_file(path), _beginning(report)))
        (FOLDER / f"{path.stem}{SUFFIX}").write_bytes(lzma.compress(packed, filters=_FILTERS))


if __name__ == "__main__":
    bundle([Path(run) for run in sys.argv[1:]])
