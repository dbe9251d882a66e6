"""Cells are found again whichever way the images are stored, and rows say where images were not read."""

import shutil
import zipfile

import pytest

from splitbench.bench.results.store import Store
from splitbench.bench.run import runner
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read
from splitbench.bench.utils.errors import UserError
from splitbench.datasets.base import DataError
from splitbench.datasets.storage import manifest, stored_images
from tests.helpers.coco_samples import write_coco
from tests.helpers.command_line import rows, splitbench
from tests.helpers.imagenet_archives import FORMS, write_class_folders

SWEEP = """
datasets: [{name: imagenet, calibration: {limit: 4}}]
backbones:
  - {name: torchvision/squeezenet1_1, weights: none, splits: [features.5], preprocessing: {resize: 64, crop: 64}}
methods:
  - {name: raw, dtype: [float16]}
  - {name: quantize-rle, bits: [4], range: calibrated}
batch: 2
"""
DETECTION = """
task: detection
datasets: [{name: coco}]
backbones: [{name: "tests.helpers.coco_samples:squares", weights: none, splits: [stem]}]
methods: [{name: raw, dtype: [float16]}]
"""


@pytest.fixture
def folders(tmp_path):
    return write_class_folders(tmp_path / "folders")


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def run(sweep, data, out, **sources):
    result = runner.run(read(sweep), Sources(data, cache=out.parent / "cache", **sources), Store(out))
    assert not result.failed
    return result.done, result.kept


@pytest.mark.parametrize("form", FORMS)
def test_cells_from_folders_are_found_from_archives(sweep, folders, tmp_path, form):
    FORMS[form](folders, tmp_path / "archives")
    assert run(sweep, folders, tmp_path / "out") == (2, 0)
    assert run(sweep, tmp_path / "archives", tmp_path / "out") == (0, 2)


def test_rows_from_archives_are_those_from_folders(sweep, folders, tmp_path):
    FORMS["shards"](folders, tmp_path / "archives")
    run(sweep, folders, tmp_path / "out")
    run(sweep, tmp_path / "archives", tmp_path / "other")
    for one, other in zip(rows(tmp_path / "out"), rows(tmp_path / "other"), strict=True):
        assert all(one[name] == other[name] for name in ("key", "fingerprint", "bytes_mean", "bytes_p95", "accuracy"))
    records = [
        {file.name: file.read_bytes() for file in (tmp_path / out / "records").iterdir()} for out in ("out", "other")
    ]
    assert records[0] == records[1]


def test_a_pass_that_was_begun_in_another_order_begins_anew(sweep, folders, tmp_path, monkeypatch):
    from tests.helpers.small_sweep import starts, stop

    FORMS["shards"](folders, tmp_path / "archives")
    with monkeypatch.context() as patch:
        stop(patch, 2, UserError("stopped"))
        with pytest.raises(UserError, match="stopped"):
            run(sweep, folders, tmp_path / "out")
    seen = starts(monkeypatch)
    assert run(sweep, tmp_path / "archives", tmp_path / "out") == (2, 0) and seen[0] == 0


def test_cells_from_cocos_folders_are_found_from_its_zips(tmp_path):
    write_coco(tmp_path / "coco")
    path = tmp_path / "sweep.yaml"
    path.write_text(DETECTION)
    assert run(path, tmp_path / "coco", tmp_path / "out") == (1, 0)
    zips = tmp_path / "zips"
    zips.mkdir()
    shutil.copytree(tmp_path / "coco" / "annotations", zips / "annotations")
    with zipfile.ZipFile(zips / "val2017.zip", "w") as archive:
        for file in (tmp_path / "coco" / "images" / "val2017").iterdir():
            archive.write(file, f"val2017/{file.name}")
    assert run(path, zips, tmp_path / "out") == (0, 1)


def test_names_can_be_trusted_and_rows_say_so(sweep, folders, tmp_path, monkeypatch, capsys):
    read_before = []
    whole = stored_images.StoredImages.read

    def noted(self, index):
        read_before.append(self.place(index))
        return whole(self, index)

    monkeypatch.setattr(stored_images.StoredImages, "read", noted)
    plain = list(plan_passes(read(sweep), Sources(folders)))
    read_before.clear()
    (trusted,) = plan_passes(read(sweep), Sources(folders, trust_names=True))
    assert len({*read_before}) == 1  # the example on which splits are checked
    assert trusted.fingerprint != plain[0].fingerprint
    assert splitbench("run", sweep, "--data", folders, "--out", tmp_path / "out", "--trust-names") == 0
    assert all("identified by their names and labels" in row["warnings"] for row in rows(tmp_path / "out"))
    assert "--trust-names" in capsys.readouterr().out


def test_names_that_are_trusted_still_tell_training_from_evaluation_images(sweep, folders):
    (synset, *_) = sorted((folders / "val").iterdir())
    shutil.copy(next(synset.iterdir()), folders / "train" / synset.name)
    with pytest.raises(DataError, match="1 calibration images are evaluation images"):
        list(plan_passes(read(sweep, ["datasets.0.calibration.limit=10"]), Sources(folders, trust_names=True)))


def test_only_what_is_used_is_read(sweep, folders, monkeypatch):
    """256 calibration images of a million cost reading 256, and training images nothing where none are needed."""
    seen = []
    whole = manifest.read_for_digest

    def noted(dataset, index):
        seen.append(dataset.stored.place(index))
        return whole(dataset, index)

    monkeypatch.setattr(manifest, "read_for_digest", noted)
    list(plan_passes(read(sweep), Sources(folders)))
    assert len(seen) == 9 + 4 and sum("/train/" in place for place in seen) == 4


def test_an_image_that_changes_during_a_run_fails_its_cells_by_one_sentence(sweep, folders, tmp_path, monkeypatch):
    plan = runner._plan

    def changed_afterwards(*args):
        planned = plan(*args)
        file = sorted((folders / "val").rglob("*.JPEG"))[5]
        file.write_bytes(file.read_bytes() + b"x")
        return planned

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_plan", changed_afterwards)
        assert splitbench("run", sweep, "--data", folders, "--out", tmp_path / "out") == 1
    sentence = "has changed since its digest was taken: run again with --reread, which reads all images anew"
    for row in rows(tmp_path / "out"):
        assert row["status"] == "failed" and row["reason"].endswith(sentence)
    assert splitbench("run", sweep, "--data", folders, "--out", tmp_path / "out", "--reread") == 0
