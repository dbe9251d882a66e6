"""From a scene's description to pixels, as one of two cameras sees it: the whole scene, or its main thing close by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitbench.datasets.drawing import camera, jpeg, raster, surface, textures
from splitbench.datasets.drawing.raster import SUB, Bounds
from splitbench.datasets.drawing.rng import SplitMix64
from splitbench.datasets.drawing.scene import SCENE, VERSION, WORLD, Look, Scene, Surface, Thing, compose, hide, look
from splitbench.datasets.drawing.shapes import ONE, Points, cosine, sine
from splitbench.datasets.drawing.surface import Canvas, Window

CLOSE = 96
"""Pixels along each side of the classification view."""
CLOSE_VERSION = 2
"""Raised with every change that changes a pixel or a class of that view: it names the classification dataset."""

_FLAT = (0, 0, 0)
_EVERYWHERE = {side: np.full((side, side), 255, dtype=np.uint8) for side in (CLOSE, SCENE)}


@dataclass(frozen=True, slots=True)
class View:
    """Which square of the world a camera sees, and at how many pixels.

    ``left`` and ``top`` are its corner in world units; ``zoom`` is 4096 where one pixel is WORLD units.
    """

    side: int
    left: int
    top: int
    zoom: int

    def sees(self, thing: Thing) -> bool:
        """Return whether the thing can reach into the view, its shadow aside."""
        reach, size = thing.radius * 3 // 2, self.side * WORLD * 4096 // self.zoom
        across, down = thing.x - self.left, thing.y - self.top
        return -reach < across < size + reach and -reach < down < size + reach


@dataclass(frozen=True, slots=True)
class Camera:
    """What lens and sensor may do: passes of blur, all equally likely, and noise up to ``noise`` / 16 grey levels."""

    blurs: tuple[int, ...]
    noise: int


_FAR, _NEAR = Camera((0, 0, 1, 1, 2), 110), Camera((0, 0, 1, 1, 2), 150)


@dataclass(frozen=True, slots=True)
class Sight:
    """One labelled thing as a camera sees it."""

    owner: int
    """Its number in ``Rendering.owners``."""
    label: int
    whole: int
    """Pixels that it would have if nothing hid it."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn scene: ``pixels`` of shape (H, W, 3); ``owners`` says which labelled thing is seen where, 0 is none."""

    pixels: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    sights: tuple[Sight, ...]


def whole_view() -> View:
    """Return the whole scene: what detection looks at."""
    return View(SCENE, 0, 0, 4096)


def close_view(scene: Scene, rng: SplitMix64) -> View:
    """Return a square around the scene's largest labelled thing, which fills 50 to 95 % of it: for classification."""
    main = scene.main
    seen = 2 * main.radius * 100 // rng.between(52, 95)
    zoom = CLOSE * WORLD * 4096 // seen
    slack = seen // 10
    left = main.x - seen // 2 + rng.between(-slack, slack)
    top = main.y - seen // 2 + rng.between(-slack, slack)
    return View(CLOSE, left, top, zoom)


def draw(seed: int, part: int, index: int, close: bool) -> Rendering:
    """Draw a scene, close by for classification or whole for detection; the same on every machine."""
    rng = SplitMix64(CLOSE_VERSION if close else VERSION, seed, part, index, 1 if close else 2)
    scene = compose(seed, part, index)
    if close:
        scene = hide(scene, rng)
    view = close_view(scene, rng) if close else whole_view()
    canvas = np.zeros((3, view.side, view.side), dtype=np.int32)
    mask = np.empty((view.side, view.side), dtype=np.uint8)
    owners = np.zeros((view.side, view.side), dtype=np.uint8)
    _paint(canvas, _EVERYWHERE[view.side], (0, view.side, 0, view.side), scene.ground, view, _FLAT)
    if scene.horizon is not None:
        bounds = raster.cover(mask, _to_pixels(scene.horizon.points, 0, 0, view), scene.horizon.ends)
        _paint(canvas, mask, bounds, scene.horizon.surface, view, _FLAT)
    sights: list[Sight] = []
    for thing in filter(view.sees, scene.things):
        seen = look(thing)
        points = _to_pixels(seen.points, thing.x, thing.y, view)
        bounds = raster.cover(mask, points, seen.ends)
        if thing.label is None:
            raster.claim(owners, mask, bounds, 0)
        else:
            owner = len(sights) + 1
            sights.append(Sight(owner, thing.label, raster.claim(owners, mask, bounds, owner)))
        _lay(canvas, mask, bounds, points=points, thing=thing, seen=seen, sun=scene.sun, view=view)
    _photograph(canvas, scene, rng, _NEAR if close else _FAR)
    pixels = np.empty((view.side, view.side, 3), dtype=np.uint8)
    quality = rng.between(45, 95)
    jpeg.develop(canvas, jpeg.jpeg_tables(quality), jpeg.BASIS, pixels)
    return Rendering(pixels, owners, tuple(sights))


def _to_pixels(points: Points, x: int, y: int, view: View) -> Points:
    """Contours around (x, y) in 1 / SUB pixel of the view."""
    corner: Points = np.array([x - view.left, y - view.top])
    return (points + corner) * (view.zoom * SUB // WORLD) // 4096


def _lay(
    canvas: Canvas,
    mask: NDArray[np.uint8],
    bounds: Bounds,
    *,
    points: Points,
    thing: Thing,
    seen: Look,
    sun: int,
    view: View,
) -> None:
    """Put one thing down: its shadow, its outline, its surface lit from the sun's side."""
    across, down = cosine(sun), sine(sun)
    radius = max(1, thing.radius * view.zoom // (4096 * WORLD))
    if seen.shadow:
        reach = max(1, radius // 7)
        offset = (-reach * across // ONE, -reach * down // ONE)
        surface.darken(canvas, mask, bounds, *offset, max(1, radius // 10), seen.shadow)
    shade = _FLAT
    if thing.label is not None:
        right, low = 16000 * across // (ONE * radius), 16000 * down // (ONE * radius)
        x, y = ((at * view.zoom) // (4096 * WORLD) for at in (thing.x - view.left, thing.y - view.top))
        shade = (-right * x - low * y, right, low)
    if seen.outline is not None:
        _paint(canvas, mask, bounds, seen.outline, view, shade)
        middle = _to_pixels(np.zeros((1, 2), dtype=np.int64), thing.x, thing.y, view)
        inner = np.zeros_like(mask)
        within = raster.cover(inner, middle + (points - middle) * 84 // 100, seen.ends)
        top, bottom, left, right = bounds
        bounds = max(top, within[0]), min(bottom, within[1]), max(left, within[2]), min(right, within[3])
        mask = np.minimum(mask, inner)  # a hole shrinks too, and must not be painted over
    _paint(canvas, mask, bounds, seen.surface, view, shade)


def _paint(
    canvas: Canvas,
    mask: NDArray[np.uint8],
    bounds: Bounds,
    looks: Surface,
    view: View,
    shade: tuple[int, int, int],
) -> None:
    bank = textures.packed()
    surface.paint(
        canvas,
        mask,
        bounds,
        looks.stops,
        bank[looks.coarse],
        _texels(looks.coarse_map, view),
        bank[looks.fine],
        _texels(looks.fine_map, view),
        looks.relief,
        shade,
    )


def _texels(window: tuple[int, int, int, int], view: View) -> Window:
    """From world units to the view's pixels."""
    u, v, right, turn = window
    step = WORLD * 4096
    return (
        u + right * view.left - turn * view.top,
        v + turn * view.left + right * view.top,
        right * step // view.zoom,
        turn * step // view.zoom,
        -turn * step // view.zoom,
        right * step // view.zoom,
    )


def _photograph(canvas: Canvas, scene: Scene, rng: SplitMix64, taken_by: Camera) -> None:
    """Light, an unsharp lens now and then, and noise."""
    side = canvas.shape[1]
    slope = [scene.slope * turn // (ONE * side) for turn in (cosine(scene.sun), sine(scene.sun))]
    camera.expose(canvas, np.array(scene.gains, dtype=np.int64), np.array(slope, dtype=np.int64))
    camera.blur(canvas, rng.pick(taken_by.blurs))
    noise = rng.between(0, taken_by.noise)
    camera.grain(canvas, rng.bits() >> 2, noise, noise * rng.between(20, 70) // 100)
