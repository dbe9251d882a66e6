"""BD-rates, the summary and what a comparison writes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from splitbench.bench.analysis.compare import examine, write
from splitbench.bench.analysis.compare.curves.bd import bd_table
from splitbench.bench.analysis.compare.curves.bd_matrix import as_matrix, bd_matrix
from splitbench.bench.analysis.compare.curves.interpolation import accuracy_at_budgets
from splitbench.bench.analysis.compare.remarks import deep_split_remarks, no_bytes_remarks, on_device_remarks
from splitbench.bench.analysis.compare.summary import summary, telling_budgets
from splitbench.bench.analysis.table_formats import (
    as_csv,
    as_latex,
    as_markdown,
    as_text,
    format_number,
    format_percent,
)
from splitbench.bench.results.table import points
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.csv_samples import table


def bd_of(tmp_path: Path, anchor: list[samples.Row], test: list[samples.Row], name: str = "a") -> "pd.Series":
    rows = bd_table(table(tmp_path, [*anchor, *test]), name)
    return rows.iloc[0]


SIZES, ACCURACIES = [1000, 2000, 4000, 8000], [68.0, 72.0, 74.0, 75.0]


def test_bd_of_identical_curves_is_zero(tmp_path):
    row = bd_of(tmp_path, samples.curve(SIZES, ACCURACIES), samples.curve(SIZES, ACCURACIES, method="b"))
    assert row["method"] == "b"
    assert row["bd_rate"] == pytest.approx(0, abs=1e-9)
    assert row["bd_accuracy"] == pytest.approx(0, abs=1e-9)
    assert row["reason"] == ""


def test_bd_of_halved_bytes_is_minus_fifty_percent(tmp_path):
    halved = samples.curve([size / 2 for size in SIZES], ACCURACIES, method="b")
    row = bd_of(tmp_path, samples.curve(SIZES, ACCURACIES), halved)
    assert row["bd_rate"] == pytest.approx(-50)
    assert row["bd_rate_overlap"] == pytest.approx(100)


def test_every_method_is_compared_with_every_other_one_with_all_its_variants(tmp_path):
    rows = [
        *samples.curve(SIZES, ACCURACIES, method="a"),
        # Its two variants together are half as large as a at each accuracy; neither is alone.
        *samples.curve([500, 1000, 6000], ACCURACIES[:3], method="b", variant="low"),
        *samples.curve([9000, 2000, 4000], ACCURACIES[1:], method="b", variant="high"),
    ]
    matrix = bd_matrix(table(tmp_path, rows)).set_index(["method", "anchor"])
    assert sorted(matrix.index) == [("a", "b"), ("b", "a")]
    assert matrix["bd_rate"].to_dict() == pytest.approx({("a", "b"): 100, ("b", "a"): -50})
    assert set(matrix["at_split"]) == {"layer2"} and set(matrix["reason"]) == {""}
    arranged = as_matrix(matrix.reset_index(), "bd_rate")
    assert arranged.loc["b", "a"] == pytest.approx(-50) and np.isnan(arranged.loc["a", "a"])


def test_a_short_curve_within_a_long_one_is_compared_over_its_own_range(tmp_path):
    long = samples.curve([500, 1000, 2000, 4000, 8000], [66.5, 70.0, 73.0, 74.0, 75.0])
    short = samples.curve([500, 707, 1000], [70.0, 71.6, 73.0], method="b")
    row = bd_of(tmp_path, long, short)
    assert row["bd_rate_overlap"] == pytest.approx(100) and row["bd_rate"] == pytest.approx(-50, abs=1.5)


def test_no_curve_is_read_off_a_single_gap(tmp_path):
    wide = samples.curve([500, 1000, 8000], [66.5, 67.0, 75.9])
    within = samples.curve([1000, 2000, 3000], [70.0, 71.6, 73.0], method="b")
    row = bd_of(tmp_path, wide, within)
    assert np.isnan(row["bd_rate"])
    assert "0 of the anchor's points lie in the accuracies that both cover, 2 are needed" in row["reason"]


def test_bd_accuracy_of_a_point_more_is_a_point(tmp_path):
    better = samples.curve(SIZES, [accuracy + 1 for accuracy in ACCURACIES], method="b")
    assert bd_of(tmp_path, samples.curve(SIZES, ACCURACIES), better)["bd_accuracy"] == pytest.approx(1)


def test_bd_ignores_what_lies_beyond_ten_points(tmp_path):
    ruined = [(500, 1.0), *zip(SIZES, ACCURACIES, strict=True)]
    extended = samples.curve(*zip(*ruined, strict=True), method="b")
    plain = samples.curve([size / 2 for size in SIZES], ACCURACIES)
    row = bd_of(tmp_path, plain, extended)
    # Twice the bytes; not quite, as the longer curve's own first stretch, steep down to 1 %, is cut at ten points.
    assert row["bd_rate"] == pytest.approx(100, abs=3)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (([1000, 2000], [70.0, 74.0]), "it has 2 rate points near the baseline, 3 are needed"),
        (([500, 1000, 2000], [1.0, 70.0, 74.0]), "it has 2 rate points near the baseline, 3 are needed"),
        (([1000], [74.0]), "it has 1 rate point near the baseline, 3 are needed"),
        (
            ([90000, 100000, 110000], [75.0, 75.5, 76.0]),
            "no BD-rate: accuracies overlap by 0 % of the shorter range only; "
            "no BD-accuracy: bytes overlap by 0 % of the shorter range only",
        ),
        (
            ([1000, 2000, 4000, 8000], [70.0, 76.0, 75.5, 75.9]),
            "no BD-rate: 2 of its 4 rate points near the baseline are on its front, 3 are needed",
        ),
    ],
)
def test_bd_says_why_there_is_no_number(tmp_path, test, reason):
    row = bd_of(tmp_path, samples.curve(SIZES, ACCURACIES), samples.curve(*test, method="b"))
    assert row["reason"] == reason
    assert np.isnan(row["bd_rate"])


def test_bd_accuracy_takes_what_is_reached_within_so_many_bytes(tmp_path):
    level = samples.curve([1000, 2000, 4000, 8000], [76.0] * 4)
    # Best at once; what is measured above is a little worse, and nobody would send it.
    at_once = samples.curve([1000, 2000, 4000, 8000], [75.0, 74.0, 74.9, 74.5], method="b")
    row = bd_of(tmp_path, level, at_once)
    assert row["bd_accuracy"] == pytest.approx(-1)
    assert row["bd_accuracy_overlap"] == pytest.approx(100)
    assert np.isnan(row["bd_rate"]) and np.isnan(row["bd_rate_overlap"])
    assert row["reason"].startswith("no BD-rate: 1 of the anchor's 4 rate points near the baseline is on its front")
    assert row[["points_near", "points_on_front", "anchor_points_near", "anchor_points_on_front"]].tolist() == [
        4,
        1,
        4,
        1,
    ]


def test_no_end_of_a_cut_is_counted_for_a_measured_point(tmp_path):
    # The second curve crosses 10 points of drop between its first two; that makes neither a third point of it.
    row = bd_of(
        tmp_path, samples.curve(SIZES, ACCURACIES), samples.curve([500, 1000, 4000], [60.0, 70.0, 75.0], method="b")
    )
    assert (row["points_near"], row["points_on_front"]) == (2, 2)
    assert np.isnan(row["bd_rate"]) and np.isnan(row["bd_accuracy"])


def seeded(sizes, accuracies, **given):
    """A curve over two seeds, the second one with a point less throughout, and ten bytes more."""
    return [
        row
        for seed in (0, 1)
        for row in samples.curve([s + 10 * seed for s in sizes], [a - seed for a in accuracies], seed=seed, **given)
    ]


def test_means_over_seeds_are_called_so_in_text_tables_and_captions(tmp_path):
    rows = [*seeded(SIZES, ACCURACIES, method="learned"), *samples.curve(SIZES, ACCURACIES, method="plain")]
    result = write(examine([samples.save(tmp_path / "run" / "cells.csv", rows)]), tmp_path / "out")
    assert "baseline 76.00 % top1, means over up to 2 seeds" in result.text
    assert (
        "- torchvision/resnet50 on val: learned: means over 2 seeds, accuracies up to 1.00 points apart; "
        "plain: one run for each rate point" in result.text
    )
    assert "say nothing about other seeds; paired tests are of the lowest seed alone" in result.text
    for name in ("comparison.md", "comparison.tex"):
        assert "means over up to 2 seeds" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    for name in ("bytes-at-drop", "accuracy-at-bytes", "costs", "front-per-split"):
        seeds = result.tables[name].groupby("method")["seeds"].unique()
        assert {method: list(of) for method, of in seeds.items()} == {"learned": [2], "plain": [1]} or name[
            :5
        ] == "front"
    assert "seeds" in (tmp_path / "out" / "costs.csv").read_text(encoding="utf-8").splitlines()[0]


def test_nothing_is_said_of_means_where_each_point_is_one_run(tmp_path):
    result = write(
        examine([samples.save(tmp_path / "run" / "cells.csv", samples.curve(SIZES, ACCURACIES))]), tmp_path / "out"
    )
    written = "".join(
        (tmp_path / "out" / f"comparison.{kind}").read_text(encoding="utf-8") for kind in ("txt", "md", "tex")
    )
    assert "seed" not in result.text + written


def test_the_anchor_is_a_method_or_a_variant_and_unknown_ones_are_refused(tmp_path):
    frame = table(tmp_path, samples.run(splits={"layer2": samples.RESNET50["layer2"]}))
    assert set(bd_table(frame)["anchor"]) == {"quantize-rle"}
    for typed in ("quantize-rle, calibrated", "quantize-rle range=calibrated"):
        assert set(bd_table(frame, typed)["anchor"]) == {"quantize-rle, calibrated"}
    assert set(bd_table(frame, "image")["at_split"]) == {"input", "layer2"}
    with pytest.raises(UserError, match=r"no anchor 'quantise-rle' in these results; did you mean quantize-rle"):
        bd_table(frame, "quantise-rle")


def test_an_anchor_that_a_backbone_lacks_gives_a_reason(tmp_path):
    rows = [*samples.curve(SIZES, ACCURACIES), *samples.curve(SIZES, ACCURACIES, method="b", backbone="other")]
    assert bd_table(table(tmp_path, rows), "a")["reason"].tolist() == ["the anchor was not measured"]


# The summary and what is written


def test_the_summary_is_honest_about_overlap_and_about_not_reached(tmp_path):
    far = samples.curve([100, 200], [70.0, 75.5], wide=0.1, method="good")
    near = samples.curve([1000, 2000], [70.0, 75.4], wide=0.1, method="poor")
    rows = summary(table(tmp_path, [*far, *near]), drops=[0.1, 1.0]).set_index("question")
    assert rows.loc["fewest bytes, drop ≤ 0.1", "answer"] == "not reached"
    item = rows.loc["fewest bytes, drop ≤ 1"]
    assert (item["best"], item["next_best"], item["clear"]) == ("good", "poor", "yes")
    wide = [row | {"drop_low": -5.0, "drop_high": 20.0} for row in [*far, *near]]
    assert summary(table(tmp_path, wide, "wide"), drops=[1.0])["clear"].iloc[0] == "no"


def test_an_end_below_the_smallest_rate_point_is_a_bound_and_makes_nothing_clear(tmp_path):
    few = samples.curve([30, 110], [74.5, 76.0], wide=0.1, method="few")
    poor = samples.curve([100, 900], [75.4, 75.9], wide=0.1, method="poor")
    rows = [row | {"drop_low": row["drop"] - 1, "drop_high": row["drop"] + 0.1} for row in [*few, *poor]]
    asked = summary(table(tmp_path, rows), drops=[1.0, 2.0], budgets=[])
    assert asked["answer"].tolist() == ["46 bytes", "≤ 30 bytes"]
    assert asked["interval"].tolist() == ["≤ 30 to 50", "≤ 30"]
    # The other's interval begins at 100 bytes or anywhere below.
    assert asked["next_best"].tolist() == ["poor", "poor"]
    assert asked["clear"].tolist() == ["no", "no"]
    assert asked["difference"].tolist() == ["≤ 2.2 times the bytes", ""]


def test_no_difference_looks_like_a_formula(tmp_path):
    rows = [*samples.curve(SIZES, ACCURACIES, method="good"), *samples.curve([2 * s for s in SIZES], ACCURACIES)]
    asked = summary(table(tmp_path, rows), drops=[2.0], budgets=[2000])
    assert asked["difference"].tolist() == ["2.0 times the bytes", "4.00 points less"]
    assert "'" not in as_csv(asked)


def test_many_times_the_bytes_are_reported_with_their_thousands_and_a_share_is_never_all_where_something_is_left(
    tmp_path,
):
    rows = [*samples.curve(SIZES, ACCURACIES, method="good"), *samples.curve([20 * s for s in SIZES], ACCURACIES)]
    assert summary(table(tmp_path, rows), drops=[2.0], budgets=[])["difference"].tolist() == ["20 times the bytes"]
    assert [format_percent(share) for share in (0.5, 0.951, 0.9996, 1.0)] == ["50 %", "95 %", "more than 99 %", "100 %"]


def test_a_bound_is_never_printed_as_an_end(tmp_path):
    # Across the gap from 100 to 10,000 bytes nothing is interpolated: there the ends are bounds.
    rows = samples.curve([100, 10_000], [74.0, 76.0], method="gap")

    def interval(drops, lows, highs):
        ends = zip(rows, drops, lows, highs, strict=True)
        given = [row | {"drop": drop, "drop_low": low, "drop_high": high} for row, drop, low, high in ends]
        return summary(table(tmp_path, given), drops=[1.0], budgets=[])[["answer", "interval"]].iloc[0].tolist()

    assert interval((0.5, 0), (0, -0.1), (1.5, 0.1)) == ["≤ 100 bytes", "≤ 100 to ≤ 10,000"]
    assert interval((1, 0), (1, -0.1), (1.5, 0.1)) == ["100 bytes", "100 to ≤ 10,000"]
    assert interval((0.5, 0), (0, -0.1), (0.9, 0.1)) == ["≤ 100 bytes", "≤ 100"]
    assert interval((0.5, 0), (0, -0.1), (2, 1.5)) == ["≤ 100 bytes", "≤ 100 to more than measured"]


def test_an_accuracy_without_an_interval_has_none_in_the_summary(tmp_path):
    ends = dict.fromkeys(("accuracy_low", "accuracy_high", "drop_low", "drop_high"), "")
    rows = [row | ends for row in samples.curve([100], [74.0])]
    assert summary(table(tmp_path, rows), drops=[2.0], budgets=[200])["interval"].tolist() == ["", ""]


def test_of_two_that_are_as_accurate_the_one_for_fewer_bytes_is_the_better(tmp_path):
    # Their difference is less than what is printed; and the one with the name that sorts first needs more.
    rows = samples.curve([100, 190], [70.0, 75.004], method="large") + samples.curve([60], [75.0], method="small")
    (asked,) = summary(table(tmp_path, rows), drops=[], budgets=[200]).to_dict("records")
    assert (asked["best"], asked["answer"]) == ("small", "75.00 %")
    assert (asked["next_best"], asked["difference"]) == ("large", "as accurate, 3.2 times the bytes")
    reached = accuracy_at_budgets(table(tmp_path, rows), [50, 150, 200]).set_index(["method", "budget"])["bytes"]
    assert reached["small"].fillna(0).tolist() == [0, 60, 60]
    assert reached["large"].fillna(0).tolist() == [0, 150, 190]  # between two rate points the budget is spent


def test_an_image_that_is_best_at_every_split_is_named_once(tmp_path):
    pictures = samples.curve([100, 200], [74.0, 75.5], method="image", split="input")
    cuts = [
        row
        for place, split in enumerate(("layer1", "layer2"))
        for row in samples.curve([300, 900 - 200 * place], [74.0, 75.5], split=split, macs_head=1e9 * (place + 1))
    ]
    asked = summary(table(tmp_path, [*pictures, *cuts]), drops=[0.5, 0.1], budgets=[])
    assert asked["at_split"].tolist() == ["every split", "layer1", "layer2"]
    assert asked["best"].tolist() == ["image", "none", "none"]
    assert asked.iloc[0][["next_best", "difference"]].tolist() == ["a after layer2", "3.5 times the bytes"]
    # Where a cut is the best at one of them, each split has its answer.
    cheap = samples.curve([50], [75.9], split="layer2", method="unit", macs_head=2e9)
    asked = summary(table(tmp_path, [*pictures, *cuts, *cheap], "cheap"), drops=[0.5], budgets=[])
    assert list(zip(asked["at_split"], asked["best"], strict=True)) == [("layer1", "image"), ("layer2", "unit")]


def test_budgets_are_round_and_amid_the_sizes(tmp_path):
    good = points(
        table(
            tmp_path, [*samples.curve([100, 1000, 10000], [1, 2, 3]), samples.point(1e7, 76, method="raw", split="s")]
        )
    )
    assert telling_budgets(good, 1) == [1000]
    assert len(telling_budgets(good, 3)) == 3


def test_deep_splits_and_running_on_the_device_are_reported(tmp_path):
    frame = table(tmp_path, samples.run())
    assert "label-only" in on_device_remarks(frame)[0]
    (line,) = deep_split_remarks(frame)
    assert "before layer4" in line and "sending the label" in line


def test_what_sends_no_bytes_is_named_since_no_table_of_bytes_has_it(tmp_path):
    silent = samples.point(0, 12, value=1, method="unit", split="layer2")
    frame = table(tmp_path, [*samples.curve([100, 200], [70, 75]), silent])
    assert "unit" not in set(summary(frame, drops=[100], budgets=[])["best"])
    findings = examine([tmp_path / "run"])
    (line,) = [text for text in findings.remarks["What else to know"] if "sends 0 bytes" in text]
    assert "layer2 unit" in line and "at 12.00 % top1" in line
    assert no_bytes_remarks(table(tmp_path, samples.run(), "sending")) == []


def test_of_the_boxes_those_are_reported_that_lose_next_to_nothing(tmp_path):
    def remark_on(*drops):
        rows = [
            samples.point(size, 76 - drop, value=size, method="boxes", split="output", task="detection", metric="ap")
            for size, drop in zip((20, 90, 300), drops, strict=True)
        ]
        (line,) = on_device_remarks(table(tmp_path, rows))
        return line

    assert "sends 90 bytes per image (boxes) at a drop of 0.90 points" in remark_on(9, 0.9, 0.1)
    assert "sends 300 bytes per image (boxes) at a drop of 1.50 points" in remark_on(9, 3, 1.5)


def test_compare_returns_text_and_writes_every_table(tmp_path):
    file = samples.save(tmp_path / "run" / "cells.csv", samples.run(learned=("bottleneck",)))
    result = write(examine([file]), tmp_path / "out")
    assert {path.name for path in result.files} == {
        *(f"{name}.csv" for name in result.tables),
        "comparison.txt",
        "comparison.md",
        "comparison.tex",
    }
    assert all(path.stat().st_size for path in result.files)
    assert "torchvision/resnet50 on val: 650 images, baseline 76.00 % top1" in result.text
    assert result.text.strip() == (tmp_path / "out" / "comparison.txt").read_text(encoding="utf-8").strip()
    assert "BD-rate (%) and BD-accuracy (points) against quantize-rle, at drops up to 10 points" in result.text
    assert "4 curves cannot be compared so: it has 2 rate points near the baseline, 3 are needed" in result.text
    written = pd.read_csv(tmp_path / "out" / "bytes-at-drop.csv")
    assert len(written) == len(result.tables["bytes-at-drop"])


def test_an_output_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    file = samples.save(tmp_path / "run" / "cells.csv", samples.curve(SIZES, ACCURACIES))
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        write(examine([file]), tmp_path / "out")


def test_the_written_forms_of_a_table():
    small = pd.DataFrame({"name": ["a_b", "c|d"], "bytes": [1234.5, np.nan]})
    assert as_text(small).splitlines() == ["name      bytes", "------  -------", "a_b       1,234", "c|d"]
    assert as_markdown(small).splitlines()[1:] == [
        "|:-------|--------:|",
        "| a_b    |   1,234 |",
        "| c\\|d   |         |",
    ]
    assert r"a\_b & 1,234 \\" in " ".join(as_latex(small, "50 % & more").split())
    assert r"\caption{50 \% \& more}" in as_latex(small, "50 % & more")
    assert [format_number(x) for x in (0.0, 3.0, 0.125, 71.88, 1e6)] == ["0", "3", "0.12", "71.88", "1,000,000"]


def test_reading_and_comparing_need_no_torch():
    code = (
        "import sys, splitbench.bench.results.table\n"
        "from splitbench.bench.analysis import compare, figures, latency, report\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'torchvision', 'timm')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert result.stdout.strip() == "[]"


def test_a_run_of_labels_alone_is_compared(tmp_path):
    rows = [samples.point(2, 75, split="output", method="label-only", knob="k", value=1, macs_head=10)]
    result = write(examine([samples.save(tmp_path / "run" / "cells.csv", rows)]), tmp_path / "out")
    assert "label-only" in result.text
    assert result.tables["front-per-split"].empty
