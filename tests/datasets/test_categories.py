"""Category ids are brought into a detector's numbering by names, and trusted only where there are none."""

from collections import Counter
from types import SimpleNamespace

import pytest

from splitbench.bench.backbones.zoo.detectors.coco_categories import CATEGORIES, NAMES
from splitbench.datasets import synthetic, synthetic_detection
from splitbench.datasets.formats.categories import (
    RenumberedDataset,
    categories_problem,
    changed_numbers,
    in_numbering_of,
)

COCO = dict(zip(CATEGORIES, NAMES, strict=True))
NAMELESS = dict.fromkeys(CATEGORIES, "")


def boxes_of(*categories):
    return [{"category_id": category, "bbox": (0, 0, 5, 5), "area": 25, "iscrowd": 0} for category in categories]


def dataset(names, boxes=None, counts=None):
    """One image with a box of each category, or of ``boxes``; ``counts`` are of the whole set."""
    present = list(names) if boxes is None else boxes
    annotated = boxes_of(*present)
    return SimpleNamespace(
        task="detection",
        categories=list(names),
        category_names=names,
        count_boxes=lambda: Counter(present) if counts is None else counts,
        boxes=lambda index: annotated,
        classes=len(names),
        warnings=("one image is odd",),
        __len__=lambda: 1,
    )


def renumbered(given, known):
    """A dataset, or one of these names, as a detector sees it."""
    seen = in_numbering_of(dataset(given) if isinstance(given, dict) else given, known)
    assert isinstance(seen, RenumberedDataset)
    return seen


def test_official_ids_leave_the_dataset_as_it_is():
    given = dataset(COCO)
    assert in_numbering_of(given, COCO) is given
    drawn = synthetic_detection.DATASET.load(synthetic.Options(limit=1), "evaluation")
    assert in_numbering_of(drawn, dict(enumerate(drawn.class_names, 1))) is drawn


@pytest.mark.parametrize(
    "ids",
    [
        dict(enumerate(COCO)),
        dict(enumerate(COCO, 1)),
        dict(zip(COCO, reversed(COCO), strict=True)),
        dict(enumerate(list(COCO)[3:9])),
    ],
    ids=["from 0", "without gaps", "permuted", "a few classes"],
)
def test_renumbered_categories_are_matched_by_name(ids):
    """``ids`` are the file's to COCO's."""
    given = renumbered({own: COCO[number] for own, number in ids.items()}, COCO)
    assert [box["category_id"] for box in given.boxes(0)] == list(ids.values())
    assert given.target(0)["labels"].tolist() == list(ids.values())
    assert given.categories == sorted(ids.values()) and categories_problem(given) == ""
    assert changed_numbers(given) == {own: number for own, number in ids.items() if own != number}
    own, number = next((own, number) for own, number in ids.items() if own != number)
    odd, changed = given.warnings
    assert odd == "one image is odd"
    assert changed.startswith(
        f"the ids of {sum(own != number for own, number in ids.items())} categories are not the detector's, and names "
        f"were used: {own} ({COCO[number]}) is its {number}"
    )
    assert in_numbering_of(given, COCO) is given


@pytest.mark.parametrize("name", ["Traffic Light", "traffic_light", " traffic-light ", "trafficlight"])
def test_names_are_compared_without_case_spaces_and_hyphens(name):
    assert changed_numbers(in_numbering_of(dataset({0: name}), COCO)) == {0: 10}


@pytest.mark.parametrize(
    ("theirs", "cocos"),
    [("motorbike", "motorcycle"), ("Aeroplane", "airplane"), ("sofa", "couch"), ("tv monitor", "tv")],
)
def test_names_of_voc_and_darknet_are_known_both_ways(theirs, cocos):
    assert list(changed_numbers(in_numbering_of(dataset({0: theirs}), COCO)).values()) == [
        number for number, name in COCO.items() if name == cocos
    ]
    assert changed_numbers(in_numbering_of(dataset({0: cocos}), {5: theirs})) == {0: 5}
    both = in_numbering_of(dataset({0: theirs, 1: cocos}), {5: cocos, 6: theirs})
    assert changed_numbers(both) == {0: 6, 1: 5}, "a detector's own word goes before another word for it"


def test_without_names_ids_are_trusted_and_that_is_said():
    (messages,) = renumbered(COCO, NAMELESS).notes
    assert messages == "the detector gives no `category_names`: category ids were trusted to mean what they mean to it"
    for nameless in ({1: "", 90: ""}, {1: "1", 90: "90"}, {}):
        given = dataset(nameless or {1: "", 90: ""})
        given.category_names = nameless
        (messages,) = renumbered(given, COCO).notes
        assert messages == "2 categories have no name in the dataset (1, 90): their ids were taken for the detector's"
    assert "1 categories have no name in the dataset (90)" in renumbered({1: "person", 90: ""}, COCO).notes[0]


def test_boxes_of_categories_that_the_detector_does_not_know_are_a_problem():
    problem = categories_problem(in_numbering_of(dataset({1: "human", 2: "car"}), COCO))
    assert "1 boxes of 2 are of 1 categories that the detector does not know (1 (human)); it knows 80" in problem
    problem = categories_problem(in_numbering_of(dataset({0: "", 1: ""}), NAMELESS))
    assert "1 boxes of 2 are of 1 categories that the detector does not know (0)" in problem
    assert not categories_problem(in_numbering_of(dataset({1: "person", 500: "unicorn"}, [1]), COCO)), "there is none"


def test_the_whole_set_is_checked_not_the_images_that_are_used():
    few = dataset(dict.fromkeys(range(80), ""), boxes=[1], counts=Counter(range(80)))
    problem = categories_problem(in_numbering_of(few, NAMELESS))
    assert "10 boxes of 80 are of 10 categories that the detector does not know (0, 12, 26, ...)" in problem


def test_two_categories_of_one_name_are_a_problem_where_both_have_boxes():
    assert "the categories 0 (person) and 7 (Person) are one to the detector" in categories_problem(
        in_numbering_of(dataset({0: "person", 7: "Person"}), COCO)
    )
    assert "the categories 1 and 7 (person) are one" in categories_problem(
        in_numbering_of(dataset({1: "", 7: "person"}), COCO)
    )
    item = in_numbering_of(dataset({0: "person", 7: "person"}, [7]), COCO)
    assert not categories_problem(item) and changed_numbers(item) == {7: 1}, "exports often have an empty root category"
