"""The classes of the classification view: kinds of silhouettes, some of which differ in one proportion or number only.

Detection names a thing by its silhouette. Close by, five of the twelve are told apart further: a flower by its petals,
a ring by the size of its hole. A kind is read off the first number that its silhouette is cut by.
"""

from dataclasses import dataclass

from splitbench.datasets.drawing.rng import SplitMix64
from splitbench.datasets.drawing.shapes import CLASSES


@dataclass(frozen=True, slots=True)
class Kinds:
    """How one silhouette divides: by the limits that its first number, from ``low`` to ``high``, reaches."""

    low: int
    high: int
    limits: tuple[int, ...]
    names: tuple[str, ...]


DIVIDED: dict[str, Kinds] = {
    "cross": Kinds(850, 1450, (1151,), ("thin cross", "thick cross")),
    "flower": Kinds(5, 7, (6, 7), ("flower of five", "flower of six", "flower of seven")),
    "gear": Kinds(8, 11, (10,), ("coarse gear", "fine gear")),
    "ring": Kinds(1700, 2700, (2201,), ("thick ring", "thin ring")),
    "star": Kinds(5, 6, (6,), ("star of five", "star of six")),
}
"""The silhouettes that divide; the first number that each is drawn from is that of its function in ``shapes``."""

_NAMES = [DIVIDED[name].names if name in DIVIDED else (name,) for name in CLASSES]

KINDS: tuple[str, ...] = tuple(name for names in _NAMES for name in names)
"""The names of the eighteen classes in the order of their indices."""

_FIRST = [sum(map(len, _NAMES[:label])) for label in range(len(CLASSES))]


def kind(label: int, key: int) -> int:
    """Return the class index of a thing with a silhouette ``label`` that is cut by the generator of ``key``."""
    divided = DIVIDED.get([*CLASSES][label])
    if divided is None:
        return _FIRST[label]
    number = SplitMix64(key).between(divided.low, divided.high)
    return _FIRST[label] + sum(number >= limit for limit in divided.limits)
