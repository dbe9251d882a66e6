"""The small detectors: decoding, cuts, and with the pack's weights the AP that its own measurement gives."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from splitbench.bench.backbones.zoo.detectors.box_decoding import MOST, cells, chosen, flattened
from splitbench.bench.backbones.zoo.detectors.coco_categories import CATEGORIES
from splitbench.bench.backbones.zoo.detectors.fastestdet import fastestdet
from splitbench.bench.backbones.zoo.detectors.letterbox import letterboxed, placement
from splitbench.bench.backbones.zoo.detectors.nanodet import nanodet_m
from splitbench.bench.backbones.zoo.detectors.yolox_nano import yolox_nano
from splitbench.bench.split import same, split
from splitbench.bench.utils import weight_files
from tests.helpers.closeness import AVERAGE_PRECISION

FACTORIES = {"fastestdet": fastestdet, "yolox_nano": yolox_nano, "nanodet_m": nanodet_m}
CUTS = {  # at an input of 64 x 64
    ("fastestdet", "backbone.stage2"): [(48, 8, 8)],
    ("fastestdet", "backbone.stage3"): [(48, 8, 8), (96, 4, 4)],
    ("fastestdet", "SPP.Conv1x1"): [(96, 4, 4)],
    ("yolox_nano", "backbone.dark2"): [(32, 16, 16)],
    ("yolox_nano", "backbone.dark3"): [(64, 8, 8)],
    ("yolox_nano", "backbone.dark4"): [(64, 8, 8), (128, 4, 4)],
    ("nanodet_m", "backbone.stage2"): [(116, 8, 8)],
    ("nanodet_m", "backbone.stage3"): [(116, 8, 8), (232, 4, 4)],
    ("nanodet_m", "pyramid"): [(96, 8, 8), (96, 4, 4), (96, 2, 2)],
}
PUBLISHED = {"fastestdet": (16.58, 30.65), "yolox_nano": (28.38, 44.63), "nanodet_m": (24.21, 39.76)}  # AP, AP50


def made(name, **args):
    torch.manual_seed(0)
    return FACTORIES[name](**args).eval().requires_grad_(False)


def quiet(shape):
    """A map on which no cell predicts anything."""
    return torch.full(shape, -30.0)


# -- cuts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "at"), CUTS)
def test_cuts_are_exact_and_hold_what_crosses(name, at):
    model = made(name, side=64)
    batch = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    head, tail = split(model, at, batch[:2]).sides
    crossed = head(batch)
    assert [tuple(x.shape[1:]) for x in crossed] == CUTS[name, at]
    assert same(tail(*crossed), model(batch))


# -- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("size", [(60, 100), (100, 60), (37, 41), (500, 3)])
def test_a_letterboxed_image_lies_where_its_boxes_come_back_from(size, centred):
    height, width = size
    square = letterboxed(torch.full((3, height, width), 200, dtype=torch.uint8), 64, centred, fill=7)
    rows, columns = (square[0] == 200).any(1).nonzero(), (square[0] == 200).any(0).nonzero()
    inside = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert int((square == 7).sum() + (square == 200).sum()) == square.numel()
    where = placement(height, width, 64, centred)
    corners = where.back(torch.tensor([inside], dtype=torch.float32))[0]
    slack = 1 / where.scale  # sizes are cut to whole pixels of the input
    assert torch.allclose(corners, torch.tensor([0.0, 0.0, width, height]), atol=slack)
    assert torch.equal(corners[:2], torch.zeros(2))


@pytest.mark.parametrize("name", FACTORIES)
def test_inputs_are_bgr(name):
    red = torch.zeros(3, 20, 20, dtype=torch.uint8)
    red[0] = 255
    model = made(name, side=64)
    prepared = model.prepare(red)
    assert prepared.shape == (3, 64, 64) and prepared.dtype == torch.float32
    assert (prepared[2] > prepared[0]).all() and torch.equal(prepared[0], model.prepare(torch.zeros_like(red))[0])


# -- boxes -----------------------------------------------------------------------------------------------------------


def test_suppression_is_within_a_class():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [-5, 20, 10, 60]])
    scores, labels = torch.tensor([0.5, 0.9, 0.7, 0.6]), torch.tensor([0, 0, 11, 0])
    result = chosen(boxes, scores, labels, overlap=0.6, size=(50, 40), categories=CATEGORIES)
    assert result["labels"].tolist() == [1, 13, 1]  # category 12 does not exist
    assert result["scores"].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert result["boxes"].tolist() == [[0, 0, 10, 9], [0, 0, 10, 9], [0, 20, 10, 50]]


def test_no_more_boxes_than_coco_counts():
    left = torch.arange(150.0)[:, None] * 20
    boxes = torch.cat((left, torch.zeros_like(left), left + 10, left + 10 - left), 1)
    labels = torch.zeros(150, dtype=torch.int64)
    result = chosen(boxes, torch.linspace(0, 1, 150), labels, overlap=0.5, size=(10, 9000), categories=CATEGORIES)
    assert len(result["scores"]) == MOST and result["scores"].min() == pytest.approx(50 / 149)


def test_cells_are_in_the_order_of_the_flattened_maps():
    maps = [
        torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))[None] for h, w in ((2, 3), (1, 2))
    ]
    places, strides = cells(maps, (8, 16))
    assert torch.equal(flattened(maps)[0].flip(1), places)
    assert strides[:, 0].tolist() == [8] * 6 + [16] * 2


def test_one_yolox_cell_says_one_box():
    model = made("yolox_nano")
    raw = tuple(quiet((2, 85, 416 // stride, 416 // stride)) for stride in (8, 16, 32))
    raw[1][1, :5, 3, 5] = torch.tensor([0.5, 0.25, math.log(2), 0, 30])
    raw[1][1, 5 + 79, 3, 5] = 30
    nothing, result = model.detections(raw, [(416, 416), (104, 208)])
    assert nothing["boxes"].shape == (0, 4) and nothing["labels"].shape == nothing["scores"].shape == (0,)
    centre, size = (5.5 * 16, 3.25 * 16), (32, 16)
    corners = [centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2]
    assert result["boxes"].tolist() == [[pytest.approx(value / 2) for value in corners]]
    assert result["labels"].tolist() == [90] and result["scores"].item() == pytest.approx(1)


def test_one_nanodet_cell_says_one_box_of_each_class():
    model = made("nanodet_m")
    raw = tuple(quiet((1, 112, 320 // stride, 320 // stride)) for stride in (8, 16, 32))
    raw[2][0, [0, 16], 5, 2] = 30
    for side, distance in enumerate((1, 0, 3, 1)):
        raw[2][0, 80 + 8 * side + distance, 5, 2] = 30
    (result,) = model.detections(raw, [(160, 320)])  # 80 rows of black above it
    assert (
        result["boxes"].tolist() == [pytest.approx([(2.5 - 1) * 32, 5.5 * 32 - 80, (2.5 + 3) * 32, 6.5 * 32 - 80])] * 2
    )
    assert sorted(result["labels"].tolist()) == [1, 18]


def test_one_fastestdet_cell_says_one_box():
    model = made("fastestdet")
    raw = quiet((1, 85, 22, 22))
    raw[0, :5, 11, 4] = torch.tensor([0, 0, math.atanh(0.5), math.log(1 / 3), 0])  # half objectness; 1/4 wide, 1/2 high
    raw[0, 5 + 2, 11, 4] = 30
    (result,) = model.detections(raw, [(220, 440)])
    x, y = 4 / 22 * 440, 11.5 / 22 * 220
    assert result["boxes"].tolist() == [pytest.approx([x - 55, y - 55, x + 55, y + 55], rel=1e-4)]
    assert result["labels"].tolist() == [3] and result["scores"].item() == pytest.approx(0.5**0.6)


def test_logits_beyond_reason_do_not_overflow():
    model = made("yolox_nano", side=64)
    raw = tuple(torch.full((1, 85, side, side), 500.0) for side in (8, 4, 2))
    (result,) = model.detections(raw, [(64, 64)])
    assert len(result["boxes"]) > 0 and result["boxes"].isfinite().all()


@pytest.mark.parametrize("name", FACTORIES)
def test_an_image_in_a_batch_is_reported_as_alone(name):
    model = made(name, side=64, score=0.0)
    generator = torch.Generator().manual_seed(2)
    images = [torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for size in ((50, 70), (90, 30))]
    raw = model(torch.stack([model.prepare(image) for image in images]))
    sizes = [tuple(image.shape[1:]) for image in images]
    maps = raw if isinstance(raw, tuple) else (raw,)
    together = model.detections(raw, sizes)
    for index, size in enumerate(sizes):
        alone = tuple(level[index : index + 1] for level in maps)
        (result,) = model.detections(alone if isinstance(raw, tuple) else alone[0], [size])
        assert len(result["boxes"]) > 10 and same(result, together[index])
        height, width = size
        assert (result["boxes"] >= 0).all() and (result["boxes"] <= torch.tensor([width, height] * 2)).all()
        assert (result["scores"].diff() <= 0).all() and set(result["labels"].tolist()) <= set(CATEGORIES)


# -- the pack --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["fastestdet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("yolox_nano", "nanodet_m"))]
)
@torch.no_grad()
def test_the_packs_average_precision(pack, name):
    """As in the pack's PROVENANCE.md."""
    model = made(name)
    weight_files.load(model, pack / "weights" / f"{name}.safetensors", name)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(pack / "coco" / "instances_val2017_158.json"))
    assert sorted(truth.getCatIds()) == list(model.categories)
    results = []
    for group in np.array_split(truth.getImgIds(), 20):
        files = [pack / "coco" / "images" / row["file_name"] for row in truth.loadImgs(group)]
        images = [torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1) for file in files]
        raw = model(torch.stack([model.prepare(picture) for picture in images]))
        for image, result in zip(group, model.detections(raw, [tuple(p.shape[1:]) for p in images]), strict=True):
            for (left, top, right, bottom), score, label in zip(*(result[key].tolist() for key in result), strict=True):
                box = [left, top, right - left, bottom - top]
                results.append({"image_id": int(image), "category_id": label, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        scored = COCOeval(truth, truth.loadRes(results), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert 100 * scored.stats[:2] == pytest.approx(PUBLISHED[name], abs=AVERAGE_PRECISION)
