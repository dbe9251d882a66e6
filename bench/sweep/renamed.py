"""Words that users type and that were renamed: the old ones keep working for one version, and a warning names the new.

Rows added in a version go in the next one.
"""

import warnings
from collections.abc import Mapping
from typing import Any

RENAMED: Mapping[str, Mapping[str, str]] = {
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
    "setting of retrained": {"share": "backbone_lr_scale"},
}
"""By kind, the old words and what they are called now."""


class RenamedWarning(FutureWarning):
    """The user typed a word that has a new name."""


def renamed(kind: str, word: str) -> str:
    """Return today's name for ``word``."""
    return RENAMED.get(kind, {}).get(word, word)


def current(kind: str, word: str) -> str:
    """Return today's name for ``word``, and warn if ``word`` is an old one."""
    new = renamed(kind, word)
    if new != word:
        warnings.warn(f"{kind} {word} is called {new} now; the old name works in this version only", RenamedWarning, 2)
    return new


def with_current_keys(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with today's names for its keys, and warn if there are old ones.

    Raises:
        ValueError: an old name and its new one are both there.
    """
    for word in given:
        if (new := renamed(kind, word)) != word and new in given:
            raise ValueError(f"{word} is called {new} now, and both are given: leave out {word}")
    return {current(kind, word): value for word, value in given.items()}
