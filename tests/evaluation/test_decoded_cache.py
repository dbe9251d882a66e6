"""Kept pictures: what is read is what was decoded, whatever happens to the files."""

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from splitbench.bench.backbones.registry import build
from splitbench.bench.evaluation import decoded_cache
from splitbench.bench.evaluation.decoded_cache import KeptPictures
from splitbench.bench.evaluation.loader import chunks, decoded
from splitbench.datasets.base import ImageError

COUNT = 70
DAMAGED = [3, 40]


class Pictures:
    """Random pictures of several sizes, two of which cannot be read; counts what is decoded."""

    def __init__(self):
        self.decoded = []
        self.damaged = DAMAGED

    def __len__(self):
        return COUNT

    def image(self, index):
        self.decoded.append(index)
        if index in self.damaged:
            raise ImageError(f"picture {index} is damaged")
        rng = np.random.default_rng(index)
        return Image.fromarray(rng.integers(0, 256, (20 + index % 5, 25, 3), np.uint8))


@pytest.fixture(scope="module")
def backbone():
    overrides = {"resize": 16, "crop": 12}
    return build("torchvision/squeezenet1_1", {}, "none", overrides)


def batches(pictures, backbone, kept=None):
    pixels = None if kept is None else kept.of(pictures, backbone)
    return list(decoded(pictures, backbone, chunks(pictures, backbone, 9), pixels))


def equal(one, other):
    return all(
        np.array_equal(a.indices, b.indices) and torch.equal(a.pixels, b.pixels) and a.unreadable == b.unreadable
        for a, b in zip(one, other, strict=True)
    )


def test_a_second_sweep_decodes_nothing(tmp_path, backbone):
    expected = batches(Pictures(), backbone)
    first, second = Pictures(), Pictures()
    assert equal(batches(first, backbone, KeptPictures(tmp_path, "abc", 10**9)), expected)
    assert sorted(first.decoded) == sorted([*range(COUNT), *DAMAGED])
    assert equal(batches(second, backbone, KeptPictures(tmp_path, "abc", 10**9)), expected)
    assert second.decoded == DAMAGED  # what could not be read is tried again
    second.decoded.clear()
    # Normalizing comes later: only what changes pixels makes new files.
    other = build("torchvision/squeezenet1_1", {}, "none", {"resize": 16, "crop": 12, "mean": [0.1, 0.2, 0.3]})
    assert equal(batches(second, other, KeptPictures(tmp_path, "abc", 10**9)), expected)
    assert second.decoded == DAMAGED
    smaller = build("torchvision/squeezenet1_1", {}, "none", {"resize": 16, "crop": 10})
    assert equal(batches(second, smaller, KeptPictures(tmp_path, "abc", 10**9)), batches(Pictures(), smaller))
    assert len(set(second.decoded)) == COUNT
    again = Pictures()
    batches(again, backbone, KeptPictures(tmp_path, "another dataset", 10**9))
    assert len(set(again.decoded)) == COUNT


@pytest.mark.parametrize("place", [3, 100, -1])
def test_damaged_files_are_made_again(tmp_path, backbone, place):
    expected = batches(Pictures(), backbone)
    batches(Pictures(), backbone, KeptPictures(tmp_path, "abc", 10**9))
    files = sorted(tmp_path.glob("*/*.pixels"))
    assert len(files) == 3
    good = [file.read_bytes() for file in files]
    content = bytearray(good[0])
    content[place] ^= 1
    files[0].write_bytes(content)
    files[1].write_bytes(good[1][:50])
    files[2].write_bytes(good[0])  # another file's pictures
    pictures = Pictures()
    assert equal(batches(pictures, backbone, KeptPictures(tmp_path, "abc", 10**9)), expected)
    assert sorted(pictures.decoded) == sorted([*range(COUNT), *DAMAGED])
    assert [file.read_bytes() for file in files] == good


def test_no_more_is_kept_than_allowed(tmp_path, backbone):
    expected = batches(Pictures(), backbone)
    size = 31 * 3 * 12 * 12  # one file holds that, one picture missing, and some text
    for limit, files in ((0, 0), (size // 2, 0), (size + 1000, 1), (2 * size + 2000, 2)):
        pictures = Pictures()
        folder = tmp_path / str(limit)
        assert equal(batches(pictures, backbone, KeptPictures(folder, "abc", limit)), expected)
        assert len(list(folder.glob("*/*.pixels"))) == files
        assert sum(path.stat().st_size for path in folder.glob("*/*")) <= limit
        assert set(pictures.decoded) == set(range(COUNT))


def test_a_folder_that_cannot_be_written_is_no_harm(tmp_path, backbone):
    (tmp_path / "file").write_text("in the way")
    kept = KeptPictures(tmp_path / "file", "abc", 10**9)
    assert equal(batches(Pictures(), backbone, kept), batches(Pictures(), backbone))


def test_a_fault_that_passes_is_not_kept(tmp_path, backbone):
    batches(Pictures(), backbone, KeptPictures(tmp_path, "abc", 10**9))
    mended = Pictures()
    mended.damaged = []
    expected = batches(mended, backbone)
    assert equal(batches(mended, backbone, KeptPictures(tmp_path, "abc", 10**9)), expected)


def test_files_are_not_left_open(tmp_path, backbone, monkeypatch):
    monkeypatch.setattr(decoded_cache, "_TOGETHER", 1)  # a file for each picture
    kept = KeptPictures(tmp_path, "abc", 10**9)
    before = psutil.Process().num_fds()
    expected = batches(Pictures(), backbone, kept)
    assert len(list(tmp_path.glob("*/*.pixels"))) == COUNT
    assert psutil.Process().num_fds() < before + 10
    for file in tmp_path.glob("*/*.pixels"):
        file.unlink()  # somebody makes room
    assert equal(batches(Pictures(), backbone, kept), expected)


def test_a_file_that_another_process_put_in_its_place_is_not_read_by_the_old_places(tmp_path, backbone):
    kept = KeptPictures(tmp_path, "abc", 10**9)
    expected = batches(Pictures(), backbone, kept)
    mended = Pictures()
    mended.damaged = []  # the other process could read all
    for file in tmp_path.glob("*/*.pixels"):
        file.unlink()
    batches(mended, backbone, KeptPictures(tmp_path, "abc", 10**9))
    assert equal(batches(Pictures(), backbone, kept), expected)
