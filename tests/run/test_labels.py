"""Labels that would be taken for others, and losses that there are not, are refused before anything is run."""

from pathlib import Path
from unittest import mock

import pytest

from splitbench.bench.backbones import named_weights
from splitbench.bench.evaluation import tasks
from splitbench.bench.results.store import Store
from splitbench.bench.run.planning import subsets
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources, open_dataset
from splitbench.bench.sweep.reading import read
from splitbench.bench.sweep.schema import DatasetSpec
from splitbench.bench.utils.errors import UserError
from splitbench.datasets import imagenet
from splitbench.datasets.base import DataError
from tests.helpers.coco_samples import write_coco
from tests.helpers.photographs import write_photographs

SWEEP = """
datasets: [{{name: imagenet, root: here, train: {{root: there}}}}]
backbones:
  - name: torchvision/squeezenet1_1
    args: {{num_classes: {classes}}}
    weights: none
    preprocessing: {{resize: 64, crop: 64}}
    splits: [features.8]
methods: [{{name: bottleneck, lmbda: [1], distortion: {distortion}}}]
"""


def write(root, names, first):
    for number, name in enumerate(names):
        write_photographs(root / name, 2, first=first + 2 * number, size=64)


def planned(tmp_path, here, there, classes=2, distortion="task"):
    write(tmp_path / "here", here, 0)
    write(tmp_path / "there", there, 100)
    (tmp_path / "own.yaml").write_text(SWEEP.format(classes=classes, distortion=distortion))
    return list(plan_passes(read(tmp_path / "own.yaml"), Sources(tmp_path)))


def test_folders_of_other_names_are_refused_where_the_backbone_says_another_number_of_classes(tmp_path):
    with pytest.raises(
        UserError, match=r"has 2 classes, the backbone has 3: its class folders .* \(square, triangle\): name"
    ):
        planned(tmp_path, ["square", "triangle"], ["circle", "square", "triangle"], classes=3)


def test_subsets_in_two_roots_must_have_the_same_folders_where_labels_are_learned(tmp_path):
    here, there = ["cat", "dog"], ["bird", "cat", "dog"]
    with pytest.raises(UserError, match=r"some are in one only \(bird\).*; or set `distortion: distill`"):
        planned(tmp_path, here, there)
    (item,) = planned(tmp_path, here, there, distortion="distill")
    assert len(item.cells) == 1


def test_folders_that_agree_or_are_numbers_are_not_refused(tmp_path):
    assert planned(tmp_path / "names", ["cat", "dog"], ["cat", "dog"])
    assert planned(tmp_path / "numbers", ["1", "2"], ["0", "2"], classes=3)
    assert planned(tmp_path / "synsets", ["n01440764"], ["n01443537"], classes=1000)


DETECTION = """
task: detection
datasets: [{{name: coco}}]
backbones: [{{name: splitbench/fastestdet, weights: none, splits: [SPP]}}]
methods: [{{name: bottleneck, lmbda: [1], distortion: {distortion}}}]
"""


def test_a_detector_without_a_loss_is_refused_before_the_run(tmp_path):
    write_coco(tmp_path)
    write_coco(tmp_path, "train2017", first=100)
    (tmp_path / "own.yaml").write_text(DETECTION.format(distortion="task"))
    with pytest.raises(UserError, match="this detector has no training loss: set `distortion: distill`"):
        list(plan_passes(read(tmp_path / "own.yaml"), Sources(tmp_path)))
    (tmp_path / "own.yaml").write_text(DETECTION.format(distortion="distill"))
    assert list(plan_passes(read(tmp_path / "own.yaml"), Sources(tmp_path)))


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_of_no_class_is_refused(label):
    dataset = mock.Mock(classes=10, ids=["an image"], target=lambda _: label)
    with pytest.raises(DataError, match=f"an image has the label {label}, but there are 10 classes"):
        tasks.get("classification").target(dataset, 0)


def test_names_that_are_not_one_per_image_are_refused(monkeypatch):
    several = mock.MagicMock(ids=["a", "b", "a"], __len__=lambda _: 3)
    monkeypatch.setattr(subsets, "open_dataset", lambda *_: several)
    with pytest.raises(DataError, match="3 images have 2 different names"):
        subsets.Subsets(mock.Mock(label="mine"), Sources()).get("evaluation")


def test_synset_folders_of_a_backbone_with_its_own_classes_are_explained(tmp_path):
    with pytest.raises(UserError, match=r"its 2 class folders are ImageNet's synsets .* the folders by its numbers"):
        planned(tmp_path, ["n01443537", "n15075141"], ["n01443537", "n15075141"])


def test_paths_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "here", ["0", "1"], 0)
    (tmp_path / "labels.csv").write_text("file,label\n")
    sources = Sources(Path("~/data"), Path("~/weights"))
    assert (sources.data, sources.weights) == (tmp_path / "data", tmp_path / "weights")
    spec = DatasetSpec(name="imagenet", root="~/here")
    assert open_dataset(spec, Sources(), "evaluation").ids == open_dataset(spec, sources, "evaluation").ids
    assert imagenet.Options(root=tmp_path, labels="~/labels.csv").labels == tmp_path / "labels.csv"
    assert named_weights.file_of("timm/x", "x", "~/x.pth", None) == tmp_path / "x.pth"
    assert Store(Path("~/out")).folder == tmp_path / "out"
