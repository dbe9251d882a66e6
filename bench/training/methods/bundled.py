"""Trained rate points that come with the project, compressed as differences from the weights they began with.

A clone has them. Of wheels they are a distribution of their own, ``splitbench-trained``, since they are five times as
large as the rest.

``python -m splitbench.bench.training.methods.bundled results/classification results/detection`` replaces them by those
of two runs.
"""

import json
import lzma
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    report = json.loads(path.with_name(f"{_key(path)}.json").read_bytes())
    beginning = _beginning(report, lambda key: read(path.with_name(f"{key}{SUFFIX}")))
    return differences.add(load(lzma.decompress(path.read_bytes())), beginning)


def _key(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _beginning(report: Mapping[str, Any], weights_of: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the weights that a training began with: those of another training, or the bundled network's."""
    if report["neighbour"] is not None:
        return weights_of(report["neighbour"])
    weights = NETWORKS[report["ingredients"]["backbone"].removeprefix("splitbench/")].weights
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
    files = {path.stem: path for path in trained}
    packed = {key: _packed(path, files) for key, path in files.items()}  # before anything is removed
    for path in FOLDER.iterdir():
        path.unlink()
    for key, path in files.items():
        shutil.copy(path.with_suffix(".json"), FOLDER)
        (FOLDER / f"{key}{SUFFIX}").write_bytes(packed[key])


def _packed(path: Path, files: Mapping[str, Path]) -> bytes:
    report = json.loads(path.with_suffix(".json").read_bytes())
    beginning = _beginning(report, lambda neighbour: load_file(files[neighbour]))
    return lzma.compress(save(differences.subtract(load_file(path), beginning)), filters=_FILTERS)


if __name__ == "__main__":
    bundle([Path(run) for run in sys.argv[1:]])
