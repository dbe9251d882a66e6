"""``init`` and ``bench``: a first sweep for a folder of one's own, made after looking at it and at the backbone."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from splitbench.bench.sweep.reading import read
from tests.helpers.command_line import rows, splitbench
from tests.helpers.photographs import photographs_in

MODEL = ("--model", "torchvision/squeezenet1_1", "--weights", "none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``val`` and ``train`` with a folder per class."""
    return photographs_in(tmp_path / "photos")


def printed(capsys) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_init_writes_a_sweep_that_is_valid(folder, tmp_path, capsys):
    file = tmp_path / "first.yaml"
    assert splitbench("init", file, *MODEL, "--data", folder) == 0
    said = printed(capsys)
    assert "12 images with labels to evaluate on, " in said and "others to calibrate and train on" in said
    sweep = read(file)
    (backbone,), (dataset,) = sweep.backbones, sweep.datasets
    assert backbone.splits == ["features.5", "features.8"]  # neither larger than the input, nor the very end
    assert dataset.name == "imagenet" and Path(dataset.others["root"]) == folder
    assert {spec.name for spec in sweep.methods} >= {"label-only", "image", "quantize-rle", "quantize-context"}
    assert all("  # " in line for line in file.read_text().splitlines() if line.startswith("  - {name: quantize"))
    assert splitbench("validate", file, "--quiet", "--set", "datasets.0.limit=1") == 0


def test_without_other_images_nothing_is_fitted(folder, tmp_path, capsys):
    shutil.rmtree(folder / "train")
    file = tmp_path / "first.yaml"
    assert splitbench("init", file, *MODEL, "--data", folder) == 0
    assert "left out    methods that calibrate or learn" in printed(capsys)
    methods = {spec.name for spec in read(file).methods}
    assert "quantize-rle" in methods and "quantize-context" not in methods


def test_a_file_that_is_there_is_not_replaced_unasked(folder, tmp_path, capsys):
    file = tmp_path / "first.yaml"
    file.write_text("mine")
    assert splitbench("init", file, *MODEL, "--data", folder) == 2
    assert f"{file} is there already" in printed(capsys) and file.read_text() == "mine"
    assert splitbench("init", file, *MODEL, "--data", folder, "--force") == 0
    assert read(file)


def test_what_is_missing_is_a_sentence(folder, tmp_path, capsys):
    def sentence(data: Path, model: str = MODEL[1]) -> str:
        words = ("--model", model, "--weights", "none", "--data", data)
        assert splitbench("bench", *words, "--out", tmp_path / "out") == 2
        return printed(capsys).removeprefix("error: ").strip()

    bare = tmp_path / "bare"
    bare.mkdir()
    assert sentence(bare) == f"{bare} holds no images: name the folder that holds your pictures"
    Image.new("RGB", (8, 8)).save(bare / "a.png")
    unlabelled = sentence(bare)
    assert unlabelled.startswith(f"{bare} holds 1 image without labels: put those of each class into a folder")
    assert "(columns file,label)" in unlabelled and "\n" not in unlabelled
    Image.new("RGB", (8, 8)).save(bare / "b.png")
    assert sentence(bare).startswith(f"{bare} holds 2 images without labels")
    shutil.rmtree(bare)
    assert sentence(folder.parent) == f"{folder.parent} holds no labelled images itself: name one of {folder}"
    other = sentence(folder, "torchvision/fasterrcnn_resnet50_fpn")
    assert other.endswith("choose another (`splitbench list backbones --task classification`)")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_figures")
def test_bench_is_one_command(folder, tmp_path, capsys):
    shutil.rmtree(folder / "train")
    words = ("bench", "--model", "splitbench/small_resnet", "--data", folder, "--limit", 2, "--device", "cpu")
    small = folder / "val"
    for index, place in enumerate(sorted(small.iterdir())):
        place.rename(small / str(index))
    assert splitbench(*words, "--out", tmp_path / "out", "--quiet") == 0
    last = printed(capsys).splitlines()[-1]
    table = rows(tmp_path / "out")
    assert last == f"{len(table)} cells run, 0 kept, 0 failed"
    assert {row["split"] for row in table} > {"input", "output"} and {row["images"] for row in table} == {"2"}
    assert (tmp_path / "out" / "bench.yaml").is_file()
    assert splitbench(*words, "--out", tmp_path / "out") == 0  # the same command goes on
    assert f"0 cells run, {len(table)} kept, 0 failed" in printed(capsys)


def test_real_photographs_and_boxes_are_recognized(pack, tmp_path):
    weights = ("--weights", pack / "weights")
    for model, data, name in (
        ("torchvision/squeezenet1_1", pack / "imagenet" / "val120", "imagenet"),
        ("splitbench/fastestdet", pack / "coco", "coco"),
    ):
        file = tmp_path / f"{name}.yaml"
        assert splitbench("init", file, "--model", model, "--data", data, *weights) == 0
        assert read(file).datasets[0].name == name
        assert str(read(file).backbones[0].weights).startswith(str(pack / "weights"))


def test_a_folder_whose_name_has_a_line_break(folder, tmp_path):
    odd, file = folder.rename(tmp_path / "two\nlines: x"), tmp_path / "first.yaml"
    assert splitbench("init", file, *MODEL, "--data", odd) == 0
    (dataset,) = read(file).datasets
    assert Path(dataset.others["root"]) == odd


def test_names_shared_by_both_subsets_are_the_reason(folder, tmp_path, capsys):
    shared, train = folder / "val" / "images" / "photo_0000.JPEG", folder / "train"
    shutil.copy(shared, train / "images")
    with (train / "labels.csv").open("a") as stream:
        stream.write("images/photo_0000.JPEG,0\n")
    assert splitbench("init", tmp_path / "first.yaml", *MODEL, "--data", folder) == 0
    said = printed(capsys)
    assert "none to calibrate or train on, since images there have the same names (photo_0000)" in said
    assert "no others" not in said and "folder `train`" not in said
