"""Images in folders: which files are taken, what is said of the others, and names that distinguish them."""

import pytest
from PIL import Image

from splitbench.bench.tools.data.check import check
from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import DataError
from splitbench.datasets.base import UnknownIdsError
from splitbench.datasets.formats.folders import PassedOver, list_images

KIND = DATASETS.get("imagenet")


def load(root, part="evaluation", **options):
    return KIND.load(KIND.Options(root=root, **options), part)


def save(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path, format="PNG")
    return path


@pytest.fixture
def messy(tmp_path):
    """Two classes with images at several depths, and what people leave beside them."""
    for index, name in enumerate(("cat/1.png", "cat/old/2.JFIF", "cat/old/er/3.gif", "dog/1.jpeg")):
        save(tmp_path / "val" / name, index)
    for name in ("cat/._1.png", "cat/.DS_Store", "cat/notes.txt", "cat/scan", "dog/Thumbs.db", "dog/.hidden/9.png"):
        (tmp_path / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "val" / name).write_bytes(b"x")
    return tmp_path


def test_images_are_found_at_any_depth_and_hidden_ones_are_none(messy):
    dataset = load(messy)
    assert [file.relative_to(messy / "val").as_posix() for file in dataset.files] == [
        "cat/1.png",
        "cat/old/2.JFIF",
        "cat/old/er/3.gif",
        "dog/1.jpeg",
    ]
    assert dataset.labels == (0, 0, 0, 1)
    assert all(dataset.image(index).size == (8, 8) for index in range(4))


def test_what_is_passed_over_is_counted(messy):
    assert str(load(messy).passed_over) == (
        "2 hidden (.DS_Store, ._1.png), 1 without an ending (scan), 1 .db, 1 .txt"
    )  # fmt: skip


def test_data_check_says_what_it_passed_over(messy):
    lines = "\n".join(check("imagenet", messy).lines())
    assert "skipped, since their names are not those of image files: 2 hidden (.DS_Store, ._1.png)" in lines


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path):
    save(tmp_path / "val" / "cat" / "1.png")
    assert "skipped" not in "\n".join(check("imagenet", tmp_path).lines())
    assert str(PassedOver.of([])) == ""


def test_a_csv_beside_a_class_s_images_changes_nothing(messy):
    before = load(messy).labels
    (messy / "val" / "cat" / "boxes.csv").write_text("file,x\n")
    assert load(messy).labels == before


def test_a_csv_goes_for_images_below_a_folder_that_is_no_class(tmp_path):
    for number in (3, 5):
        save(tmp_path / "val" / "pictures" / "2020" / f"{number}.png", number)
    (tmp_path / "val" / "labels.csv").write_text("file,label\npictures/2020/3.png,3\npictures/2020/5.png,5\n")
    assert load(tmp_path).labels == (3, 5)


@pytest.mark.parametrize("names", [("train", "test"), ("ILSVRC",)])
def test_a_root_one_level_too_high_is_reported(tmp_path, names):
    for name in names:
        save(tmp_path / name / "n01440764" / "1.png")
    with pytest.raises(DataError, match="no labelled images"):
        load(tmp_path)


def test_classes_whose_images_all_lie_deeper_are_classes(tmp_path):
    for name in ("cat/a/1.png", "dog/b/2.png"):
        save(tmp_path / name)
    assert load(tmp_path).labels == (0, 1)


def test_a_class_of_subfolders_only_is_a_class(tmp_path):
    save(tmp_path / "cat" / "a" / "b" / "1.png")
    save(tmp_path / "dog" / "1.png")
    (tmp_path / "empty").mkdir()
    assert load(tmp_path).classes == 2


def test_equal_file_names_in_different_folders_are_different_images(tmp_path):
    for name in ("cat/a/1.png", "cat/b/1.png", "dog/a/1.png", "dog/a/1.jpg"):
        save(tmp_path / name, len(name))
    assert load(tmp_path).ids == ("cat/a/1.png", "cat/b/1.png", "dog/a/1.jpg", "dog/a/1.png")


def test_names_stay_short_where_they_can(tmp_path):
    for name in ("cat/1.png", "dog/2.png"):
        save(tmp_path / name)
    assert load(tmp_path).ids == ("1", "2")
    save(tmp_path / "dog" / "1.png")
    assert load(tmp_path).ids == ("cat/1", "dog/1", "dog/2")


def test_a_link_that_leads_back_is_no_endless_way(tmp_path):
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    assert len(list_images(tmp_path / "cat")[0]) == 1


def test_links_to_other_folders_are_followed(tmp_path):
    save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "data" / "dog" / "2.png")
    assert load(tmp_path / "data").labels == (0, 1)


@pytest.mark.parametrize("typed", ["1.png", "one", "cat/7"])
def test_an_exclusion_that_matches_nothing_is_an_error(tmp_path, typed):
    save(tmp_path / "cat" / "1.png")
    save(tmp_path / "cat" / "2.png")
    with pytest.raises(
        UnknownIdsError, match=rf"1 of the 2 images of `exclude` are not in .*: {typed} \(there are 1, ...\)"
    ):
        load(tmp_path, exclude={"1", typed})


def test_coco_s_too(tmp_path):
    from tests.helpers.coco_samples import write_coco

    write_coco(tmp_path)
    coco = DATASETS.get("coco")
    for option in ("ids", "exclude"):
        with pytest.raises(DataError, match=f"1 of the 1 images of `{option}` are not in .*: 999"):
            coco.load(coco.Options(root=tmp_path, **{option: {999}}), "evaluation")
