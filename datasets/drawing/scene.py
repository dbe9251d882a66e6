"""What is in a scene: a description in integers, from (seed, part, index) alone, before anything is drawn."""

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing import shapes, textures
from splitbench.datasets.drawing.rng import SplitMix64
from splitbench.datasets.drawing.shapes import CLASSES, ONE, TURN, UNIT, Points
from splitbench.datasets.drawing.surface import SIDE, Colour

VERSION = 1
"""Raised with every change that changes a pixel of the scene seen whole: it names the detection dataset."""

SCENE = 192
"""Pixels along each side of a scene seen whole."""
WORLD = 16
"""World units per pixel of the scene seen whole."""

Stops = tuple[Colour, Colour, Colour]
"""A ramp of colours, from dark to bright."""

_PALETTES: tuple[Stops, ...] = (
    ((62, 104, 158), (132, 176, 214), (226, 236, 240)),  # sky
    ((24, 38, 18), (66, 96, 36), (148, 160, 84)),  # grass
    ((18, 30, 24), (44, 74, 48), (110, 132, 92)),  # forest
    ((118, 88, 52), (186, 154, 104), (232, 212, 170)),  # sand
    ((8, 34, 54), (26, 84, 108), (136, 190, 196)),  # sea
    ((52, 48, 46), (112, 106, 100), (182, 176, 166)),  # stone
    ((60, 34, 18), (124, 78, 42), (192, 146, 94)),  # wood
    ((84, 34, 24), (150, 76, 54), (200, 140, 114)),  # brick
    ((150, 162, 178), (206, 214, 222), (246, 248, 250)),  # snow
    ((10, 10, 18), (34, 34, 56), (92, 86, 110)),  # night
    ((70, 40, 70), (170, 96, 92), (248, 190, 120)),  # dusk
    ((66, 54, 48), (146, 128, 116), (220, 208, 196)),  # cloth
)


@dataclass(frozen=True, slots=True)
class Surface:
    """How something looks: a ramp of three colours through a coarse texture, and a fine texture as relief.

    ``coarse_map`` and ``fine_map`` are (u, v, u per x, v per x) in 1 / 65536 texel and world units; v turns with u.
    """

    stops: Stops
    coarse: int
    coarse_map: tuple[int, int, int, int]
    fine: int
    fine_map: tuple[int, int, int, int]
    relief: int


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a scene; without a ``label`` it is clutter.

    It stands at (x, y), all of it within 3 / 2 ``radius``, in world units. How it looks is worked out only when it is
    seen: ``look`` does that from ``key``, and keeps its colour apart from those in ``around``.
    """

    label: int | None
    x: int
    y: int
    radius: int
    key: int
    around: tuple[Stops, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """How a thing looks: contours around its place in world units, surfaces, and how dark its shadow is (0 to 256)."""

    points: Points
    ends: NDArray[np.int64]
    surface: Surface
    outline: Surface | None
    shadow: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A ground, perhaps another from a horizon down, things from back to front, and light.

    ``main`` is the largest labelled thing and ``label`` its class. Light falls from the angle ``sun``, in steps;
    ``slope`` is how much brighter it is on that side and ``gains`` how bright in red, green and blue, in 1 / 65536.
    """

    ground: Surface
    horizon: Look | None
    things: tuple[Thing, ...]
    main: Thing
    label: int
    sun: int
    slope: int
    gains: tuple[int, int, int]


def compose(seed: int, part: int, index: int) -> Scene:
    """Describe one scene: a ground, clutter, one to six labelled things, and what hides a little of them."""
    rng = SplitMix64(VERSION, seed, part, index, 0)
    whole = SCENE * WORLD
    ground = _surface(rng, _natural(rng), 40)
    horizon = _horizon(rng) if rng.percent(45) else None
    things = [
        _clutter(rng, rng.between(0, whole), rng.between(0, whole), rng.between(5, 34) * WORLD)
        for _ in range(rng.between(3, 9))
    ]

    around = (ground.stops,) if horizon is None else (ground.stops, horizon.surface.stops)
    largest = rng.between(22, 60)
    sizes = [largest, *(rng.between(10, max(12, largest)) for _ in range(max(0, rng.between(-2, 5))))]
    labelled: list[Thing] = []
    labels: list[int] = []
    for size in sizes:
        spot = _free_spot(rng, size * WORLD, labelled)
        if spot is not None:
            labels.append(rng.between(0, len(CLASSES) - 1))
            labelled.append(Thing(labels[-1], *spot, size * WORLD, rng.bits(), around))

    main = labelled[0]
    things += labelled
    things += (_over(rng, main, (25, 50), (50, 110)) for _ in range(max(0, rng.between(-2, 2))))

    exposure = rng.between(52, 78)
    gains = [exposure * rng.between(90, 110) * 65536 // 6500 for _ in range(3)]
    return Scene(
        ground=ground,
        horizon=horizon,
        things=tuple(things),
        main=main,
        label=labels[0],
        sun=rng.between(0, TURN - 1),
        slope=rng.between(0, 30000),
        gains=(gains[0], gains[1], gains[2]),
    )


def hide(scene: Scene, rng: SplitMix64) -> Scene:
    """Lay one to three pieces of clutter over the main thing: close by, parts of it are to be guessed."""
    over = [_over(rng, scene.main, (30, 60), (20, 110)) for _ in range(rng.between(1, 3))]
    return replace(scene, things=(*scene.things, *over))


def look(thing: Thing) -> Look:
    """Cut a thing out, squeeze, shear, mirror and turn it, and choose its surfaces."""
    rng = SplitMix64(thing.key)
    if thing.label is None:
        contours = shapes.nameless(rng)
        stops = _natural(rng) if rng.percent(70) else _vivid(rng)
        outline, shadow = None, rng.percent(40)
    else:
        contours = shapes.silhouette(thing.label, rng)
        stops = _natural(rng) if rng.percent(30) else _vivid(rng)
        for _ in range(8):
            if all(_apart(stops, other) for other in thing.around):
                break
            stops = _vivid(rng)
        outline = _surface(rng, _vivid(rng), 20) if rng.percent(25) else None
        shadow = rng.percent(60)
    squeeze, shear = rng.between(82, 118), rng.between(-16, 16)
    flip, turn = 1 if rng.percent(50) else -1, rng.between(0, TURN - 1)
    right, down = thing.radius * shapes.cosine(turn), thing.radius * shapes.sine(turn)
    tall = 10000 // squeeze
    unit = 100 * UNIT
    matrix = np.array(
        [
            (flip * squeeze * right // unit, flip * squeeze * down // unit),
            ((flip * shear * right - tall * down) // unit, (flip * shear * down + tall * right) // unit),
        ]
    )
    return Look(
        points=np.concatenate(contours) @ matrix // ONE,
        ends=np.array([*accumulate(map(len, contours))]),
        surface=_surface(rng, stops, 60),
        outline=outline,
        shadow=rng.between(70, 150) if shadow else 0,
    )


def _horizon(rng: SplitMix64) -> Look:
    """Ground of another kind, from a wavy line a little askew through the scene down."""
    whole = SCENE * WORLD
    contour = shapes.horizon(rng, 2 * whole)
    turn = rng.between(-40, 40)
    cosine, sine = shapes.cosine(turn), shapes.sine(turn)
    points = contour @ np.array([[cosine, sine], [-sine, cosine]]) // ONE
    place = np.array([rng.between(0, whole), rng.between(whole // 4, whole)])
    return Look(points + place, np.array([len(points)]), _surface(rng, _natural(rng), 40), None, 0)


def _free_spot(rng: SplitMix64, size: int, things: list[Thing]) -> tuple[int, int] | None:
    """Return a place where a circle of this radius hides little of the things; None where there is none."""
    whole, edge = SCENE * WORLD, size * 7 // 8
    for _ in range(12):
        x, y = rng.between(edge, whole - edge), rng.between(edge, whole - edge)
        clear = ((x - t.x) ** 2 + (y - t.y) ** 2 > (80 * (size + t.radius) // 100) ** 2 for t in things)
        if all(clear):
            return x, y
    return None


def _clutter(rng: SplitMix64, x: int, y: int, size: int) -> Thing:
    return Thing(None, x, y, size, rng.bits())


def _over(rng: SplitMix64, main: Thing, sizes: tuple[int, int], reaches: tuple[int, int]) -> Thing:
    """Return clutter over a thing, its size and its distance from the middle in percent of the thing's radius."""
    size = main.radius * rng.between(*sizes) // 100
    angle, reach = rng.between(0, TURN - 1), main.radius * rng.between(*reaches) // 100
    x, y = main.x + reach * shapes.cosine(angle) // ONE, main.y + reach * shapes.sine(angle) // ONE
    return _clutter(rng, x, y, size)


def _surface(rng: SplitMix64, stops: Stops, relief: int) -> Surface:
    return Surface(
        stops=stops,
        coarse=rng.pick(textures.SMOOTH),
        coarse_map=_window(rng, 25, 110),
        fine=rng.between(0, textures.COUNT - 1),
        fine_map=_window(rng, 60, 150),
        relief=rng.between(0, relief),
    )


def _window(rng: SplitMix64, low: int, high: int) -> tuple[int, int, int, int]:
    """Return a place, direction and scale in a texture, of low to high hundredths of a texel per pixel of the scene."""
    turn, scale = rng.between(0, TURN - 1), rng.between(low, high)
    step = 65536 * scale // (100 * WORLD)
    side = SIDE << 16
    return (
        rng.between(0, side - 1),
        rng.between(0, side - 1),
        step * shapes.cosine(turn) // ONE,
        step * shapes.sine(turn) // ONE,
    )


def _natural(rng: SplitMix64) -> Stops:
    """Return a palette from nature, a little varied."""
    dark, middle, bright = rng.pick(_PALETTES)
    drift = rng.between(-16, 16), rng.between(-16, 16), rng.between(-16, 16)
    return _shift(dark, drift), _shift(middle, drift), _shift(bright, drift)


def _shift(colour: Colour, by: Colour) -> Colour:
    red, green, blue = (min(255, max(0, level + change)) for level, change in zip(colour, by, strict=True))
    return red, green, blue


def _vivid(rng: SplitMix64) -> Stops:
    """Return a ramp from a shade of any hue to a tint of a hue not far from it."""
    hue, strength = rng.between(0, TURN - 1), rng.between(40, 220)
    middle, reach = rng.between(60, 200), rng.between(15, 60)
    before, after = hue - rng.between(-90, 90), hue + rng.between(-90, 90)
    return _hue(before, strength, middle - reach), _hue(hue, strength, middle), _hue(after, strength, middle + reach)


def _hue(angle: int, strength: int, grey: int) -> Colour:
    red, green, blue = (grey + strength * shapes.cosine(angle + third) // (2 * ONE) for third in (0, 341, 683))
    return min(251, max(4, red)), min(251, max(4, green)), min(251, max(4, blue))


def _apart(one: Stops, other: Stops) -> bool:
    """Return whether the middle colours differ enough to be distinguished."""
    return sum(abs(a - b) for a, b in zip(one[1], other[1], strict=True)) >= 125
