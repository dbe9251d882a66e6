"""Latency by hand, winners against brute force, profiles and what a what-if writes."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbench.bench.analysis.latency import PROFILES, Profile, Question, answer, read_profile, what_if
from splitbench.bench.analysis.latency.best import SPEEDS, regions
from splitbench.bench.analysis.latency.end_to_end import Link, latency_ms, send_ms, timed
from splitbench.bench.analysis.latency.region_map import areas, borders
from splitbench.bench.analysis.latency.what_if import WITHOUT_DEVICE
from splitbench.bench.results.table import points, read
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench

TIMES = {"head_ms": 4.0, "encode_ms": 1.0, "decode_ms": 0.5, "tail_ms": 2.5}
PLACES = {"split": "layer2", "macs_head": 2e9, "macs_encoder": 0.0, "macs_decoder": 0.0, "macs_tail": 1e9}


def cells(tmp_path: Path) -> Path:
    """A coarse and a fine rate point, the picture, and everything on the device."""
    given = {"knob": "bits", "baseline": 76.0} | TIMES
    rows = [
        samples.point(1_000, 74.5, **(given | PLACES), method="quantize-rle", value=2),
        samples.point(5_000, 75.8, **(given | PLACES | {"encode_ms": 0.4}), method="quantize-rle", value=4),
        samples.point(
            20_000, 75.6, **(given | {"head_ms": 0.0, "tail_ms": 7.0}), split="input", method="image", value=9
        ),
        samples.point(
            2, 76.0, **(given | {"head_ms": 60.0}), split="output", method="label-only", value=1, macs_head=3e9
        ),
    ]
    return samples.save(tmp_path / "run" / "cells.csv", rows)


def of(rows: pd.DataFrame, size: float) -> pd.DataFrame:
    return rows[rows["bytes_mean"] == size]


def test_latency_is_the_sum_of_its_parts(tmp_path):
    rows = timed(points(read([cells(tmp_path)])))
    link = Link(mbps=2.0, rtt=10.0)
    # 8 kbit at 2 Mbit/s are 4 ms.
    assert send_ms(of(rows, 1000), link).item() == pytest.approx(14.0)
    assert latency_ms(of(rows, 1000), link).item() == pytest.approx(4 + 1 + 14 + 0.5 + 2.5)
    # On the device nothing is coded, sent or waited for.
    assert latency_ms(of(rows, 2), link).item() == pytest.approx(60.0)


def test_an_answer_on_the_server_takes_half_the_round_trip_for_all(tmp_path):
    rows = timed(points(read([cells(tmp_path)])), answer="server")
    link = Link(mbps=2.0, rtt=10.0)
    assert latency_ms(of(rows, 1000), link).item() == pytest.approx(8 + 5 + 4)
    assert latency_ms(of(rows, 2), link).item() == pytest.approx(60 + 1 + 0.5 + 2.5 + 5 + 0.008)


def test_a_profile_computes_times_from_macs_and_scales_coding(tmp_path):
    learned = PLACES | {"macs_encoder": 1e8, "macs_decoder": 5e8}
    rows = [samples.point(1000, 75, **TIMES, **learned, method="bottleneck", knob="lmbda", value=1)]
    profile = Profile.model_validate(
        {"name": "p", "device": {"macs_per_second": 1e10, "coding": 3.0}, "server": {"macs_per_second": 1e11}}
    )
    row = timed(points(read([samples.save(tmp_path / "cells.csv", rows)])), profile).iloc[0]
    assert row["head_ms"] == pytest.approx(200.0)
    assert row["tail_ms"] == pytest.approx(10.0)
    # Measured: 4 ms per 2 GMAC, so 0.2 of the encoder's 1 ms were its MACs; 0.8 ms are coding, three times as slow.
    assert row["encode_ms"] == pytest.approx(10.0 + 3 * 0.8)
    # The decoder's MACs alone would have taken longer than was measured: nothing is left for coding.
    assert row["decode_ms"] == pytest.approx(5.0)
    assert row["fixed_ms"] == pytest.approx(200 + 12.4 + 5 + 10)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("name: x", "device: field required"),
        ("name: x\ndevice: {macs_per_second: 0}\nserver: {macs_per_second: 1}", "device.macs_per_second"),
        ("name: x\ndevice: {macs: 1}\nserver: {macs_per_second: 1}", "device.macs_per_second: field required"),
        ("- a", "is no profile"),
        ("a: [", "cannot read the profile"),
    ],
)
def test_a_profile_that_is_none_is_a_sentence(tmp_path, content, wrong):
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(UserError, match=wrong):
        read_profile(tmp_path / "p.yaml")


def test_profiles_that_ship_are_found_and_read(tmp_path):
    for name in PROFILES.names():
        assert read_profile(PROFILES.get(name)).device.macs_per_second > 0
    (tmp_path / "own.yaml").write_text("name: x\ndevice: {macs_per_second: 1e9}\nserver: {macs_per_second: 2.0e+9}")
    assert read_profile(PROFILES.get(str(tmp_path / "own.yaml"))).device.macs_per_second == 1e9
    with pytest.raises(UserError, match=r"unknown device profile 'slow-devise'.*did you mean slow-device"):
        PROFILES.get("slow-devise")


lines = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 30), st.sampled_from([0.0, 1.0]), st.integers(0, 4)),
    min_size=1,
    max_size=8,
)


def plane(drawn: list[tuple[int, int, float, int]]) -> pd.DataFrame:
    fixed, size, trips, drop = zip(*drawn, strict=True)
    return pd.DataFrame({"fixed_ms": fixed, "sent_bytes": size, "trips": trips, "drop": drop}).astype(float)


def the_least(rows: pd.DataFrame, link: Link) -> tuple[float, ...]:
    """What brute force finds: bytes, drop and latency of the winner among those within 1 % of the least latency."""
    result = list(zip(rows["sent_bytes"], rows["drop"], latency_ms(rows, link), strict=True))
    least = min(latency for *_, latency in result)
    return min(item for item in result if item[2] <= 1.01 * least)


@given(lines, st.sampled_from([0.0, 5.0, 20.0]))
def test_winners_are_those_of_brute_force(drawn, rtt):
    rows = plane(drawn)
    result = regions(rows, rtt)
    assert (result[0].slowest, result[-1].fastest) == pytest.approx((SPEEDS[0], SPEEDS[-1]))
    assert all(item.fastest == other.slowest and item.row != other.row for item, other in itertools.pairwise(result))
    for region in result:
        item = rows.iloc[[region.row]]
        for mbps in np.geomspace(region.slowest, region.fastest, 7)[1:-1]:
            link = Link(float(mbps), rtt)
            won = (item["sent_bytes"].item(), item["drop"].item(), latency_ms(item, link).item())
            assert won == pytest.approx(the_least(rows, link), rel=1e-9)


@given(lines)
def test_the_map_is_tiled_without_gaps_by_the_winners(drawn):
    rows, top = plane(drawn), 3.0
    tiles = areas(rows, 5.0, top)
    first = max(0.0, rows["drop"].min())
    whole = (top - first) * (np.log10(SPEEDS[-1]) - np.log10(SPEEDS[0])) if first < top else 0.0
    assert sum((t.right - t.left) * (t.high - t.low) for t in tiles) == pytest.approx(whole)
    for tile in tiles:
        fit = rows[rows["drop"] <= (tile.low + tile.high) / 2]
        link = Link(float(10 ** ((tile.left + tile.right) / 2)), 5.0)
        assert latency_ms(fit, link)[tile.row] == pytest.approx(the_least(fit, link)[2], rel=1e-9)
    if len({tile.row for tile in tiles}) < 2:
        assert borders(tiles) == []


def test_speeds_at_which_winners_take_turns_are_exact(tmp_path):
    result = answer(read([cells(tmp_path)]), Question(drops=(2.0,), rtts=(20.0,)))
    table = result.regions
    assert table["method"].tolist() == ["label-only", "quantize-rle", "quantize-rle"]
    # 60 = 1.01 (28 + 8 / x), and then 28 + 8 / x = 1.01 (27.4 + 40 / x): what sends less wins until it is 1 % slower.
    turns = [8 / (60 / 1.01 - 28), (1.01 * 40 - 8) / (28 - 1.01 * 27.4)]
    assert table["mbps_to"].tolist() == pytest.approx([*turns, SPEEDS[-1]])
    assert table["latency_ms_from"].tolist() == pytest.approx([60.0, 60 / 1.01, 27.4 + 40 / turns[1]])
    assert table["value"].tolist() == ["1", "2", "4"]


def test_a_difference_that_is_noise_wins_nothing(tmp_path):
    label = {"split": "output", "method": "label-only", "knob": "k", "macs_head": 3e9} | TIMES
    rows = [samples.point(2, 76, value=1, **label), samples.point(15, 76, value=5, **(label | {"encode_ms": 0.997}))]
    frame = read([samples.save(tmp_path / "cells.csv", rows)])
    result = answer(frame, Question(answer="server"))
    assert result.regions["value"].tolist() == ["1"]
    assert set(result.by_speed["value"]) == {"1"}
    assert "within 1 % of the least count as equal" in result.notes[-1]
    rows[1] = samples.point(15, 76, value=5, **(label | {"encode_ms": 0.5}))
    frame = read([samples.save(tmp_path / "slower" / "cells.csv", rows)])
    assert answer(frame, Question(answer="server")).regions["value"].tolist() == ["1", "5"]


def test_the_table_over_speeds_has_the_least_and_the_next_method(tmp_path):
    result = answer(read([cells(tmp_path)]), Question(drops=(0.1, 2.0), rtts=(0.0,)))
    table = result.by_speed.set_index(["tolerated_drop", "mbps"])
    assert len(table) == 2 * len(SPEEDS)
    assert set(table.loc[0.1, "method"]) == {"label-only"}
    row = table.loc[(2.0, 10.0)]
    assert (row["method"], row["value"], row["next_method"]) == ("quantize-rle", "2", "image")
    parts = row[["head_ms", "encode_ms", "send_ms", "decode_ms", "tail_ms"]].sum()
    assert row["latency_ms"] == pytest.approx(parts) == pytest.approx(8.8)
    assert row["next_latency_ms"] == pytest.approx(8.5 + 16.0)


def test_without_the_device_the_rest_compete(tmp_path):
    result = answer(read([cells(tmp_path)]), Question(drops=(0.1,), offload=True))
    assert result.regions.empty
    assert "left out" in result.notes[0]
    result = answer(read([cells(tmp_path)]), Question(drops=(0.3,), offload=True))
    assert set(result.regions["method"]) == {"quantize-rle"}


def test_rate_points_without_times_are_left_out_or_refused(tmp_path):
    rows = samples.curve([1000, 2000], [74.0, 75.0])
    with pytest.raises(UserError, match="the columns head_ms, encode_ms, decode_ms and tail_ms are empty"):
        answer(read([samples.save(tmp_path / "bare" / "cells.csv", rows)]), Question())
    mixed = [*rows, samples.point(3000, 75.5, **TIMES, **PLACES, method="b", knob="bits", value=3)]
    result = answer(read([samples.save(tmp_path / "mixed" / "cells.csv", mixed)]), Question())
    assert result.regions["method"].tolist() == ["b"]
    assert result.notes[1].startswith("2 rate points are left out")


def test_for_a_speed_that_is_asked_for_the_best_of_every_split_is_reported(tmp_path, capsys):
    run = cells(tmp_path)
    assert splitbench("what-if", run, "--mbps", 10, "--mbps", 1000, "--rtt", 0, "--drop", 2) == 0
    printed = capsys.readouterr().out
    assert "The best of every split at 10 Mbit/s, drop ≤ 2, round trip 0 ms" in printed
    assert "all speeds from 0.1 to 1000 Mbit/s are looked at, and no others" in printed
    folder = run.parent / "what-if"
    table = pd.read_csv(folder / "by-split.csv")
    for mbps, here in table.groupby("mbps"):
        assert here["latency_ms"].is_monotonic_increasing and here["split"].is_unique
        # Each split's is what the question without the others would come to.
        for _, row in here.iterrows():
            own = read([run])
            own = own[own["split"] == row["split"]]
            alone = answer(own, Question(drops=(2.0,), rtts=(0.0,), mbps=(mbps,))).by_speed.set_index("mbps").loc[mbps]
            assert alone["latency_ms"] == pytest.approx(row["latency_ms"])
    assert set(table["mbps"]) == {10, 1000} and set(table["split"]) == {"input", "output", "layer2"}
    speeds = pd.read_csv(folder / "by-speed.csv")["mbps"]
    assert speeds.max() == 1000 and speeds.is_monotonic_increasing
    assert pd.read_csv(folder / "regions.csv")["mbps_to"].max() == pytest.approx(1000)
    for kind in ("md", "tex"):
        written = (folder / f"what-if.{kind}").read_text(encoding="utf-8")
        assert "the best of every split at 1000 Mbit/s" in written.replace(r"\ ", " ")
    # Without being asked for, it is not written, nor left from before.
    assert splitbench("what-if", run) == 0
    assert "best of every split" not in capsys.readouterr().out and not (folder / "by-split.csv").exists()


@pytest.mark.parametrize("given", [("--mbps", "inf"), ("--rtt", "inf"), ("--drop", "nan")])
def test_what_is_no_number_is_no_question(tmp_path, given, capsys):
    assert splitbench("what-if", cells(tmp_path), *given) == 2
    assert f"error: {given[0]} takes a number, and not {given[1]}" in capsys.readouterr().err


def test_what_if_writes_tables_and_the_same_figures_each_time(tmp_path):
    question = Question(drops=(0.5, 2.0), rtts=(5.0, 50.0))
    item, other = (what_if([cells(tmp_path)], question, tmp_path / name) for name in ("a", "b"))
    assert {path.name for path in item.files} == {
        *("what-if.txt", "what-if.md", "what-if.tex", "regions.csv", "by-speed.csv"),
        "regions-without-device.csv",
        *(
            f"{kind}_val_torchvision--resnet50.{end}"
            for kind in ("latency-link", "least-latency")
            for end in ("svg", "png")
        ),
    }
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(item.files, other.files, strict=True))
    assert "all on the device" in item.text
    assert len(pd.read_csv(tmp_path / "a" / "by-speed.csv")) == 4 * len(SPEEDS)


def test_what_wins_without_the_device_is_said_too_and_mapped_where_it_always_wins(tmp_path):
    rows = [
        samples.point(1_000, 75.5, **TIMES, **PLACES, method="b", knob="bits", value=1),
        samples.point(2, 76.0, **TIMES, split="output", method="label-only", knob="k", value=1, macs_head=3e9),
    ]
    file = samples.save(tmp_path / "cells.csv", rows)
    result = what_if([file], Question(), tmp_path / "out")
    first, second = result.text.split(WITHOUT_DEVICE)
    assert "label-only k=1" in first and "b bits=1" not in first
    assert "b bits=1" in second and "label-only" not in second
    (row,) = pd.read_csv(tmp_path / "out" / "regions-without-device.csv").to_dict("records")
    assert (row["method"], row["mbps_from"], row["mbps_to"]) == ("b", pytest.approx(0.1), pytest.approx(100))
    drawn = (tmp_path / "out" / "least-latency_val_torchvision--resnet50.svg").read_bytes()
    what_if([file], Question(offload=True), tmp_path / "out")
    assert not (tmp_path / "out" / "regions-without-device.csv").exists()
    assert (tmp_path / "out" / "least-latency_val_torchvision--resnet50.svg").read_bytes() == drawn


def test_where_nothing_loses_so_little_the_text_says_so_and_the_map_is_drawn(tmp_path):
    printed: list[str] = []
    rows = [samples.point(1000, 60, **TIMES, **PLACES, method="b", knob="bits", value=1)]
    file = samples.save(tmp_path / "cells.csv", rows)
    result = what_if([file], Question(), tmp_path / "out", report=printed.append)
    assert "no rate point loses so little" in result.text
    assert printed == ["no figure of latency for torchvision/resnet50 on val: no rate point loses so little"]
    assert (tmp_path / "out" / "least-latency_val_torchvision--resnet50.svg").stat().st_size > 1000


def test_the_answer_to_another_question_takes_the_place_of_the_first_ones_figures(tmp_path):
    times = {"head_ms": 4.0, "encode_ms": 1.0, "decode_ms": 0.5, "tail_ms": 2.5}
    rows = [samples.point(1000, 60, **times, split="layer2", method="b", knob="bits", value=1)]
    samples.save(tmp_path / "cells.csv", rows)
    drawn = tmp_path / "what-if"
    for drop, kinds in ((50, {"latency-link", "least-latency"}), (1, {"least-latency"})):
        assert splitbench("what-if", tmp_path, "--drop", drop) == 0
        assert {path.name.partition("_")[0] for path in drawn.glob("*.[ps][nv]g")} == kinds
    (drawn / "latency.png").touch()  # somebody's own
    assert splitbench("what-if", tmp_path) == 0 and (drawn / "latency.png").exists()
