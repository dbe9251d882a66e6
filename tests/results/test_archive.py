"""Archives of runs: another machine finds in them what the folder holds, and refuses what is damaged or hostile."""

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.figures import draw_learning
from splitbench.bench.analysis.image_records import read_records, tables_without_records
from splitbench.bench.results.archive import export, verify
from splitbench.bench.results.table import read
from splitbench.bench.sweep.configs import SWEEPS
from splitbench.bench.sweep.reading import as_yaml, check
from splitbench.bench.sweep.reading import read as read_sweep
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, with records of two methods on the same images, and a learning curve."""
    folder = tmp_path / "run"
    rows = []
    for method, hits in (("a", 90), ("b", 80)):
        rows += samples.curve([1000, 2000], [90.0, 95.0], method=method, baseline=100.0, images=100, versions="torch=2")
        (folder / "records").mkdir(parents=True, exist_ok=True)
        for row in rows[-2:]:
            right = (np.arange(100) < hits).astype(int)
            arrays = {"bytes": np.full(100, row["bytes_mean"]), "image": np.arange(100), "top1": right}
            np.savez_compressed(folder / "records" / f"{row['key']}.npz", **arrays, baseline_top1=np.ones(100, int))
    samples.save(folder / "cells.csv", rows)
    curve = folder / "learning" / "val" / "resnet50" / "layer2" / "a" / "v" / "bits=1.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("epoch,images,loss\n1,100,0.5\n2,200,0.4\n")
    (folder / "sweep.yaml").write_text("datasets: []\n")
    (folder / "log").mkdir()
    (folder / "log" / "process.log").write_text("/home/me/secret")
    return folder


def repack(file: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Write an archive anew with other contents."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    change(contents)
    other = file.with_name("changed.zip")
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return other


def add_listed(contents: dict[str, bytes], name: str) -> None:
    """Add a file, and list it in the manifest."""
    manifest = json.loads(contents["manifest.json"])
    manifest["files"][name] = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    contents |= {"manifest.json": json.dumps(manifest).encode(), name: b"x"}


def test_a_comparison_of_the_archive_is_that_of_the_folder(tmp_path, run):
    export(run, tmp_path / "run.zip")
    of_folder, of_archive = (write(examine([path]), tmp_path / path.name[:5]) for path in (run, tmp_path / "run.zip"))
    assert of_archive.text == of_folder.text
    assert len(of_folder.tables["paired-tests"]) == 2
    for name, table in of_folder.tables.items():
        assert of_archive.tables[name].equals(table), name
    first, second = (draw_learning(path, tmp_path / f"figures-{path.name}") for path in (run, tmp_path / "run.zip"))
    assert len(first) == 2
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_what_is_exported_is_listed_and_nothing_else_leaves_the_folder(tmp_path, run):
    assert export(run, tmp_path / "run.zip") == 8
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        names = archive.namelist()
        assert json.loads(archive.read("environment.json"))["versions"] == ["torch=2"]
        assert archive.read("sweep.yaml") == b"datasets: []\n"
    tops = {name.split("/")[0] for name in names}
    assert tops == {"manifest.json", "environment.json", "cells.csv", "sweep.yaml", "records", "learning"}
    export(run, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "run.zip").read_bytes()
    export(run, tmp_path / "small.zip", records=False)
    assert tables_without_records(read([tmp_path / "small.zip"])) == [str(tmp_path / "small.zip")]


def test_archives_and_folders_of_several_users_are_merged(tmp_path, run):
    export(run, tmp_path / "theirs.zip")
    ours = samples.save(tmp_path / "ours" / "cells.csv", samples.curve([500, 900], [90.0, 95.0], method="c"))
    frame = read([tmp_path / "theirs.zip", ours])
    assert set(frame["method"]) == {"a", "b", "c"}
    assert set(frame["source"]) == {str(tmp_path / "theirs.zip"), str(ours)}


HOSTILE = {
    "a changed table": (lambda files: files.update({"cells.csv": files["cells.csv"] + b" "}), "cells.csv in it is not"),
    "a path outside": (lambda files: add_listed(files, "../cells.csv"), "'../cells.csv' in it leads out"),
    "an absolute path": (lambda files: add_listed(files, "/etc/x"), "'/etc/x' in it leads out"),
    "a file too many": (lambda files: files.update({"more.csv": b"x"}), "'more.csv' is missing or not listed"),
    "a file too few": (lambda files: files.pop("sweep.yaml"), "'sweep.yaml' is missing or not listed"),
    "no manifest": (lambda files: files.pop("manifest.json"), "has no manifest.json"),
    "another manifest": (lambda files: files.update({"manifest.json": b"[" * 10**5}), "is not of the form"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused_with_one_sentence(tmp_path, run, what, capsys):
    export(run, tmp_path / "run.zip")
    change, message = HOSTILE[what]
    changed = repack(tmp_path / "run.zip", change)
    assert splitbench("compare", changed, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {changed} is ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_links_and_other_files_are_refused(tmp_path, run):
    export(run, tmp_path / "run.zip")
    whole = (tmp_path / "run.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "run.zip", "a") as archive:
        link = zipfile.ZipInfo("records/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="'records/link' in it is a link"):
        verify(tmp_path / "run.zip")
    for content in (b"no zip", b"", whole[: len(whole) // 2]):
        (tmp_path / "other.zip").write_bytes(content)
        with pytest.raises(UserError, match="is damaged, or no archive that `splitbench export` wrote"):
            verify(tmp_path / "other.zip")


def test_an_archive_that_would_unpack_to_more_than_a_run_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("manifest.json", "a", "b"):
            archive.writestr(name, b"")
    content = bytearray(file.read_bytes())
    for place in [place for place in range(len(content)) if content.startswith(b"PK\x01\x02", place)]:
        content[place + 24 : place + 28] = b"\xfe\xff\xff\xff"  # the unpacked size in the directory: 4 GiB
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"is refused: unpacked it would be 3 files of 12\.9 GB"):
        verify(file)


def test_records_that_unpack_to_more_than_a_cell_has_are_not_read(tmp_path, run, monkeypatch):
    export(run, tmp_path / "run.zip")
    row = read([tmp_path / "run.zip"]).iloc[0]
    assert read_records(row, ["bytes"]) is not None
    monkeypatch.setattr("splitbench.bench.analysis.image_records._MOST_BYTES", 100)
    assert read_records(row, ["bytes"]) is None


def test_the_command_names_what_it_wrote_and_refuses_other_endings(tmp_path, run, capsys):
    assert splitbench("export", run) == 0
    assert f"wrote {tmp_path / 'run.zip'}: 8 files" in capsys.readouterr().out
    assert splitbench("export", run, "--out", tmp_path / "run.tar") == 2
    assert "ends in .zip" in capsys.readouterr().err
    assert splitbench("export", tmp_path / "nothing") == 2
    assert "no cells.csv in the folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", SWEEPS.names())
def test_the_sweep_that_is_stored_reads_as_the_one_that_ran(name):
    sweep = read_sweep(SWEEPS.get(name))
    assert check(yaml.safe_load(as_yaml(sweep)), name) == sweep
