"""Words that users type and that were renamed: the old ones keep working for one version, and a warning names the new.

Rows added in a version go in the next one.
"""

import warnings
from collections.abc import Mapping
from typing import Literal

Kind = Literal["backbone", "command", "dataset", "option"]

RENAMED: Mapping[Kind, Mapping[str, str]] = {
    "backbone": {
        "splitbench.bench.models.cifar_resnet:cifar_resnet": "splitbench/cifar_resnet",
        "splitbench.bench.models.cifar_resnet:resnet20": "splitbench/resnet20",
        "splitbench.bench.models.detectors.fastestdet:fastestdet": "splitbench/fastestdet",
        "splitbench.bench.models.detectors.nanodet:nanodet_m": "splitbench/nanodet_m",
        "splitbench.bench.models.detectors.yolox_nano:yolox_nano": "splitbench/yolox_nano",
    },
    "command": {"train-embedded": "train-synthetic"},
    "dataset": {"embedded": "synthetic", "embedded-detection": "synthetic-detection"},
    "option": {"--patience": "--time-limit"},
}
"""By kind, the old words and what they are called now."""


class RenamedWarning(FutureWarning):
    """The user typed a word that has a new name."""


def current(kind: Kind, word: str) -> str:
    """Return today's name for ``word``, and warn if ``word`` is an old one."""
    new = RENAMED[kind].get(word)
    if new is None:
        return word
    warnings.warn(f"{kind} {word} is called {new} now; the old name works in this version only", RenamedWarning, 2)
    return new
