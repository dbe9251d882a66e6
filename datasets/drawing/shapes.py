"""Silhouettes: the twelve classes, and the nameless shapes that clutter a scene.

A silhouette is a list of closed contours of points around (0, 0) whose farthest lie about UNIT away. Contours are
filled where they wind around a point at all: those that overlap unite, and one run through backwards cuts a hole.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing.rng import SplitMix64

Points = NDArray[np.int64]
"""Points of a contour, shape (N, 2): x to the right, y down."""

UNIT = 4096
"""The radius of a silhouette."""
TURN = 1024
"""Steps of a full turn; a power of two, so that a mask wraps around."""
ONE = 1 << 14
"""What 1.0 is in the sine table."""

# Rounded to integers, so that the last digit of a machine's sine does not matter: no value lies near a half.
_WAVE: Points = np.rint(np.sin(np.arange(TURN) * (2 * np.pi / TURN)) * ONE).astype(np.int64)
_SINES: list[int] = _WAVE.tolist()


def sine(angle: int) -> int:
    """Return the sine of an angle in steps, in units of 1 / ONE."""
    return _SINES[angle % TURN]


def cosine(angle: int) -> int:
    """Return the cosine of an angle in steps, in units of 1 / ONE."""
    return _SINES[(angle + TURN // 4) % TURN]


def sines(angles: Points) -> Points:
    """As ``sine``, of an array."""
    values: Points = _WAVE[angles & (TURN - 1)]
    return values


def cosines(angles: Points) -> Points:
    """As ``cosine``, of an array."""
    return sines(angles + TURN // 4)


def _columns(x: Points, y: Points) -> Points:
    points = np.empty((len(x), 2), dtype=np.int64)  # half of the time of np.stack, which counts for so few points
    points[:, 0], points[:, 1] = x, y
    return points


def _polar(radii: Points, angles: Points) -> Points:
    return _columns(radii * cosines(angles) // ONE, radii * sines(angles) // ONE)


@cache
def _circle(points: int) -> tuple[Points, Points]:
    """Cosines and sines of equal steps around a full turn."""
    angles = np.arange(points) * TURN // points
    return cosines(angles), sines(angles)


def _ellipse(x: int, y: int, width: int, height: int, points: int = 28) -> Points:
    """Return an ellipse around (x, y) with the given half axes."""
    across, down = _circle(points)
    return _columns(x + width * across // ONE, y + height * down // ONE)


def _disc(x: int, y: int, radius: int, points: int = 28) -> Points:
    return _ellipse(x, y, radius, radius, points)


def _box(left: int, top: int, right: int, bottom: int) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.int64)


def _of(points: Sequence[tuple[int, int]]) -> Points:
    return np.array(points, dtype=np.int64)


def _hole(contour: Points) -> Points:
    return contour[::-1]


def _arrow(rng: SplitMix64) -> list[Points]:
    neck, shaft, head = rng.between(0, 1400), rng.between(600, 1100), rng.between(2000, 3000)
    tail = -UNIT
    return [
        _of([(tail, -shaft), (neck, -shaft), (neck, -head), (UNIT, 0), (neck, head), (neck, shaft), (tail, shaft)]),
    ]


def _bolt(rng: SplitMix64) -> list[Points]:
    lean, width = rng.between(500, 1300), rng.between(1100, 1700)
    return [
        _of(
            [
                (lean - width, -UNIT),
                (lean + width, -UNIT),
                (width // 3, -700),
                (width + 500, -700),
                (-lean - 700, UNIT),
                (-width // 3, 600),
                (-width - 700, 600),
            ]
        )
    ]


def _crescent(rng: SplitMix64) -> list[Points]:
    shift, bite = rng.between(1300, 2300), rng.between(3100, 3500)
    angles = np.arange(0, TURN, 20)
    outer, inner = _polar(np.full(angles.shape, 3900), angles), _disc(shift, 0, bite, 52)
    outer = outer[(outer[:, 0] - shift) ** 2 + outer[:, 1] ** 2 > bite**2]
    inner = inner[inner[:, 0] ** 2 + inner[:, 1] ** 2 < 3900**2]
    return [np.concatenate([outer, inner[::-1]])]


def _cross(rng: SplitMix64) -> list[Points]:
    arm = rng.between(850, 1450)
    flare = arm + rng.between(0, 500)
    return [
        _of(
            [
                (-UNIT, -flare),
                (-arm, -arm),
                (-flare, -UNIT),
                (flare, -UNIT),
                (arm, -arm),
                (UNIT, -flare),
                (UNIT, flare),
                (arm, arm),
                (flare, UNIT),
                (-flare, UNIT),
                (-arm, arm),
                (-UNIT, flare),
            ]
        )
    ]


def _fish(rng: SplitMix64) -> list[Points]:
    height, tail = rng.between(1500, 2100), rng.between(1500, 2200)
    body = _ellipse(700, 0, 3300, height)
    fin = _of([(-1700, 0), (-UNIT, -tail), (-3400, 0), (-UNIT, tail)])
    back = _of([(200, -height + 300), (1300, -height - 900), (1900, -height + 500)])
    return [body, fin[::-1], back, _hole(_disc(2700, -height // 4, 420, 12))]


def _flower(rng: SplitMix64) -> list[Points]:
    petals = rng.between(5, 7)
    size = {5: 1560, 6: 1400, 7: 1260}[petals] + rng.between(-60, 160)
    reach = UNIT - size
    places = _disc(0, 0, reach, petals)
    return [_disc(0, 0, reach - size * 3 // 10, 16), *(_disc(0, 0, size, 18) + places[:, None])]


def _gear(rng: SplitMix64) -> list[Points]:
    teeth, root, hole = rng.between(8, 11), rng.between(2900, 3200), rng.between(1000, 1800)
    step = TURN // (4 * teeth)
    angles = np.arange(4 * teeth) * TURN // (4 * teeth)
    angles[1::4] += step // 4
    angles[0::4] -= step // 4
    radii = np.tile(np.array([root, UNIT, UNIT, root]), teeth)
    return [_polar(radii, np.roll(angles, 1)), _hole(_disc(0, 0, hole, 20))]


def _heart(rng: SplitMix64) -> list[Points]:
    angles = np.arange(0, TURN, 20)
    across = sines(angles)
    notch = rng.between(40, 60)
    x = 16 * across * across // ONE * across // ONE
    y = (
        130 * cosines(angles) - notch * cosines(2 * angles) - 20 * cosines(3 * angles) - 10 * cosines(4 * angles)
    ) // 10
    return [np.stack([x * 245 // ONE, -y * 245 // ONE], axis=1)]


def _key(rng: SplitMix64) -> list[Points]:
    bow, shaft = rng.between(1500, 1850), rng.between(380, 560)
    middle = -UNIT + bow
    bits = [_box(x, 0, x + 620, rng.between(1300, 1900)) for x in (1500, 2900)]
    return [
        _disc(middle, 0, bow),
        _hole(_disc(middle, 0, bow * rng.between(45, 60) // 100, 20)),
        _box(middle + bow * 9 // 10, -shaft, UNIT, shaft),
        *bits,
    ]


def _mug(rng: SplitMix64) -> list[Points]:
    bottom, ear = rng.between(1500, 2200), rng.between(1400, 1700)
    body = _of([(-3300, -3000), (1600, -3000), (bottom - 600, 3200), (-bottom - 1100, 3200)])
    return [body, _disc(1700, -300, ear + 500, 24), _hole(_disc(1700, -300, ear - 250, 20))]


def _ring(rng: SplitMix64) -> list[Points]:
    return [_disc(0, 0, 3800, 40), _hole(_disc(0, 0, rng.between(1700, 2700), 32))]


def _star(rng: SplitMix64) -> list[Points]:
    points, inner = rng.between(5, 6), rng.between(1600, 2100)
    angles = np.arange(2 * points) * TURN // (2 * points)
    return [_polar(np.tile(np.array([UNIT, inner]), points), angles)]


CLASSES: dict[str, Callable[[SplitMix64], list[Points]]] = {
    "arrow": _arrow,
    "bolt": _bolt,
    "crescent": _crescent,
    "cross": _cross,
    "fish": _fish,
    "flower": _flower,
    "gear": _gear,
    "heart": _heart,
    "key": _key,
    "mug": _mug,
    "ring": _ring,
    "star": _star,
}
"""The classes in the order of their indices: a name and how one of its kind is cut out."""


def silhouette(label: int, rng: SplitMix64) -> list[Points]:
    """One of class ``label``: no two are cut alike."""
    return list(CLASSES.values())[label](rng)


def nameless(rng: SplitMix64) -> list[Points]:
    """Return a shape of no class: a pebble, a stick, a slab or a shard."""
    kind = rng.between(0, 3)
    if kind == 0:
        corners = rng.between(7, 11)
        radii = np.array([rng.between(2400, UNIT) for _ in range(corners)], dtype=np.int64)
        return [_polar(radii, np.arange(corners) * TURN // corners)]
    if kind == 1:
        return [_box(-UNIT, -rng.between(180, 420), UNIT, rng.between(180, 420))]
    if kind == 2:
        return [_box(-rng.between(2000, 3600), -rng.between(900, 2600), rng.between(2000, 3600), 2200)]
    return [_polar(np.array([rng.between(2000, UNIT) for _ in range(3)]), np.array([0, 340, 690]))]


def horizon(rng: SplitMix64, width: int) -> Points:
    """Ground below a wavy line through y = 0, ``width`` to either side: in world units, not in UNIT."""
    steps = 17
    x = np.arange(steps) * (2 * width) // (steps - 1) - width
    wave, phase = rng.between(0, width // 24), rng.between(0, TURN - 1)
    y = wave * sines(phase + np.arange(steps) * rng.between(30, 160)) // ONE
    return np.concatenate([np.stack([x, y], axis=1), _of([(width, 2 * width), (-width, 2 * width)])])
