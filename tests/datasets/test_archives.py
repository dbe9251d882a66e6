"""ImageNet's and COCO's archives, read as they are: the same images, names, labels and digests as in folders."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.tools.data.check import check
from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import DataError, ImageError, fingerprint
from tests.helpers.coco_samples import write_coco
from tests.helpers.imagenet_archives import FORMS, add_file, write_class_folders, write_own_archives, write_parquet
from tests.helpers.imagenet_archives import write_shards as write_tar_shards

IMAGENET, COCO = DATASETS.get("imagenet"), DATASETS.get("coco")


def load(root, subset="evaluation", kind=IMAGENET, **options):
    options |= {"cache": root.parent / "cache"} if kind is IMAGENET else {}
    return kind.load(kind.Options(root=root, **options), subset)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "folders")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subset", ["evaluation", "train"])
def test_every_form_has_the_same_images_in_the_same_order(folders, tmp_path, form, subset):
    FORMS[form](folders, tmp_path / "archives")
    expected = load(folders, subset)
    for _ in range(2):  # the second time, what lies where comes from the cache
        dataset = load(tmp_path / "archives", subset)
        assert (dataset.ids, dataset.labels, dataset.classes) == (expected.ids, expected.labels, expected.classes)
        assert fingerprint(dataset) == fingerprint(expected) and dataset.global_ids
        assert [dataset.content(i) for i in range(9)] == [expected.content(i) for i in range(9)]
        assert all(dataset.image(i).tobytes() == expected.image(i).tobytes() for i in range(9))
    options = {"limit": 4, "seed": 3, "exclude": {expected.ids[2]}}
    assert load(tmp_path / "archives", subset, **options).ids == load(folders, subset, **options).ids


def test_archives_are_listed_once(folders, tmp_path, monkeypatch):
    write_tar_shards(folders, tmp_path / "archives")
    expected = fingerprint(load(tmp_path / "archives"))
    monkeypatch.setattr(tarfile, "open", None)
    assert fingerprint(load(tmp_path / "archives")) == expected
    shard = tmp_path / "archives" / "imagenet1k-validation-00.tar"
    os.utime(shard, (1, 1))
    with pytest.raises(TypeError):  # it would have been listed again
        load(tmp_path / "archives")


@pytest.mark.parametrize("form", ["parquet", "shards"])
def test_a_pass_reads_archives_from_front_to_back(folders, tmp_path, form):
    from splitbench.datasets.storage.stored_images import reading_order

    FORMS[form](folders, tmp_path / "archives")
    dataset = load(tmp_path / "archives")
    order = reading_order(dataset)
    assert order is not None and sorted(order) == list(range(9)) and order != list(range(9))
    assert reading_order(load(folders)) is None
    numbers = dataset.stored.numbers[order].tolist()
    assert numbers == sorted(numbers)


def test_a_row_group_is_read_once_by_all_threads(folders, tmp_path, monkeypatch):
    from splitbench.datasets.storage import parquet_images

    write_parquet(folders, tmp_path / "archives")
    dataset, read = load(tmp_path / "archives"), []
    whole = parquet_images._read_images

    def noted(*where):
        read.append(where)
        return whole(*where)

    monkeypatch.setattr(parquet_images, "_read_images", noted)
    fingerprint(dataset)
    assert len(read) == len({*read}) == 5  # of 5 and 4 rows, two a group


def cut_off(path: Path, keep: float = 0.7) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


@pytest.mark.parametrize(
    ("form", "name", "keep", "sentence"),
    [
        ("shards", "imagenet1k-validation-01.tar", 0.7, "is no whole tar archive"),
        ("shards", "imagenet1k-validation-01.tar", 0.0, "is no whole tar archive"),
        ("parquet", "data/validation-00001-of-00002.parquet", 0.7, "is no whole parquet file"),
        ("ImageNet's own archives", "ILSVRC2012_img_val.tar", 0.7, "is no whole tar archive"),
        ("ImageNet's own archives, all packed", "ILSVRC2012_devkit_t12.tar.gz", 0.7, "is damaged"),
    ],
)
def test_what_is_cut_off_is_reported(folders, tmp_path, form, name, keep, sentence):
    FORMS[form](folders, tmp_path / "archives")
    cut_off(tmp_path / "archives" / name, keep)
    with pytest.raises(DataError, match=sentence) as caught:
        load(tmp_path / "archives")
    assert "\n" not in str(caught.value) and name.rpartition("/")[2] in str(caught.value)


def test_a_tar_that_was_cut_off_between_two_files_is_reported(folders, tmp_path):
    write_tar_shards(folders, tmp_path / "archives")
    path = tmp_path / "archives" / "imagenet1k-validation-00.tar"
    with tarfile.open(path) as tar:
        *_, last = tar
    path.write_bytes(path.read_bytes()[: last.offset])
    with pytest.raises(DataError, match="its end is missing"):
        load(tmp_path / "archives")


def test_a_missing_shard_is_reported(folders, tmp_path):
    write_tar_shards(folders, tmp_path / "archives")
    (tmp_path / "archives" / "imagenet1k-validation-00.tar").unlink()
    with pytest.raises(DataError, match="has 1 of 2 shards: number 0 is missing"):
        load(tmp_path / "archives")


@pytest.mark.parametrize(
    ("form", "name", "other"),
    [
        ("shards", "imagenet1k-validation-01.tar", "imagenet12k-validation-01.tar"),
        ("shards", "imagenet1k-validation-01.tar", "imagenet1k-val-01.tar"),
        ("shards", "imagenet1k-validation-01.tar", "imagenet1k-validation-0.tar"),
        ("parquet", "data/validation-00001-of-00002.parquet", "data/validation-00001-of-00003.parquet"),
    ],
)
def test_shards_of_two_sets_are_refused(folders, tmp_path, form, name, other):
    FORMS[form](folders, tmp_path / "archives")
    (tmp_path / "archives" / name).rename(tmp_path / "archives" / other)
    with pytest.raises(DataError, match="has shards of several sets") as caught:
        load(tmp_path / "archives")
    assert "\n" not in str(caught.value) and other.rpartition("/")[2] in str(caught.value)


@pytest.mark.parametrize("form", ["parquet", "shards", "ImageNet's own archives"])
def test_alien_arrays_in_the_cache_count_as_missing(folders, tmp_path, form):
    FORMS[form](folders, tmp_path / "archives")
    expected = load(tmp_path / "archives")
    kept = [*(tmp_path / "cache").rglob("*.npz")]
    assert kept
    for file in kept:
        np.savez(file, x=np.zeros(3))
    dataset = load(tmp_path / "archives")
    assert (dataset.ids, dataset.labels) == (expected.ids, expected.labels)


def test_only_images_of_the_training_archive_are_images(folders, tmp_path):
    write_own_archives(folders, tmp_path / "archives")
    with tarfile.open(tmp_path / "archives" / "ILSVRC2012_img_train.tar", "a") as tar:
        for name in ("README.txt", "._a.JPEG"):
            add_file(tar, f"n01440764/{name}", b"x")
    assert load(tmp_path / "archives", "train").ids == load(folders, "train").ids


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/outside.jpg", "a/../../outside.jpg"])
def test_a_path_outside_of_an_archive_is_refused(folders, tmp_path, name):
    write_tar_shards(folders, tmp_path / "archives")
    with tarfile.open(tmp_path / "archives" / "imagenet1k-validation-00.tar", "a") as tar:
        add_file(tar, name, b"x")
    with pytest.raises(DataError, match=r"outside\.jpg', a path outside of it"):
        load(tmp_path / "archives")
    write_coco(tmp_path / "coco")
    with zipfile.ZipFile(tmp_path / "coco" / "annotations" / "annotations_trainval2017.zip", "w") as archive:
        archive.writestr(name, "x")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"outside\.jpg', a path outside of it"):
        load(tmp_path / "coco", kind=COCO)


def test_a_parquet_file_of_another_kind_is_reported(folders, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "archives").mkdir()
    file = tmp_path / "archives" / "validation-00000-of-00001.parquet"
    parquet.write_table(pa.table({"img": [b"x"], "fine_label": [1]}), file)
    with pytest.raises(DataError, match=r"has the columns fine_label, img: expected image\.bytes, image\.path"):
        load(tmp_path / "archives")
    parquet.write_table(pa.table({"image": [{"bytes": b"x", "path": "a.jpg"}], "label": ["cat"]}), file)
    with pytest.raises(DataError, match="1 rows have no class index as their label"):
        load(tmp_path / "archives")
    parquet.write_table(pa.table({"image": [{"bytes": b"x", "path": "a.jpg"}], "label": [1]}), file)
    with pytest.raises(ImageError, match=r"validation-00000-of-00001\.parquet/0 cannot be read as an image"):
        load(tmp_path / "archives").image(0)


def test_without_pyarrow_parquet_files_say_what_to_install(folders, tmp_path, monkeypatch):
    import sys

    (tmp_path / "validation-00000-of-00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'pip install "splitbench\[parquet\]"'):
        load(tmp_path)


@pytest.mark.parametrize(("field", "content"), [("cls", b"cat"), ("cls", b"-1"), ("json", b"{}"), ("txt", b"1")])
def test_a_shard_without_class_indices_is_reported(tmp_path, field, content):
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "val-000.tar", "w") as tar:
        add_file(tar, "a.jpg", b"x")
        add_file(tar, f"a.{field}", content)
    with pytest.raises(DataError, match="class index"):
        load(tmp_path)


def test_own_archives_need_the_devkit(folders, tmp_path):
    write_own_archives(folders, tmp_path / "archives")
    (tmp_path / "archives" / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt").unlink()
    with pytest.raises(DataError, match=r"needs the devkit, which has its labels, beside it: ILSVRC2012_devkit_t12"):
        load(tmp_path / "archives")


def pack_coco(root: Path, out: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    out.mkdir()
    for part in ("val2017", "train2017"):
        with zipfile.ZipFile(out / f"{part}.zip", "w", compression) as archive:
            for file in sorted((root / "images" / part).iterdir(), reverse=True):
                archive.write(file, f"{part}/{file.name}")
    with zipfile.ZipFile(out / "annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (root / "annotations").iterdir():
            archive.write(file, f"annotations/{file.name}")
    return out


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for part, first in (("val2017", 0), ("train2017", 100)):
        write_coco(tmp_path / "coco", part, first)
    return tmp_path / "coco"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("subset", ["evaluation", "train"])
def test_cocos_zips_are_read_as_they_are(coco, tmp_path, compression, subset):
    zipped, expected = load(pack_coco(coco, tmp_path / "zips", compression), subset, COCO), load(coco, subset, COCO)
    assert zipped.ids == expected.ids and fingerprint(zipped) == fingerprint(expected)
    assert all(zipped.boxes(i) == expected.boxes(i) for i in range(6))
    assert all(zipped.image(i).tobytes() == expected.image(i).tobytes() for i in range(6))


def test_a_damaged_zip_is_reported(coco, tmp_path):
    zips = pack_coco(coco, tmp_path / "zips")
    data = bytearray((zips / "val2017.zip").read_bytes())
    data[200] ^= 1
    (zips / "val2017.zip").write_bytes(data)
    with pytest.raises(ImageError, match=r"val2017\.zip is damaged: val2017/000000000005\.jpg is not what"):
        load(zips, kind=COCO).digest(5)
    cut_off(zips / "val2017.zip")
    with pytest.raises(DataError, match="is no whole zip archive"):
        load(zips, kind=COCO)


def test_an_image_that_a_zip_lacks_is_reported(coco, tmp_path):
    (coco / "images" / "val2017" / "000000000002.jpg").unlink()
    with pytest.raises(DataError, match=r"names 1 images of 6 that are missing: val2017/000000000002\.jpg"):
        load(pack_coco(coco, tmp_path / "zips"), kind=COCO)


@pytest.mark.parametrize("form", ["parquet", "shards", "ImageNet's own archives"])
def test_data_check_knows_archives(folders, tmp_path, form):
    FORMS[form](folders, tmp_path / "archives")
    report = check("imagenet", tmp_path / "archives", full=True)
    lines = "\n".join(report.lines())
    kind = {"parquet": "2 parquet files", "shards": "2 tar files"}.get(form, "1 tar file")
    assert report.usable and not report.complete and f"{kind}, read without unpacking" in lines
    assert "9 images of 3 classes, 3 per class" in lines and "train: " in lines and "all images decoded" in lines
    assert "absent" not in lines and "not named as" not in lines


def test_data_check_knows_cocos_zips(coco, tmp_path):
    report = check("coco", pack_coco(coco, tmp_path / "zips"), full=True)
    lines = "\n".join(report.lines())
    assert (
        report.usable
        and not report.complete
        and "evaluation: " in lines
        and "train: " in lines
        and "val2017.zip" in lines
    )
    assert "6 images" in lines and "all images decoded" in lines


def test_a_link_in_a_tar_is_no_image(tmp_path):
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "val-000.tar", "w") as tar:
        add_file(tar, "a.jpg", b"x")
        add_file(tar, "a.cls", b"3")
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link, io.BytesIO())
    dataset = load(tmp_path)
    assert dataset.ids == ("a",) and dataset.labels == (3,) and dataset.classes == 4
