"""CIFAR-10 in all its forms, its faults, and the ResNet that is made for it."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from splitbench.bench.backbones import registry
from splitbench.bench.backbones.zoo.cifar_resnet import cifar_resnet
from splitbench.bench.utils.plugins import DATASETS
from splitbench.datasets import DataError, ImageError, fingerprint
from splitbench.datasets.cifar10 import CALIBRATION_IMAGES, CLASSES
from tests.helpers.closeness import accuracy

KIND = DATASETS.get("cifar10")
RESNET = "splitbench/resnet20"


def load(root, part="evaluation", **options):
    return KIND.load(KIND.Options(root=root, **options), part)


def drawn(count, seed=0):
    """Random pixels (count, 32, 32, 3) and labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), np.uint8), rng.integers(0, 10, count)


def planes(pixels):
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)


def pickled_by_python_2(pixels, labels):
    """The official batches' form, opcode by opcode: Python 2 wrote strings as bytes (U, T)."""
    data = planes(pixels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K"
        + bytes([len(data)])
        + b"M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", data.size)
        + data.tobytes()
        + b"tb"
    )
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x0bbatch_labelU\x04noneU\x06labels](" + numbers + b"eU\x04data" + array + b"u."


def write_official(root, form, write):
    """All six batches of 3 images each."""
    folder = root / f"cifar-10-batches-{form}"
    folder.mkdir(parents=True)
    names = ("test_batch", *(f"data_batch_{number}" for number in range(1, 6)))
    for seed, name in enumerate(names):
        (folder / (f"{name}.bin" if form == "bin" else name)).write_bytes(write(*drawn(3, seed)))
    return folder


def binary(pixels, labels):
    return np.concatenate([labels.astype(np.uint8)[:, None], planes(pixels)], 1).tobytes()


def pickled(pixels, labels):
    return pickle.dumps({"data": planes(pixels), "labels": labels.tolist(), "batch_label": "one"}, protocol=2)


@pytest.mark.parametrize(("form", "write"), [("bin", binary), ("py", pickled_by_python_2), ("py", pickled)])
def test_the_official_forms_hold_the_same_images(tmp_path, form, write):
    folder = write_official(tmp_path, form, write)
    dataset = load(tmp_path)
    pixels, labels = drawn(3)
    assert all(np.array_equal(np.array(dataset.image(i)), pixels[i]) for i in range(3))
    assert [dataset.target(i) for i in range(3)] == labels.tolist()
    assert dataset.ids == ("test-00000", "test-00001", "test-00002") and dataset.global_ids and dataset.classes == 10
    training = load(folder, "train")
    assert len(training) == 15 and training.ids[14] == "train-00014"
    assert np.array_equal(np.array(training.image(14)), drawn(3, 5)[0][2])
    write_official(tmp_path / "other", "bin", binary)
    for part in ("evaluation", "train"):
        assert fingerprint(load(tmp_path, part)) == fingerprint(load(tmp_path / "other", part))


def test_a_pickle_that_would_execute_code_is_refused(tmp_path):
    marker = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    folder = write_official(tmp_path, "py", pickled)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Bomb(), "labels": [1]}))
    with pytest.raises(DataError, match=r"test_batch: refused, since it asks for (_?io|builtins)\.open"):
        load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("form", "name", "content", "sentence"),
    [
        ("py", "test_batch", b"nothing", "is not one of CIFAR-10's batches"),
        ("py", "test_batch", pickle.dumps({"data": [[1, 2]], "labels": [1]}), r"`data` is \(1, 2\)"),
        ("py", "test_batch", pickle.dumps({"labels": [1]}), "is not one of CIFAR-10's batches"),
        ("py", "test_batch", pickled(drawn(2)[0], drawn(3)[1]), r"expected 2 labels, integers, not int64 \(3,\)"),
        ("bin", "test_batch.bin", b"\x01" * 3072, "3072 bytes are no multiple of 3073"),
        ("bin", "test_batch.bin", b"", "0 bytes are no multiple"),
        ("bin", "test_batch.bin", b"\x0b" * 3073, "labels from 11 to 11, not 0 to 9"),
    ],
)
def test_damaged_batches_are_reported(tmp_path, form, name, content, sentence):
    folder = write_official(tmp_path, form, binary if form == "bin" else pickled)
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path)


def test_a_missing_batch_and_an_empty_folder_are_reported(tmp_path):
    with pytest.raises(DataError, match=r"no CIFAR-10 in .*: download cifar-10-binary"):
        load(tmp_path)
    (write_official(tmp_path, "bin", binary) / "data_batch_3.bin").unlink()
    assert len(load(tmp_path)) == 3
    with pytest.raises(DataError, match=r"data_batch_3\.bin is missing"):
        load(tmp_path, "train")
    with pytest.raises(DataError, match="data folder not found"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="name it by --data"):
        load(None)


def encoded(pixels, form="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def write_zip(path, names, seed=0):
    pixels, _ = drawn(len(names), seed)
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in zip(names, pixels, strict=True):
            archive.writestr(name, encoded(image))
    return pixels


def test_arrays_and_archives_of_ones_own(tmp_path):
    pixels, labels = drawn(4)
    np.savez(tmp_path / "a.npz", x=pixels, y=labels)
    arrays = load(tmp_path, test_file="a.npz")
    assert np.array_equal(np.array(arrays.image(3)), pixels[3]) and arrays.target(3) == labels[3]
    assert arrays.ids[3] == "test-00003" and not arrays.global_ids
    pixels = write_zip(tmp_path / "b.zip", ["truck/1.png", "cat/2.png", "__MACOSX/cat/._2.png", "readme.txt"])
    images = load(tmp_path, test_file="b.zip")
    assert images.ids == ("cat/2", "truck/1") and [images.target(i) for i in (0, 1)] == [3, 9]
    assert np.array_equal(np.array(images.image(1)), pixels[0])


def test_an_archive_of_both_halves_gives_the_one_asked_for(tmp_path):
    write_zip(tmp_path / "all.zip", [f"cifar/{half}/ship/{n}.jpg" for half in ("test", "train") for n in range(3)])
    files = {"test_file": "all.zip", "train_file": "all.zip"}
    assert load(tmp_path, **files).ids == tuple(f"cifar/test/ship/{n}" for n in range(3))
    assert load(tmp_path, "train", **files).ids == tuple(f"cifar/train/ship/{n}" for n in range(3))
    write_zip(tmp_path / "half.zip", ["train/ship/1.jpg"])
    with pytest.raises(DataError, match="holds no test images"):
        load(tmp_path, test_file="half.zip")


def test_faulty_files_of_ones_own_are_reported(tmp_path):
    pixels, labels = drawn(4)
    np.savez(tmp_path / "unlabelled.npz", x=pixels)
    np.savez(tmp_path / "floats.npz", x=pixels / 255, y=labels)
    np.savez(tmp_path / "objects.npz", x=np.array([None]), y=labels)
    write_zip(tmp_path / "strange.zip", ["lorry/1.png"])
    write_zip(tmp_path / "empty.zip", [])
    (tmp_path / "damaged.zip").write_bytes(b"nothing")
    (tmp_path / "a.tar").write_bytes(b"nothing")
    for name, sentence in (
        ("unlabelled.npz", "expected arrays x and y"),
        ("floats.npz", r"expected uint8 \(n, 32, 32, 3\), not float64"),
        ("objects.npz", "expected arrays x and y"),
        ("strange.zip", r"lorry/1\.png is in no folder called by one of airplane"),
        ("empty.zip", "holds no test images"),
        ("damaged.zip", r"cannot be read as a \.zip"),
        ("a.tar", r"expected a \.npz"),
        ("none.npz", "test file not found"),
    ):
        with pytest.raises(DataError, match=sentence):
            load(tmp_path, test_file=name)
    with pytest.raises(DataError, match="no file for calibration: name one in `train_file`"):
        load(tmp_path, "calibration", test_file="floats.npz")


def test_a_broken_image_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("test/cat/7.png", encoded(drawn(1)[0][0])[:100])
    with pytest.raises(ImageError, match="test/cat/7 cannot be read"):
        load(tmp_path, test_file="a.zip").image(0)


def test_parts_and_subsets(tmp_path):
    np.savez(tmp_path / "test.npz", **dict(zip("xy", drawn(20, 1), strict=True)))
    np.savez(tmp_path / "train.npz", **dict(zip("xy", drawn(CALIBRATION_IMAGES + 100, 2), strict=True)))
    files = {"test_file": "test.npz", "train_file": "train.npz"}
    sizes = {part: len(load(tmp_path, part, **files)) for part in ("evaluation", "calibration", "train")}
    assert sizes == {"evaluation": 20, "calibration": CALIBRATION_IMAGES, "train": CALIBRATION_IMAGES + 100}
    assert len(load(tmp_path, "calibration", limit=550, **files)) == 550
    few = load(tmp_path, limit=5, seed=1, **files)
    assert len(few) == 5 and few.ids == load(tmp_path, limit=5, seed=1, **files).ids
    assert few.ids != load(tmp_path, limit=5, seed=2, **files).ids
    assert "test-00003" not in load(tmp_path, exclude={"test-00003"}, **files).ids
    evaluation, training = load(tmp_path, **files), load(tmp_path, "train", **files)
    contents = [{item.content(i) for i in range(len(item))} for item in (evaluation, training)]
    assert len(contents[0]) == 20 and not contents[0] & contents[1]


def test_the_fingerprint_follows_pixels_and_labels(tmp_path):
    pixels, labels = drawn(4)
    prints = set()
    for change in ("none", "label", "pixel"):
        labels[0] = (labels[0] + (change == "label")) % 10
        pixels[0, 0, 0, 0] ^= change == "pixel"
        np.savez(tmp_path / "a.npz", x=pixels, y=labels)
        prints.add(fingerprint(load(tmp_path, test_file="a.npz")))
    assert len(prints) == 3


def test_the_resnet_is_cut_exactly_at_its_stages():
    backbone = registry.build(RESNET, {}, "none", {})
    pixels = torch.from_numpy(planes(drawn(3)[0])).reshape(3, 3, 32, 32)
    whole = backbone.whole()(pixels)
    assert whole.shape == (3, 10)
    for at, shape in {"layer1": (16, 32, 32), "layer2": (32, 16, 16), "layer3": (64, 8, 8)}.items():
        head, tail = backbone.split(at, pixels[:2]).sides
        (cut,) = head(pixels)
        assert cut.shape[1:] == shape and cut.min() >= 0
        assert torch.equal(tail(cut), whole)


def test_the_resnets_depth_is_checked_and_its_shortcut_has_no_parameters():
    assert sum(p.numel() for p in cifar_resnet(20).parameters()) == 269_722
    assert len(cifar_resnet(56).layer2) == 9
    with pytest.raises(ValueError, match="expected 6n \\+ 2 layers"):
        cifar_resnet(18)


@pytest.mark.parametrize(
    ("file", "top1"),
    [("test_first1000_lossless.npz", 91.50), pytest.param("test_10000_jpeg.zip", 81.03, marks=pytest.mark.slow)],
)
@torch.no_grad()
def test_the_packs_scores(pack, file, top1):
    """As in the pack's PROVENANCE.md."""
    backbone = registry.build(RESNET, {}, "cifar10_resnet20.safetensors", {}, folder=pack / "weights")
    whole, dataset, hits = backbone.whole(), load(pack / "cifar10", test_file=file), 0
    for start in range(0, len(dataset), 250):
        pixels = torch.stack([backbone.pixels(dataset.image(i)) for i in range(start, start + 250)])
        hits += sum(int(p) == dataset.target(start + i) for i, p in enumerate(whole(pixels).argmax(1)))
    assert 100 * hits / len(dataset) == accuracy(top1, len(dataset))


def test_the_packs_archives(pack):
    files = {"test_file": "test_10000_jpeg.zip", "train_file": "train_20000_jpeg.zip"}
    evaluation, training = (load(pack / "cifar10", part, **files) for part in ("evaluation", "train"))
    assert evaluation.ids[0] == "test/airplane/0000" and len(set(training.ids)) == 20_000
    counts = [np.bincount([item.target(i) for i in range(len(item))]).tolist() for item in (evaluation, training)]
    assert counts == [[1000] * len(CLASSES), [2000] * len(CLASSES)]
    seen = {evaluation.content(i) for i in range(len(evaluation))}
    assert not any(training.content(i) in seen for i in range(len(training)))
