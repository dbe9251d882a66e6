import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.base import fingerprint
from splitbench.datasets.drawing.jpeg import _quantize
from splitbench.datasets.drawing.kinds import DIVIDED, KINDS, kind
from splitbench.datasets.drawing.raster import SUB, cover
from splitbench.datasets.drawing.render import draw
from splitbench.datasets.drawing.rng import SplitMix64
from splitbench.datasets.drawing.shapes import CLASSES, UNIT, silhouette
from splitbench.datasets.drawing.textures import COUNT, bank, packed


def classification(part="evaluation", **options):
    return synthetic.DATASET.load(synthetic.Options(**options), part)


def detection(part="evaluation", **options):
    return synthetic_detection.DATASET.load(synthetic.Options(**options), part)


PINNED = ["3ea0eed876ec8f29", "6476e211e2b1e63b"]
"""Of the first eight evaluation images, close by and whole."""


def silhouette_of_kinds():
    return [label for label, name in enumerate(CLASSES) for _ in (DIVIDED[name].names if name in DIVIDED else [name])]


def checksum(images):
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()[:16]


def test_the_pixels_are_those_that_every_machine_draws():
    # A change here is another dataset: raise scene.VERSION or render.CLOSE_VERSION, train the bundled weights anew,
    # and pin the new value.
    views = classification(), detection()
    assert [checksum(view.image(index) for index in range(8)) for view in views] == PINNED


@pytest.mark.slow
def test_the_interpreter_draws_what_machine_code_draws():
    # Two ways to run the same integers: what a compiler reorders, or another processor's floats, does not matter.
    code = "from splitbench.datasets.drawing.render import draw; print(draw(0, 2, 0, True).pixels.sum(dtype=int))"
    sums = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-W", "ignore", "-c", code],
            env=os.environ | {"NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert sums[0] == sums[1]


def test_the_random_numbers_are_splitmix64():
    # The published reference's first outputs for seed 1234567.
    rng = SplitMix64()
    rng._state = 1234567
    assert [rng.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_an_image_does_not_depend_on_those_before():
    images = classification()
    first = images.image(5).tobytes()
    images.image(0), images.target(3)
    assert images.image(5).tobytes() == first


def test_what_an_image_is():
    images = classification()
    image = images.image(0)
    assert (image.mode, image.size) == ("RGB", (synthetic.SIDE, synthetic.SIDE))
    assert len(images) == len(images.ids) == len(set(images.ids)) == synthetic.SIZES["evaluation"]
    assert images.ids[123] == "evaluation-000123"
    assert images.classes == len(KINDS) == 18


def test_parts_and_seeds_share_no_image():
    drawn = [
        classification(part, seed=seed, limit=30).image(index).tobytes()
        for part in synthetic.SIZES
        for seed in (0, 1)
        for index in range(30)
    ]
    assert len(set(drawn)) == len(drawn)


def test_a_limit_takes_the_first_images_and_digests_say_datasets_apart():
    few, all_of_them = classification(limit=7), classification()
    assert list(few.ids) == list(all_of_them.ids[:7])
    sets = [few, classification(limit=8), classification(limit=7, seed=1), classification("train", limit=7)]
    assert len({fingerprint(images) for images in [*sets, detection(limit=7)]}) == 5
    assert fingerprint(few) == fingerprint(classification(limit=7))


@pytest.mark.parametrize("options", [{"limit": 0}, {"seed": -1}, {"size": 3}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        synthetic.Options(**options)


def test_silhouettes_are_about_equally_frequent_and_so_are_the_kinds_of_each():
    images = classification()
    counts = np.bincount([images.target(index) for index in range(len(images))], minlength=len(KINDS))
    names = [DIVIDED[name].names if name in DIVIDED else (name,) for name in CLASSES]
    for kinds in names:
        share = counts[[KINDS.index(name) for name in kinds]]
        assert abs(share.sum() - len(images) / len(CLASSES)) < 0.3 * len(images) / len(CLASSES)
        assert share.min() > 0.6 * share.mean()


NUMBERS = {
    # Read off the contours: petals, the corners of teeth and points, and how far a hole and an arm reach.
    "flower": lambda contours: len(contours) - 1,
    "gear": lambda contours: len(contours[0]) // 4,
    "star": lambda contours: len(contours[0]) // 2,
    "ring": lambda contours: contours[1].max(),
    "cross": lambda contours: -contours[0][1, 0],
}


@pytest.mark.parametrize("name", DIVIDED)
def test_a_kind_is_what_its_silhouette_shows(name):
    label, divided = [*CLASSES].index(name), DIVIDED[name]
    for key in range(50):
        number = NUMBERS[name](silhouette(label, SplitMix64(key)))
        shown = divided.names[sum(number >= limit for limit in divided.limits)]
        assert KINDS[kind(label, key)] == shown


def test_a_silhouette_that_does_not_divide_is_one_class():
    label = [*CLASSES].index("fish")
    assert {KINDS[kind(label, key)] for key in range(20)} == {"fish"}


def test_the_target_is_the_class_of_the_thing_in_the_middle():
    side = synthetic.SIDE
    silhouettes = silhouette_of_kinds()
    for index in range(60):
        rendering = draw(0, synthetic.SUBSETS["evaluation"], index, close=True)
        target = classification().target(index)
        middles = []
        for sight in rendering.sights:
            rows, columns = np.nonzero(rendering.owners == sight.owner)
            if len(rows) > side:
                middles.append((abs(rows.mean() - side / 2) + abs(columns.mean() - side / 2), sight.label))
        distance, label = min(middles)
        assert label == silhouettes[target]
        assert distance < side / 2


@pytest.mark.parametrize("label", range(len(CLASSES)), ids=list(CLASSES))
def test_every_silhouette_fills_a_fair_part_of_its_circle_and_little_beyond(label):
    for key in range(20):
        contours = silhouette(label, SplitMix64(key))
        points = np.concatenate(contours)
        assert np.hypot(*points.T).max() < 1.35 * UNIT
        mask = np.zeros((96, 96), dtype=np.uint8)
        ends = np.cumsum([len(contour) for contour in contours])
        cover(mask, points * 30 * SUB // UNIT + 48 * SUB, ends)
        assert 0.1 < mask.astype(float).sum() / (255 * np.pi * 30**2) < 0.95


def test_coverage_is_exact_where_it_can_be():
    mask = np.zeros((6, 8), dtype=np.uint8)
    outer = np.array([(1, 1), (7, 1), (7, 5), (1, 5)]) * SUB
    hole = np.array([(3, 2), (3, 4), (5, 4), (5, 2)]) * SUB
    quarter = np.array([(SUB // 2, 0)])
    bounds = cover(mask, np.concatenate([outer, hole]) + quarter, np.array([4, 8]))
    expected = np.zeros((6, 8), dtype=int)
    expected[1:5, 1:8] = 255
    expected[1:5, [1, 7]] = 128
    expected[2:4, [3, 5]] = 128
    expected[2:4, 4] = 0
    assert bounds == (1, 5, 1, 8)
    assert (mask == expected).all()


def test_nothing_is_covered_outside_the_frame():
    mask = np.full((4, 4), 7, dtype=np.uint8)
    square = np.array([(9, 9), (12, 9), (12, 12), (9, 12)]) * SUB
    top, bottom, left, right = cover(mask, square, np.array([4]))
    assert (top, left) == (bottom, right)
    assert (mask == 7).all()


def test_textures_use_all_tones_equally():
    textures = bank()
    assert len(textures) == COUNT
    for texture in textures:
        counts = np.bincount(texture.reshape(-1), minlength=256)
        assert (counts == texture.size // 256).all()


def test_packed_textures_hold_each_texel_with_its_neighbours():
    for texture, words in zip(bank(), packed(), strict=True):
        side = len(texture)
        for y, x in ((0, 0), (17, side - 1), (side - 1, 30), (side - 1, side - 1)):
            below, right = (y + 1) % side, (x + 1) % side
            four = [texture[y, x], texture[y, right], texture[below, x], texture[below, right]]
            assert int(words[y * side + x]).to_bytes(4, "little") == bytes(four)


def test_quantizing_divides_exactly():
    # The largest coefficient of 8 x 8 values from -2048 to 2048 is 8 x 2048; rounding may add a little.
    values = np.arange(-16500, 16501, dtype=np.int32)
    for first in range(1, 256, 64):
        steps = np.broadcast_to(np.minimum(np.arange(first, first + 64), 255).reshape(8, 8), (3, 8, 8))
        waves = np.tile(values, (8, 8, 3))
        _quantize(waves, np.ascontiguousarray(steps, dtype=np.int32))
        sizes = 16 * steps[0][:, :, None]
        expected = (abs(values) + sizes // 2) // sizes * sizes * np.sign(values)
        assert (waves == np.tile(expected, 3)).all()


def test_boxes_lie_in_the_image_and_enclose_exactly_what_is_seen():
    scenes = detection()
    seen = 0
    for index in range(60):
        rendering = scenes.render(index)
        boxes = synthetic_detection.boxes_of(rendering)
        assert boxes == scenes.boxes(index)
        owners = {sight.owner: sight for sight in rendering.sights}
        for box in boxes:
            left, top, width, height = (int(value) for value in box["bbox"])
            assert 0 <= left < left + width <= synthetic_detection.SIDE
            assert 0 <= top < top + height <= synthetic_detection.SIDE
            assert box["iscrowd"] == 0
            inside = rendering.owners[top : top + height, left : left + width]
            exact = [
                owner
                for owner, sight in owners.items()
                if sight.label + 1 == box["category_id"]
                and (inside == owner).sum() == (rendering.owners == owner).sum() == box["area"]
            ]
            assert exact, "no thing of the box's class lies within it entirely"
            rows = (inside == exact[0]).any(1)
            columns = (inside == exact[0]).any(0)
            assert rows[[0, -1]].all() and columns[[0, -1]].all()
            seen += 1
    assert seen > 100


def test_targets_are_corners_and_classes_from_one():
    scenes = detection()
    for index in range(10):
        target, boxes = scenes.target(index), scenes.boxes(index)
        assert target["boxes"].shape == (len(boxes), 4) and target["boxes"].dtype == np.float32
        assert target["labels"].tolist() == [box["category_id"] for box in boxes]
        for corners, box in zip(target["boxes"], boxes, strict=True):
            x, y, width, height = box["bbox"]
            assert corners.tolist() == [x, y, x + width, y + height]


def test_both_views_show_the_same_scene():
    for index in range(20):
        labels = {box["category_id"] - 1 for box in detection().boxes(index)}
        assert silhouette_of_kinds()[classification().target(index)] in labels


def test_compressing_hard_loses_what_says_classes_apart():
    # Half of the detail's energy is within reach of a strong quantizer: these are not flat squares on white.
    pixels = np.stack([np.asarray(classification().image(index).convert("L"), dtype=float) for index in range(50)])
    blurred = pixels.reshape(50, 24, 4, 24, 4).mean((2, 4)).repeat(4, 1).repeat(4, 2)
    assert np.std(pixels - blurred) > 8
