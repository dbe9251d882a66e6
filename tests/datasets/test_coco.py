"""COCO's layouts, subsets and faults."""

import json
import shutil
from dataclasses import replace

import pytest

from splitbench import datasets
from splitbench.datasets import DataError, ImageError, coco
from tests.helpers.coco_samples import SIZES, write_coco


def load(root, part="evaluation", **options):
    return coco.DATASET.load(coco.Options(root=root, **options), part)


def changed(root, change):
    """The annotations, changed by a function of their content."""
    file = write_coco(root)
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return root


def test_images_boxes_and_sizes_are_those_of_the_files(tmp_path):
    write_coco(tmp_path)
    dataset = load(tmp_path)
    assert dataset.ids == tuple(f"{i:012d}" for i in range(6)) and dataset.global_ids
    assert [dataset.size(i) for i in range(6)] == list(SIZES)
    assert [dataset.image(i).size[::-1] for i in range(6)] == list(SIZES)
    assert [len(dataset.boxes(i)) for i in range(6)] == [2, 1, 1, 1, 0, 1]
    assert dataset.boxes(0)[1] == {"category_id": 3, "bbox": (50.0, 40.0, 20.0, 20.0), "area": 400.0, "iscrowd": 0}
    assert dataset.target(0)["boxes"].tolist() == [[10, 10, 40, 40], [50, 40, 70, 60]]
    assert dataset.target(0)["labels"].tolist() == [1, 3]
    assert dataset.target(3)["boxes"].shape == (0, 4), "crowds are nothing to train on"
    assert dataset.categories == [1, 3, 90] and dataset.classes == 3


@pytest.mark.parametrize("layout", ["images/val2017", "val2017", "images"])
def test_the_usual_layouts_are_found(tmp_path, layout):
    file = write_coco(tmp_path)
    expected = datasets.fingerprint(load(tmp_path))
    if layout != "images/val2017":
        shutil.move(tmp_path / "images" / "val2017", tmp_path / "moved")
        (tmp_path / "images").rmdir()
        shutil.move(tmp_path / "moved", tmp_path / layout)
    if layout == "images":
        shutil.move(file, tmp_path / "instances_some_of_it.json")
    assert datasets.fingerprint(load(tmp_path)) == expected


def test_parts_come_from_their_own_files(tmp_path):
    write_coco(tmp_path)
    write_coco(tmp_path, "train2017", first=100)
    assert load(tmp_path, "train").ids == load(tmp_path, "calibration").ids
    assert not set(load(tmp_path, "train").ids) & set(load(tmp_path).ids)


def test_subsets_by_number_by_id_and_by_exclusion(tmp_path):
    write_coco(tmp_path)
    few = load(tmp_path, limit=3)
    assert len(few) == 3 and few.ids == load(tmp_path, limit=3).ids != load(tmp_path, limit=3, seed=1).ids
    assert load(tmp_path, ids={4, 2}).ids == ("000000000002", "000000000004")
    assert load(tmp_path, exclude={0, 1, 5}).ids == ("000000000002", "000000000003", "000000000004")
    with pytest.raises(DataError, match=r"2 of the 3 images of `ids` are not in .*: 77, 78"):
        load(tmp_path, ids={2, 77, 78})


def test_fingerprints_follow_boxes_and_images(tmp_path):
    first = datasets.fingerprint(load(changed(tmp_path, lambda content: None)))
    moved = datasets.fingerprint(load(changed(tmp_path, lambda content: content["annotations"][0]["bbox"].reverse())))
    assert moved != first
    write_coco(tmp_path)
    shutil.copy(tmp_path / "images/val2017/000000000000.jpg", tmp_path / "images/val2017/000000000001.jpg")
    assert datasets.fingerprint(load(tmp_path)) not in (first, moved)


def repeat(key):
    return lambda content: content[key].append(content[key][0])


def put(key, number, **fields):
    return lambda content: content[key][number].update(fields)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (repeat("images"), "1 image ids come twice 0; 1 image files come twice 000000000000.jpg"),
        (repeat("annotations"), "1 annotation ids come twice 1"),
        (repeat("categories"), "1 category ids come twice 1"),
        (put("annotations", 0, image_id=55), "1 boxes are of images that it does not list, image 55"),
        (put("annotations", 0, category_id=4), "1 boxes are of categories that it does not list, category 4"),
        (put("annotations", 2, bbox=[1, 2, 0, 5]), r"1 boxes have no width or height .*in image 1 \(annotation 3\)"),
        (put("annotations", 2, bbox=[1, 2, 5, -5]), "1 boxes have no width or height .*in image 1"),
        (put("annotations", 2, bbox=[90, 2, 40, 5]), "1 boxes lie outside their image .*in image 1"),
        (put("annotations", 2, bbox=[1, 2, 3]), "is not in COCO's format"),
        (put("annotations", 2, bbox="wide"), "is not in COCO's format"),
        (put("annotations", 2, bbox=[0, 0, float("nan"), 5]), "1 boxes lie outside their image .*in image 1"),
        (put("annotations", 2, bbox=[0, 0, 10**400, 5]), "is not in COCO's format"),
        (put("annotations", 2, category_id=float("inf")), "is not in COCO's format"),
        (
            lambda content: content["images"][0].pop("height"),
            "1 entry is not in COCO's format: image 0: it has no `height`",
        ),
        (lambda content: content["annotations"][3].pop("bbox"), "annotation 4 of image 2: it has no `bbox`"),
        (put("annotations", 2, area=float("nan")), "annotation 3 of image 1: `area` is nan, no finite number"),
        (put("annotations", 2, area=None), "annotation 3 of image 1: `area` is null, not a number of pixels"),
        (put("annotations", 2, bbox=[]), r"annotation 3 of image 1: `bbox` is \[\], not \[left, top, width, height\]"),
        (
            put("annotations", 2, bbox=[1, "2", 3, 4]),
            'annotation 3 of image 1: one side of `bbox` is "2", not a',
        ),
        (put("annotations", 2, image_id="one"), 'annotation 3 of image one: `image_id` is "one", not a whole number'),
        (put("annotations", 2, category_id=1.5), "annotation 3 of image 1: `category_id` is 1.5, not a whole number"),
        (put("annotations", 2, iscrowd=None), "annotation 3 of image 1: `iscrowd` is null, not 0 or 1"),
        (put("annotations", 2, category_id=None, id="x"), "annotation x of image 1: `category_id` is null"),
        (lambda content: content["annotations"].append(7), "number 6 of its list: it is 7, not an object with keys"),
        (lambda content: content["categories"].append({"name": "cat"}), "number 3 of its list: it has no `id`"),
        (put("images", 1, id="b.jpg"), 'image b.jpg: `id` is "b.jpg", not a whole number'),
        (put("images", 1, file_name=None), "image 1: `file_name` is null, not a name"),
        (put("images", 1, width=0), "image 1: it is 0 x 80 pixels"),
        (
            lambda content: [item.pop("bbox") for item in content["annotations"]],
            "6 entries are not in COCO's format: annotation 1 of image 0: .*annotation 3 of image 1: .*; ...",
        ),
        (lambda content: [item.update(bbox=[0.1, 0.2, 0.3, 0.4]) for item in content["annotations"]], "are in pixels"),
        (lambda content: content.pop("categories"), "has no list of categories"),
        (lambda content: content["annotations"].clear(), "lists 6 images and 0 boxes"),
    ],
)
def test_faulty_annotations_are_refused_with_counts(tmp_path, change, sentence):
    with pytest.raises(DataError, match=sentence):
        load(changed(tmp_path, change))


def test_ids_in_text_and_a_byte_order_mark_change_nothing(tmp_path):
    expected = load(changed(tmp_path, lambda content: None))

    def as_text(content):
        for item in content["annotations"]:
            item.update(image_id=str(item["image_id"]), category_id=str(item["category_id"]))

    file = changed(tmp_path, as_text) / "annotations/instances_val2017.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert [load(tmp_path).boxes(i) for i in range(6)] == [expected.boxes(i) for i in range(6)]


def test_boxes_can_be_of_some_categories_alone(tmp_path):
    names = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}]
    write_coco(tmp_path, categories=names)
    some = load(tmp_path, categories={"car", 90})
    assert len(some) == 6 and some.categories == [3, 90]
    assert [box["category_id"] for i in range(6) for box in some.boxes(i)] == [3, 90, 3]
    assert some.count_boxes() == {3: 2, 90: 1}, "of the crowd, too"
    with pytest.raises(DataError, match=r"1 of `categories` are not in .*: bike \(there are 1 \(person\), 3 \(car\)"):
        load(tmp_path, categories={"car", "bike"})


def test_boxes_that_are_none_can_be_left_out(tmp_path):
    root = changed(tmp_path, put("annotations", 2, bbox=[1, 2, 0, 5]))
    assert load(root, faulty="drop").boxes(1) == []
    shutil.move(root / "annotations/instances_val2017.json", root / "annotations/instances_train2017.json")
    shutil.move(root / "images/val2017", root / "images/train2017")
    assert load(root, "train").boxes(1) == [], "COCO's own training part has some"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "is empty"), ("{", "is not JSON"), ("[]", "no list of images and annotations and categories")],
)
def test_files_that_are_no_annotations_are_refused(tmp_path, text, sentence):
    write_coco(tmp_path).write_text(text)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path)


def test_missing_things_are_reported_with_where_they_belong(tmp_path):
    with pytest.raises(DataError, match="name it by --data"):
        load(None)
    with pytest.raises(DataError, match="data folder not found"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected annotations/instances_val2017\.json"):
        load(tmp_path)
    write_coco(tmp_path, "train2017")
    with pytest.raises(DataError, match=r"there are instances_train2017\.json: name one in `annotations`"):
        load(tmp_path)
    with pytest.raises(DataError, match="annotations not found"):
        load(tmp_path, annotations="mine.json")
    write_coco(tmp_path)
    for name in ("000000000002", "000000000004"):
        (tmp_path / f"images/val2017/{name}.jpg").unlink()
    with pytest.raises(DataError, match=r"names 2 images of 6 that are missing: 000000000002.jpg, 000000000004.jpg;"):
        load(tmp_path)
    assert len(load(tmp_path, exclude={2, 4})) == 4


def test_images_that_do_not_open_or_have_another_size_are_reported(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "images/val2017/000000000001.jpg").write_bytes(b"no image")
    shutil.copy(tmp_path / "images/val2017/000000000004.jpg", tmp_path / "images/val2017/000000000000.jpg")
    dataset = load(tmp_path)
    with pytest.raises(ImageError, match="cannot be read as an image"):
        dataset.image(1)
    with pytest.raises(ImageError, match=r"is 64 x 64, but annotated as 96 x 80, image 0$"):
        dataset.image(0)
    exchanged = replace(dataset, images=[replace(entry, size=entry.size[::-1]) for entry in dataset.images])
    with pytest.raises(
        ImageError, match=r"is 90 x 70, but annotated as 70 x 90, image 2 \(width and height exchanged: "
    ):
        exchanged.image(2)
    before = dataset.digest(0)
    first, *others = dataset.images
    dataset = replace(dataset, images=[replace(first, size=(64, 64)), *others])  # mended: other cells than before
    assert dataset.image(0).size == (64, 64) and dataset.digest(0) != before


def test_the_packs_images_are_annotated_as_its_provenance_says(pack):
    dataset = load(pack / "coco")
    boxes = [box for index in range(len(dataset)) for box in dataset.boxes(index)]
    assert len(dataset) == 158 and len(boxes) == 1424 and sum(box["iscrowd"] for box in boxes) == 16
    assert dataset.classes == 80 and dataset.global_ids
    assert dataset.image(0).size[::-1] == dataset.size(0)
