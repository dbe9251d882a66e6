"""What may mislead about a row stands in it, in all that is made of it, and is said again when a run is repeated."""

import csv
import json

import pytest

from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.figures import pages
from splitbench.bench.analysis.report import write_report
from splitbench.bench.results.store import Store
from splitbench.bench.results.table import read
from splitbench.bench.results.warnings_text import join_warnings, split_warnings
from splitbench.bench.run import runner
from splitbench.bench.run.planning.estimate import estimate
from splitbench.bench.run.planning.plan import plan_passes
from splitbench.bench.run.planning.sources import Sources
from splitbench.bench.sweep.reading import read as read_sweep
from tests.helpers.photographs import write_photographs

SWEEP = """
datasets: [{name: imagenet, unreadable: skip}]
backbones:
  - name: torchvision/squeezenet1_1
    weights: none
    args: {num_classes: 2}
    splits: [features.8]
    preprocessing: {resize: 64, crop: 64}
methods: [{name: raw, dtype: [float32, float16]}]
"""
NUMBERED = "the 2 class folders were numbered in sorted order (cat, dog), and the backbone is trusted to number"
SKIPPED = "files were skipped, since their names are not those of image files: 1 .heic"
LEFT_OUT = "1 image of 5 left out, since decoding failed"
BY_CHANCE = "the uncompressed backbone is right no more often than by chance (50.00 % of 2 classes)"


@pytest.fixture
def sweep(tmp_path):
    """Two made-up classes, one damaged image, one file that is skipped, and a network that guesses."""
    for name in ("cat", "dog"):
        write_photographs(tmp_path / "data" / "val" / name, 2, size=64)
    (tmp_path / "data" / "val" / "cat" / "photo.heic").write_bytes(b"no image to us")
    (tmp_path / "data" / "val" / "dog" / "z.jpg").write_bytes(b"damaged")
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def run(sweep):
    messages: list[str] = []
    out = sweep.parent / "out"
    result = runner.run(read_sweep(sweep), Sources(sweep.parent / "data"), Store(out), say=messages.append)
    assert not result.failed
    return out, messages


def test_warnings_stand_in_rows_comparison_report_and_figures(sweep):
    out, messages = run(sweep)
    with (out / "cells.csv").open() as stream:
        rows = [row["warnings"] for row in csv.DictReader(stream)]
    assert len(rows) == 2
    findings = examine([out])
    write(findings, out / "comparison")
    report = write_report(findings, out / "report.html", []).read_text().replace("\N{NO-BREAK SPACE}", " ")
    comparison = (out / "comparison" / "comparison.md").read_text()
    for sentence in (NUMBERED, SKIPPED, LEFT_OUT, BY_CHANCE):
        assert all(sentence in row for row in rows)
        assert f"torchvision/squeezenet1_1 on imagenet, all rows: {sentence}" in comparison
        assert sentence in report
    second_part = report.index("<h2>", report.index("<h2>") + 1)
    assert report.index('class="warn"') < second_part
    headings = [page.figure.get_suptitle() for page in pages(findings.frame, messages.append)]
    assert headings and all("4 images, with warnings" in text for text in headings)
    assert any(NUMBERED in line for line in messages)  # before anything is measured
    assert any(BY_CHANCE in message for message in messages)  # as soon as it is known


def test_a_repeated_run_says_them_again(sweep):
    run(sweep)
    _, messages = run(sweep)
    for sentence in (NUMBERED, SKIPPED, LEFT_OUT, BY_CHANCE):
        assert [line for line in messages if sentence in line and line.startswith("warning: ")]


def test_validate_says_what_is_known_before_anything_is_measured(sweep):
    lines = [*estimate(read_sweep(sweep), Sources(sweep.parent / "data")).lines()]
    for sentence in (NUMBERED, SKIPPED):
        assert [line for line in lines if line.startswith("  warning: ") and sentence in line]


def test_rows_that_an_earlier_version_stored_get_what_is_known_of_data_and_backbone(sweep):
    out, _ = run(sweep)
    for path in (out / "cells").glob("*.json"):
        content = json.loads(path.read_text())
        del content["columns"]["warnings"]
        path.write_text(json.dumps(content))
    run(sweep)
    assert all(NUMBERED in text for text in read([out])["warnings"])


def test_a_table_without_the_column_is_read_and_compared(sweep):
    out, _ = run(sweep)
    with (out / "cells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    with (out / "cells.csv").open("w") as stream:
        writer = csv.DictWriter(stream, [name for name in rows[0] if name != "warnings"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    findings = examine([out])
    assert list(findings.frame["warnings"]) == ["", ""]
    assert "may mislead" not in write(findings, out / "comparison").text


def test_a_warning_of_some_rows_names_them(sweep):
    out, _ = run(sweep)
    (planned,) = plan_passes(read_sweep(sweep), Sources(sweep.parent / "data"))
    path = out / "cells" / f"{planned.cells[0].key}.json"
    content = json.loads(path.read_text())
    content["columns"]["warnings"] = "it was measured by moonlight"
    path.write_text(json.dumps(content))
    Store(out).collect()
    lines = examine([out]).remarks["Warnings: what may mislead about these rows"]
    assert "torchvision/squeezenet1_1 on imagenet, 1 of 2 rows (features.8 raw): it was measured by moonlight" in lines


def test_sentences_are_joined_once_and_split_again():
    text = join_warnings(["one", "two; or three"], [""], ["one"])
    assert split_warnings(text) == ["one", "two, or three"]
    assert split_warnings("") == split_warnings(None) == []
