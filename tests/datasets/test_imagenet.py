"""ImageNet's layouts, subsets and faults."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import DataError, ImageError, fingerprint
from tests.helpers.photographs import write_photographs

KIND = DATASETS.get("imagenet")


def load(root, part="evaluation", **options):
    return KIND.load(KIND.Options(root=root, **options), part)


def test_a_folder_per_synset_gets_imagenets_indices(tmp_path):
    for synset in ("n01443537", "n15075141"):
        write_photographs(tmp_path / "val" / synset, 2, size=16)
    dataset = load(tmp_path)
    assert [dataset.target(i) for i in range(4)] == [1, 1, 999, 999]
    assert dataset.classes == 1000
    assert len(set(dataset.ids)) == 4


def test_a_folder_per_class_of_other_names_is_numbered(tmp_path):
    for name in ("cat", "bird"):
        write_photographs(tmp_path / name, 1, size=16)
    dataset = load(tmp_path)
    assert dataset.classes == 2
    assert {dataset.files[i].parent.name: dataset.target(i) for i in range(2)} == {"bird": 0, "cat": 1}


def test_a_class_that_one_part_lacks_keeps_its_number(tmp_path):
    for part, names in (("val", ("square", "triangle")), ("train", ("circle", "square"))):
        for name in names:
            write_photographs(tmp_path / part / name, 1, size=16)
    for part, expected in (("evaluation", {"square": 1, "triangle": 2}), ("train", {"circle": 0, "square": 1})):
        dataset = load(tmp_path, part)
        assert {file.parent.name: label for file, label in zip(dataset.files, dataset.labels, strict=True)} == expected
        assert dataset.class_names == ("circle", "square", "triangle") and dataset.classes == 3


def test_a_csv_has_as_many_classes_as_its_labels_tell(photographs):
    table = photographs / "val" / "labels.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *(f"{row.partition(',')[0]},{i % 3}" for i, row in enumerate(rows[1:]))]))
    dataset = load(photographs / "val")
    assert dataset.classes == 3 and dataset.class_names == ()


def test_a_damaged_devkit_is_reported(tmp_path):
    write_photographs(tmp_path / "val", 1, size=16)
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n")
    with pytest.raises(DataError, match=r"needs meta\.mat"):
        load(tmp_path)
    (tmp_path / "meta.mat").write_bytes(b"nothing")
    with pytest.raises(DataError, match="do not number"):
        load(tmp_path)


def test_kaggles_flat_folder(tmp_path):
    files = write_photographs(tmp_path / "val", 2, size=16)
    with (tmp_path / "LOC_val_solution.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ImageId", "PredictionString"])
        writer.writerows([[file.stem, f"n0144353{7 - i} 1 2 3 4 "] for i, file in enumerate(files[:1])])
    dataset = load(tmp_path)
    assert len(dataset) == 1 and dataset.target(0) == 1


def test_the_devkits_numbers_are_translated(tmp_path):
    write_photographs(tmp_path / "val", 3, size=16)
    devkit = tmp_path / "devkit" / "data"
    devkit.mkdir(parents=True)
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n2\n")
    synsets = np.array([(1, "n15075141"), (2, "n01440764")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(devkit / "meta.mat", {"synsets": synsets})
    dataset = load(tmp_path)
    assert [dataset.target(i) for i in range(3)] == [0, 999, 0]
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n")
    with pytest.raises(DataError, match=r"3 images, but .* 2 labels"):
        load(tmp_path)


def test_limit_is_a_subset_that_depends_on_the_seed_alone(photographs):
    whole = load(photographs / "val")
    few = load(photographs / "val", limit=5, seed=1)
    assert len(few) == 5 and set(few.ids) < set(whole.ids)
    assert few.ids == load(photographs / "val", limit=5, seed=1).ids
    assert few.ids != load(photographs / "val", limit=5, seed=2).ids
    assert len(load(photographs / "val", limit=99)) == 12
    assert whole.ids[0] not in load(photographs / "val", exclude={whole.ids[0]}).ids


def test_fingerprint_follows_content_and_labels_not_the_path(photographs, tmp_path):
    first = fingerprint(load(photographs / "val"))
    moved = photographs.rename(tmp_path / "elsewhere")
    assert fingerprint(load(moved / "val")) == first
    table = moved / "val" / "labels.csv"
    table.write_text(table.read_text().replace("0003.JPEG,3", "0003.JPEG,4"))
    relabelled = fingerprint(load(moved / "val"))
    assert relabelled != first
    Image.new("RGB", (40, 40)).save(moved / "val" / "images" / "photo_0000.JPEG")
    assert fingerprint(load(moved / "val")) not in (first, relabelled)


def test_a_broken_image_is_named(photographs):
    broken = photographs / "val" / "images" / "photo_0004.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"photo_0004\.JPEG"):
        load(photographs / "val").image(4)


def test_missing_and_empty_folders_are_reported(tmp_path):
    with pytest.raises(DataError, match="data folder not found"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no labelled images"):
        load(tmp_path)
    with pytest.raises(DataError, match="name it by --data"):
        load(None)


def test_labels_without_their_image_are_reported(photographs):
    (photographs / "val" / "images" / "photo_0001.JPEG").unlink()
    with pytest.raises(DataError, match=r"names 1 images of 12 that are not in .*: images/photo_0001\.JPEG"):
        load(photographs / "val")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (b"a,b\n1,2\n", "expected the columns"),
        (b"file,label\n", "expected the columns"),
        (b"file,label\nimages/photo_0000.JPEG,cat\n", "not a class index"),
        (b"file,label\nimages/photo_0000.JPEG\n", "not a class index"),
        (
            b"file,label\nimages/photo_0000.JPEG,1\nimages/photo_0000.JPEG,2\n",
            "names 1 images more than once: .*photo_0000",
        ),
        (b"ImageId,PredictionString\nphoto_0000,n00000000 1 2\n", "no ImageNet synset"),
        (b"\xff\xfe\x00", "not a CSV"),
    ],
)
def test_faulty_labels_are_reported(photographs, table, sentence):
    (photographs / "val" / "labels.csv").write_bytes(table)
    with pytest.raises(DataError, match=sentence):
        load(photographs / "val")


def test_folders_that_are_not_all_synsets_are_reported(tmp_path):
    for name in ("n01440764", "n01443537x", ".hidden"):
        write_photographs(tmp_path / name, 1, size=16)
    with pytest.raises(DataError, match="n01443537x is no synset"):
        load(tmp_path)


def test_folders_named_by_index_keep_it(tmp_path):
    for name in ("0", "2", "10"):
        write_photographs(tmp_path / name, 1, first=int(name), size=16)
    dataset = load(tmp_path)
    assert [dataset.target(i) for i in range(3)] == [0, 10, 2] and dataset.classes == 11


def test_kaggles_other_tables_do_not_confuse(tmp_path):
    (file,) = write_photographs(tmp_path / "val", 1, size=16)
    for part, name in (("train", "elsewhere"), ("val", file.stem)):
        (tmp_path / f"LOC_{part}_solution.csv").write_text(f"ImageId,PredictionString\n{name},n01443537 1 2 3 4\n")
    assert load(tmp_path).target(0) == 1
    (tmp_path / "a.csv").write_text("file,label\n")
    (tmp_path / "LOC_val_solution.csv").rename(tmp_path / "b.csv")
    with pytest.raises(DataError, match="several tables"):
        load(tmp_path)


def test_equal_file_names_in_two_folders_are_distinguished_and_can_be_left_out(tmp_path):
    for index, name in enumerate(("cat", "dog")):
        write_photographs(tmp_path / name, 1, first=index, size=16)[0].rename(tmp_path / name / "1.jpg")
    assert load(tmp_path).ids == ("cat/1", "dog/1")
    assert load(tmp_path, exclude={"cat/1"}).ids == ("dog/1",)
    assert not load(tmp_path).global_ids


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")])
def test_what_the_machine_lacks_for_a_moment_is_no_damaged_image(photographs, monkeypatch, error):
    dataset = load(photographs / "val")

    def lacking(*_):
        raise error

    monkeypatch.setattr("splitbench.datasets.formats.decoding.Image.open", lacking)
    with pytest.raises(type(error)) as printed:
        dataset.image(0)
    assert not isinstance(printed.value, ImageError)
