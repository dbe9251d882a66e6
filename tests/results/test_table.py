"""Reading runs: merging, conflicts, curves that only look alike, and a sentence for every bad input."""

from pathlib import Path

import pandas as pd
import pytest

from splitbench.bench.analysis.compare.findings import ComparisonOptions, examine_table
from splitbench.bench.results.merge import TRAINING_SETTINGS
from splitbench.bench.results.table import compressors, failures, over_seeds, points, read
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import LearningMethod
from tests.helpers import csv_samples as samples
from tests.helpers.csv_samples import table


def test_a_run_is_read_by_its_folder_or_its_file(tmp_path):
    file = samples.save(tmp_path / "run" / "cells.csv", samples.curve([100, 200], [60, 70]))
    assert read([file]).equals(read([file.parent]))
    assert len(read([file, file.parent])) == 2


def test_users_code_is_called_by_its_name_and_a_note_says_which_import_path_that_is(tmp_path):
    rows = samples.curve([100, 200], [60, 70], backbone="my_package.models:resnet20", method="my_codecs:METHOD")
    rows += samples.curve([100, 200], [60, 70], backbone="mine:net", method="a")
    rows += samples.curve([100, 200], [60, 70], backbone="other:net", method="raw", dataset="mine.pictures:few")
    frame = table(tmp_path, rows)
    assert set(frame["backbone"]) == {"resnet20", "mine:net", "other:net"}  # two nets are told apart
    assert set(frame["method"]) == {"my_codecs", "a", "raw"}
    assert set(frame["dataset"]) == {"val", "few"}
    assert "resnet20 is my_package.models:resnet20" in frame.attrs["notes"]
    options = ComparisonOptions(anchor="my_codecs:METHOD")
    assert set(examine_table(frame, options).tables["bd"]["anchor"]) == {"my_codecs"}


def test_text_stays_text_and_empty_stays_empty(tmp_path):
    rows = [samples.point(100, 76, method="raw", split="layer2", knob="dtype", value="float16", dataset="NA")]
    frame = table(tmp_path, rows)
    assert frame.loc[0, "value"] == "float16"
    assert frame.loc[0, "dataset"] == "NA"
    assert frame.loc[0, "variant"] == ""
    assert frame["switch_ms"].isna().all()


def test_columns_of_a_later_version_are_empty_not_missing(tmp_path):
    file = samples.save(tmp_path / "cells.csv", samples.curve([100, 200], [60, 70]))
    pd.read_csv(file).drop(columns=["train_macs", "versions"]).to_csv(file, index=False)
    frame = read([file])
    assert frame["train_macs"].isna().all()
    assert (frame["versions"] == "").all()


def test_the_newest_of_a_cell_wins_and_conflicts_are_named(tmp_path):
    old = samples.point(100, 70.0, key="k1", method="a", split="s", knob="q", value=1, date="2026-01-01T00:00:00Z")
    new = samples.point(100, 71.0, key="k1", method="a", split="s", knob="q", value=1, date="2026-02-01T00:00:00Z")
    files = [samples.save(tmp_path / name / "cells.csv", [row]) for name, row in (("new", new), ("old", old))]
    frame = read(files)
    assert frame["accuracy"].tolist() == [71.0]
    (note,) = frame.attrs["notes"]
    assert "a q=1" in note
    assert note.index("70 %") < note.index("71 %")
    same = read([samples.save(tmp_path / "again" / "cells.csv", [new]), files[0]])
    assert same.attrs["notes"] == []


def test_of_equally_old_rows_that_of_the_path_named_last_wins(tmp_path):
    rows = [
        samples.point(100, accuracy, key="k1", method="a", split="s", knob="q", value=1) for accuracy in (70.0, 71.0)
    ]
    files = [samples.save(tmp_path / str(i) / "cells.csv", [row]) for i, row in enumerate(rows)]
    assert read(files)["accuracy"].tolist() == [71.0]
    assert read(files[::-1])["accuracy"].tolist() == [70.0]


def test_a_later_failure_never_replaces_a_result(tmp_path):
    good = samples.point(100, 70.0, key="k1", method="a", split="s", knob="q", value=1, date="2026-01-01T00:00:00Z")
    bad = samples.row(
        key="k1", method="a", split="s", knob="q", value=1, status="failed", reason="disk full", date="2026-02-01"
    )
    frame = read([samples.save(tmp_path / name / "cells.csv", [row]) for name, row in (("a", good), ("b", bad))])
    assert frame["status"].tolist() == ["ok"]
    assert failures(frame) == []


def test_failed_cells_are_left_out_and_listed_with_their_reason(tmp_path):
    rows = [
        *samples.curve([100], [70]),
        samples.row(method="b", split="layer2", knob="q", value=3, status="failed", reason="boom"),
    ]
    frame = table(tmp_path, rows)
    assert points(frame)["method"].tolist() == ["a"]
    assert failures(frame) == ["val torchvision/resnet50 layer2 b q=3: boom"]


def test_an_older_version_of_the_same_point_is_left_out_and_named(tmp_path):
    rows = [
        samples.point(100, 70.0, key="k1", method="a", split="s", knob="q", value=1, date="2026-01-01T00:00:00Z"),
        samples.point(110, 71.0, key="k2", method="a", split="s", knob="q", value=1, date="2026-02-01T00:00:00Z"),
    ]
    frame = table(tmp_path, rows)
    assert frame["key"].tolist() == ["k2"]
    assert "a q=1" in frame.attrs["notes"][0]


def test_curves_that_only_look_alike_are_distinguished(tmp_path):
    frame = table(
        tmp_path, [*samples.curve([100, 200], [60, 70]), *samples.curve([90, 190], [60, 70], precision="float16")]
    )
    assert sorted(frame["variant"].unique()) == ["precision float16", "precision float32"]
    assert len(frame) == 4


def test_seeds_of_a_point_become_one_row(tmp_path):
    rows = [
        samples.point(100 + 10 * s, 70.0 + s, wide=1, method="a", split="s", knob="q", value=1, seed=s) for s in (0, 2)
    ]
    (row,) = points(table(tmp_path, rows)).to_dict("records")
    assert (row["bytes_mean"], row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == (110, 71, 69, 73)
    assert (row["seed"], row["seeds"], row["key"]) == (0, 2, rows[0]["key"])
    # Read again, as tables made of tables are, they are still two.
    assert points(points(table(tmp_path, rows)))["seeds"].tolist() == [2]
    assert over_seeds(points(table(tmp_path, rows))) == "means over 2 seeds"
    assert over_seeds(points(table(tmp_path, rows[:1]))) == ""


def test_what_is_no_number_is_the_lowest_seeds_whatever_the_order(tmp_path):
    rows = [samples.point(100, 70.0, method="a", split="s", knob="q", value=1, seed=s) for s in (2, 0)]
    (row,) = points(table(tmp_path, rows)).to_dict("records")
    assert row["key"] == rows[1]["key"]


# Bad input: one sentence each


def bad(tmp_path: Path, *groups: list[samples.Row]) -> str:
    files = [samples.save(tmp_path / str(i) / "cells.csv", rows) for i, rows in enumerate(groups)]
    with pytest.raises(UserError) as caught:
        read(files)
    return str(caught.value)


def test_nothing_named():
    with pytest.raises(UserError, match="name at least one run folder"):
        read([])


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"no such file or folder: .*nowhere"):
        read([tmp_path / "nowhere"])


def test_a_folder_of_runs_names_them(tmp_path):
    samples.save(tmp_path / "one" / "cells.csv", samples.curve([1], [1]))
    with pytest.raises(UserError, match=r"no cells.csv in the folder .*; there is one in .*one"):
        read([tmp_path])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"key,task\n1,2\n", "lacks the columns dataset, backbone, split"),
        (b"\xff\xfe\x00\x01\x02,", "is not a table"),
        (b'a,b\n"1,2\n', "is not a table"),
    ],
)
def test_files_that_are_no_run(tmp_path, content, sentence):
    file = tmp_path / "cells.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read([file])


@pytest.mark.parametrize("cut", [40, 100])
def test_a_table_that_is_cut_off_within_a_row_is_refused(tmp_path, cut):
    samples.save(tmp_path / "cells.csv", samples.curve([1, 2], [1, 2]))
    content = (tmp_path / "cells.csv").read_bytes()
    row = content.rindex(b"\n", 0, -1) + 1
    (tmp_path / "cells.csv").write_bytes(content[: row + cut])
    with pytest.raises(UserError, match=r"row 3 has \d+ of \d+ values: the file was cut off"):
        read([tmp_path])


def test_a_header_without_rows(tmp_path):
    assert "has a header but no rows" in bad(tmp_path, [])


def test_words_where_a_number_belongs(tmp_path):
    row = samples.curve([100], [70])[0] | {"accuracy": "high"}
    assert "accuracy holds 'high' where a number is expected" in bad(tmp_path, [row])


def test_mixed_tasks(tmp_path):
    assert "tasks are mixed (classification and detection)" in bad(
        tmp_path, samples.curve([100], [70]), samples.curve([100], [30], task="detection")
    )


def test_no_cell_succeeded(tmp_path):
    assert "no cell succeeded; the first failed because: boom" in bad(
        tmp_path, [samples.row(status="failed", reason="boom")]
    )


@pytest.mark.parametrize("column", ["accuracy", "bytes_mean", "baseline"])
def test_a_metric_without_values(tmp_path, column):
    assert f"{column} has no values" in bad(
        tmp_path, [row | {column: ""} for row in samples.curve([100, 200], [60, 70])]
    )


def test_different_images_are_refused_unless_asked(tmp_path):
    item = samples.curve([100, 200], [60, 70], fingerprint="aaaa1111bbbb", images=120)
    two = samples.curve([100, 200], [61, 71], fingerprint="cccc2222dddd", images=650)
    printed = bad(tmp_path, item, two)
    assert "dataset val stands for different images in these runs: 120 (aaaa1111) and 650 (cccc2222)" in printed
    assert "--allow-mixed puts them side by side" in printed
    frame = read([tmp_path / "0", tmp_path / "1"], allow_mixed=True)
    assert sorted(frame["variant"].unique()) == ["images aaaa1111", "images cccc2222"]


def test_how_all_of_a_methods_curves_were_trained_is_reported_once(tmp_path):
    def learned(split, variant):
        return samples.curve([100, 200], [70, 75], method="bottleneck", split=split, variant=variant)

    frame = table(tmp_path, learned("layer2", "stride=1 epochs=8 half=True"))
    assert set(frame["variant"]) == {""}
    assert frame.attrs["notes"] == ["bottleneck, throughout: stride=1 epochs=8 half=True"]
    # What differs stays a part of the names.
    both = learned("layer2", "stride=1 epochs=8 half=True") + learned("layer3", "stride=1 epochs=9 half=True")
    assert set(table(tmp_path, both, "both")["variant"]) == {"epochs 8", "epochs 9"}


def test_names_say_in_words_what_differs(tmp_path):
    def named(*variants):
        rows = [row for variant in variants for row in samples.curve([100, 200], [70, 75], variant=variant)]
        return sorted(table(tmp_path, rows, str(len(variants)) + variants[0])["variant"].unique())

    assert named("", "range=calibrated") == ["", "calibrated"]
    assert named("stride=1 range=image", "range=calibrated stride=1") == ["calibrated", "image"]
    assert named("clip=mse half=True", "half=False") == ["mse, half", "no half"]
    assert named("header=shared") == ["header=shared"[7:]]  # a word stays, although nothing else is there
    assert named("a=same", "b=same") == ["a=same", "b=same"]  # in words they would be the same


def test_what_says_how_is_all_that_learning_methods_can_set_but_what_they_send():
    learning = [item for item in map(METHODS.get, METHODS.names()) if isinstance(item, LearningMethod)]
    settings = {field for method in learning for field in method.Settings.model_fields}
    assert len(learning) >= 2
    assert settings - TRAINING_SETTINGS == {
        *("lmbda", "least", "most", "channels", "stride", "step", "coder", "bits"),  # the knob, and what is sent
        *("unit", "width"),  # and what computes it
        "weights",  # and what is learned from
    }
    assert settings > TRAINING_SETTINGS


def test_what_compresses_is_without_the_uncompressed_and_what_runs_on_the_device(tmp_path):
    raw = samples.curve([800], [76.0], method="raw")
    label = samples.curve([2], [76.0], method="label-only", split="output")
    own = samples.curve([100, 200], [70.0, 75.0])
    assert set(compressors(points(table(tmp_path, [*raw, *label, *own])))["method"]) == {"a"}
    assert set(compressors(points(table(tmp_path, raw, "raw")))["method"]) == {"raw"}
