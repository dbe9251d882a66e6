"""ImageDigests that are kept: what did not change is not read again, and what changed never goes unnoticed for long."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import ImageError, fingerprint, imagenet
from splitbench.datasets.base import fingerprint_of
from splitbench.datasets.storage import manifest as manifests
from splitbench.datasets.storage.cache import Cache, CacheWarning, default_folder
from splitbench.datasets.storage.manifest import Manifest
from splitbench.datasets.storage.stored_images import ChangedError
from tests.helpers.imagenet_archives import write_class_folders, write_own_archives, write_shards

KIND = DATASETS.get("imagenet")
SAMPLED = 4


class Reader:
    """Takes digests of the images in a folder, and notes what is read."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.read = root, list[str]()
        whole = manifests.read_for_digest

        def noted(dataset, index):
            self.read.append(dataset.ids[index])
            return whole(dataset, index)

        monkeypatch.setattr(manifests, "read_for_digest", noted)

    @property
    def dataset(self):
        return KIND.load(KIND.Options(root=self.root), "evaluation")

    def fingerprint(self, **options) -> str:
        """Take the digests, as a new process would."""
        self.read.clear()
        dataset = self.dataset
        manifest = Manifest(Cache(self.root.parent / "cache"), **options)
        found = manifest.digests(dataset, lambda count: lambda items: items)
        assert [dataset.content(i) for i in range(len(dataset))] == [*found.contents]
        return fingerprint_of(dataset.ids, found.digests)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(manifests, "SAMPLE", SAMPLED)
    return Reader(write_class_folders(tmp_path / "images"), monkeypatch)


def files(reader: Reader) -> list[Path]:
    return sorted((reader.root / "val").rglob("*.JPEG"))


def change(file: Path, time: int | None = None) -> None:
    """Change a pixel's byte and nothing else; ``time`` is the file's time afterwards, in ns."""
    about, data = file.stat(), bytearray(file.read_bytes())
    data[-10] ^= 1
    with file.open("r+b") as stream:
        stream.write(data)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns if time is None else time))


def test_every_image_is_read_once_and_then_only_a_sample(reader):
    expected = fingerprint(reader.dataset)
    assert reader.fingerprint() == expected and sorted(reader.read) == sorted(reader.dataset.ids)
    assert reader.fingerprint() == expected and len({*reader.read}) == SAMPLED
    assert reader.fingerprint(reread=True) == expected and len(reader.read) == 9


def test_few_images_are_read_each_time_and_nothing_is_kept(reader, monkeypatch):
    monkeypatch.setattr(manifests, "SAMPLE", 9)
    for _ in range(2):
        reader.fingerprint()
        assert len(reader.read) == 9
    assert not (reader.root.parent / "cache").exists()


def changed_size(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x")


def changed_time(file: Path) -> None:
    change(file, file.stat().st_mtime_ns + 1)


def changed_inode(file: Path) -> None:
    about, data = file.stat(), bytearray(file.read_bytes())
    data[-10] ^= 1
    other = file.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("alter", [changed_size, changed_time, changed_inode])
def test_a_changed_file_is_read_again(reader, alter):
    before = reader.fingerprint()
    alter(files(reader)[4])
    after = reader.fingerprint()
    assert after != before and after == fingerprint(reader.dataset)
    assert files(reader)[4].stem in reader.read and len(reader.read) <= SAMPLED + 1
    reader.fingerprint()
    assert len(reader.read) == SAMPLED


def test_a_changed_label_is_a_changed_digest(reader):
    before = reader.fingerprint()
    folders = sorted((reader.root / "val").iterdir())
    folders[2].rename(reader.root / "val" / "n01443537")
    assert reader.fingerprint() not in ("", before)


def test_a_change_that_neither_size_nor_time_shows_is_found_by_the_sample(reader):
    before = reader.fingerprint()
    for file in files(reader):
        change(file)
    with pytest.warns(CacheWarning, match="has changed, though neither its size nor its time did: all 9") as seen:
        after = reader.fingerprint()
    assert after != before and after == fingerprint(reader.dataset) and len(seen) == 1


def test_or_by_the_pass_that_uses_the_image(reader):
    reader.fingerprint()
    manifest = Manifest(Cache(reader.root.parent / "cache"))
    dataset = reader.dataset.expecting(manifest.known(reader.dataset))
    assert dataset.image(4).size == reader.dataset.image(4).size
    change(files(reader)[4])
    with pytest.raises(ChangedError, match=r"has changed since its digest was taken: run again with --reread"):
        dataset.image(4)
    os.utime(files(reader)[4])  # now its time shows it, and nothing is known of it
    assert manifest.known(reader.dataset)[4] == ""


def test_new_images_are_added_and_others_stay(reader):
    few = KIND.load(KIND.Options(root=reader.root, limit=SAMPLED + 1), "evaluation")
    manifest = Manifest(Cache(reader.root.parent / "cache"))
    manifest.digests(few, lambda count: lambda items: items)
    reader.fingerprint()
    assert len(reader.read) <= 9 - (SAMPLED + 1) + SAMPLED
    manifest.digests(few, lambda count: lambda items: items)
    reader.fingerprint()
    assert len(reader.read) == SAMPLED


def test_two_that_write_one_entry_lose_nothing_but_time(reader, monkeypatch):
    """The second one begins before the first has stored anything."""
    expected = fingerprint(reader.dataset)
    manifest, dataset = Manifest(Cache(reader.root.parent / "cache")), reader.dataset

    def along(count):
        def meanwhile(items):
            for number, item in enumerate(items):
                if number == 5:
                    Manifest(Cache(reader.root.parent / "cache")).digests(dataset, lambda count: lambda items: items)
                yield item

        return meanwhile

    found = manifest.digests(dataset, along)
    assert fingerprint_of(dataset.ids, found.digests) == expected
    assert reader.fingerprint() == expected and len(reader.read) == SAMPLED


def test_what_was_read_before_a_stop_is_kept(reader):
    def along(count):
        def stopped(items):
            for number, item in enumerate(items):
                if number == 5:
                    raise KeyboardInterrupt
                yield item

        return stopped

    with pytest.raises(KeyboardInterrupt):
        Manifest(Cache(reader.root.parent / "cache")).digests(reader.dataset, along)
    assert sum(map(bool, Manifest(Cache(reader.root.parent / "cache")).known(reader.dataset))) == 5


@pytest.mark.parametrize("damage", [b"", b"PK", b"\x93NUMPY"])
def test_a_damaged_entry_counts_as_none(reader, damage):
    expected = reader.fingerprint()
    for file in (reader.root.parent / "cache").rglob("*.npz"):
        file.write_bytes(damage)
    assert reader.fingerprint() == expected and len(reader.read) == 9
    assert reader.fingerprint() == expected and len(reader.read) == SAMPLED


@pytest.mark.parametrize("drop", ["texts", "numbers"])
def test_so_does_one_that_does_not_fit_together(reader, drop):
    expected = reader.fingerprint()
    for file in (reader.root.parent / "cache").rglob("*.npz"):
        with np.load(file) as arrays:
            content = dict(arrays)
        np.savez(file, **content | {drop: content[drop][:1]})
    assert reader.fingerprint() == expected


def full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_cache_that_is_full_or_cannot_be_written_is_one_warning(reader, monkeypatch):
    expected = fingerprint(reader.dataset)
    (reader.root.parent / "cache").write_text("a file, where a folder is expected")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        assert reader.fingerprint() == expected
    assert len(seen) == 1 and "cannot be kept" in str(seen[0].message) and "--cache" in str(seen[0].message)
    (reader.root.parent / "cache").unlink()
    monkeypatch.setattr(np, "savez", full)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        assert reader.fingerprint() == expected
    assert len(seen) == 1 and "No space left on device" in str(seen[0].message)
    assert not [*(reader.root.parent / "cache").rglob("*.*")]  # nothing half written is left


def test_a_missing_file_is_named(reader):
    reader.fingerprint()
    dataset = reader.dataset
    files(reader)[4].unlink()
    with pytest.raises(ImageError, match=rf"{files(reader)[3].parent.name}.*cannot be read \(No such file"):
        Manifest(Cache(reader.root.parent / "cache")).digests(dataset, lambda count: lambda items: items)


def test_the_folder_is_the_users_or_the_one_that_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SPLITBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "splitbench"
    monkeypatch.setenv("SPLITBENCH_CACHE", "~/elsewhere")
    assert default_folder() == Path.home() / "elsewhere"


def test_labels_of_a_devkit_are_read_each_time(tmp_path):
    write_own_archives(write_class_folders(tmp_path / "folders"), tmp_path / "own")
    options = imagenet.Options(root=tmp_path / "own", cache=tmp_path / "cache")
    before = imagenet.DATASET.load(options, "evaluation")
    labels = [before.target(index) for index in range(len(before))]
    (truth,) = (tmp_path / "own").rglob("*ground_truth.txt")
    truth.write_text("".join(f"{line}\n" for line in reversed(truth.read_text().split())))
    after = imagenet.DATASET.load(options, "evaluation")
    by_id = {id_: after.target(index) for index, id_ in enumerate(after.ids)}
    assert sorted(labels) == sorted(by_id.values()) and [by_id[id_] for id_ in before.ids] != labels


def test_rereading_lists_shards_anew(tmp_path):
    write_shards(write_class_folders(tmp_path / "folders"), tmp_path / "shards")
    options = imagenet.Options(root=tmp_path / "shards", cache=tmp_path / "cache")
    assert largest_label(options) == 999
    for path in (tmp_path / "shards").rglob("*.tar"):
        stat = path.stat()
        path.write_bytes(path.read_bytes().replace(b"999", b"998"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert largest_label(options) == 999  # equal size and time: taken for the same ...
    assert largest_label(options.model_copy(update={"anew": True})) == 998  # ... unless asked for


def largest_label(options):
    images = imagenet.DATASET.load(options, "evaluation")
    return max(images.target(index) for index in range(len(images)))
