"""The report is one whole HTML file that needs nothing else, and says what the tables say."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from splitbench.bench.analysis.compare import examine
from splitbench.bench.analysis.compare.curves.interpolation import bytes_at_drops
from splitbench.bench.analysis.compare.summary import summary
from splitbench.bench.analysis.figures import draw_all
from splitbench.bench.analysis.report import write_report
from splitbench.bench.analysis.report.contents import environment, runs_table
from splitbench.bench.analysis.report.elements import make_table
from splitbench.bench.analysis.report.sentences import sentences, too_few_images
from splitbench.bench.results.table import read
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples

ONE = {"layer2": samples.RESNET50["layer2"]}
VOID = {"meta", "link", "img", "input"}


class ReportPage(HTMLParser):
    """Checks that tags close in order, and collects what is referred to, tables' rows and all text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.rows = 0
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.references += [given[name] for name in ("src", "href") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        self.rows += tag == "tr"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def written(tmp_path: Path, rows: list[samples.Row], figures: list[Path] | None = None) -> tuple[str, ReportPage]:
    file = samples.save(tmp_path / "run" / "cells.csv", rows)
    content = write_report(examine([file]), tmp_path / "report.html", figures).read_text(encoding="utf-8")
    return content, ReportPage(content)


def run(**given: object) -> list[samples.Row]:
    return samples.run(splits=ONE, variants=samples.VARIANTS[:2], bits=(2, 4, 8), **given)


def test_the_report_is_whole_and_needs_nothing_else(tmp_path):
    content, page = written(tmp_path, run())
    assert page.open == []
    inside = {f"#{name}" for name in page.ids}
    assert all(item.startswith(("data:image/", "data:,")) or item in inside for item in page.references)
    assert "http" not in "".join(item for item in page.references if not item.startswith("data:"))
    assert sum(item.startswith("data:image/") for item in page.references) == 4
    assert "default-src 'none'" in content
    assert len(content) < 2_000_000


def test_the_report_has_all_parts_and_the_tables_rows(tmp_path):
    failed = samples.row(method="b", split="layer2", knob="bits", value=1, status="failed", reason="out of memory")
    rows = [*run(versions="torch=2.9", commit="abc123"), failed]
    _, page = written(tmp_path, rows)
    for words in (
        *("In short", "Best method per question", "Figures", "Tables", "All rate points", "Failed cells", "Notes"),
        *("torch=2.9", "abc123", "out of memory", "no latencies over links", "no paired tests"),
    ):
        assert words in page.text
    assert page.rows > len(rows)


def test_times_bring_the_part_on_links(tmp_path):
    times = {"head_ms": 1.0, "encode_ms": 1.0, "decode_ms": 1.0, "tail_ms": 1.0}
    _, page = written(tmp_path, [row | times for row in run()])
    assert "Least latency from image to answer" in page.text
    assert "The same without running everything on the device" in page.text


def test_figures_that_lie_there_are_taken(tmp_path):
    file = samples.save(tmp_path / "run" / "cells.csv", run())
    figures = draw_all(read([file]), tmp_path / "figures")
    _, page = written(tmp_path, run(), figures[:2])
    assert sum(item.startswith("data:image/") for item in page.references) == 1


def test_names_cannot_break_out_of_the_page(tmp_path):
    evil = "</td><script>alert(1)</script>"
    content, page = written(tmp_path, samples.curve([1000, 2000], [74.0, 75.5], variant=evil))
    assert evil not in content
    assert "alert(1)" in page.text


def test_sentences_give_the_numbers_of_the_tables(tmp_path):
    rows = [
        *samples.curve([1000, 2000, 4000], [70.0, 75.0, 76.0], wide=0.2, method="good"),
        *samples.curve([2000, 4000, 8000], [70.0, 75.0, 76.0], wide=0.2, method="poor"),
    ]
    frame = read([samples.save(tmp_path / "cells.csv", rows)])
    (line,) = sentences(frame, bytes_at_drops(frame), summary(frame))["torchvision/resnet50 on val"]
    assert line.startswith("At layer2, good needs fewest bytes at a drop of 1 point: 2,000 [")
    assert "; next is poor with 4,000 [" in line and "], 2.0 times the bytes; their intervals" in line
    assert line.endswith("their intervals do not overlap.")
    assert too_few_images(frame) == []


def test_sentences_say_bounds_as_such(tmp_path):
    few = samples.curve([30, 200], [75.2, 76.0], method="few")
    poor = samples.curve([100, 400], [74.9, 75.9], method="poor")
    rows = [row | {"drop_low": row["drop"] - 0.5, "drop_high": row["drop"] + 0.05} for row in [*few, *poor]]
    frame = read([samples.save(tmp_path / "cells.csv", rows)])
    (line,) = sentences(frame, bytes_at_drops(frame), summary(frame))["torchvision/resnet50 on val"]
    assert ": at most 30 [≤ 30]; next is poor with 115 [≤ 100 to 123], at least 3.8 times the bytes; their in" in line


def test_an_image_that_is_best_at_every_split_has_one_sentence(tmp_path):
    rows = samples.curve([1000], [75.5], method="image", split="input")
    rows += [row for split in ("layer1", "layer2") for row in samples.curve([2000], [75.5], split=split)]
    frame = read([samples.save(tmp_path / "cells.csv", rows)])
    (line,) = sentences(frame, bytes_at_drops(frame), summary(frame))["torchvision/resnet50 on val"]
    assert line.startswith("At every split, image (which sends the picture) needs fewest bytes")
    assert "next is a after layer1 with at most 2,000" in line


def test_too_few_images_and_nothing_reached_are_reported(tmp_path):
    frame = read([samples.save(tmp_path / "cells.csv", samples.curve([1000, 2000], [60.0, 65.0], images=50))])
    (warning,) = too_few_images(frame)
    assert "over 50 images an accuracy is known to ± 13." in warning
    (line,) = sentences(frame, bytes_at_drops(frame), summary(frame))["torchvision/resnet50 on val"]
    assert line == "At layer2, nothing measured stays within a drop of 1 point."


def table(frame: pd.DataFrame, title: str) -> str:
    template = environment().from_string('{% from "macros.html.j2" import table %}{{ table(content) }}')
    return template.render(content=make_table(frame, title))


def test_tables_sort_by_full_numbers_and_long_ones_can_be_filtered():
    short = table(pd.DataFrame({"name": ["a", "b"], "bytes": [1234567.25, float("nan")]}), "sizes")
    assert 'data-n="1234567">1,234,567</td>' in short
    assert '<td class="right"></td>' in short
    assert "(2 rows)" in short
    assert "filter" not in short
    assert 'class="filter"' in table(pd.DataFrame({"name": list("abcdefgh")}), "letters")


def test_long_names_wrap_so_that_the_last_columns_stay_in_sight():
    name = "retrained channels=32 stride=1 distortion=distill"
    content = table(pd.DataFrame({"best": [name, "image format=webp"], "clear": ["yes", "no"]}), "best")
    assert f'<td class="long">{name}</td><td>yes</td>' in content
    assert "<td>image format=webp</td>" in content


def test_provenance_names_all_circumstances(tmp_path):
    rows = run(device="cpu", commit="abc")
    rows[0] |= {"commit": "def", "date": "2026-11-20T01:02:03Z"}
    (row,) = runs_table(read([samples.save(tmp_path / "cells.csv", rows)])).to_dict("records")
    assert (row["commit"], row["device"], row["cells"], row["images"]) == ("abc, def", "cpu", len(rows), "650")
    assert (row["from (UTC)"], row["to (UTC)"]) == ("2026-11-20T01:02", "2026-11-21T05:00")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    file = samples.save(tmp_path / "run" / "cells.csv", samples.curve([1000, 2000], [74.0, 75.0]))
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        write_report(examine([file]), tmp_path / "taken" / "report.html", [])


def test_the_report_says_what_are_means_over_seeds(tmp_path):
    rows = [row for s in (0, 1) for row in samples.curve([1000, 2000], [70.0 + s, 75.0], seed=s)]
    _, page = written(tmp_path, rows)
    assert page.text.count("means over 2 seeds") >= 3  # under the title, in the remarks, and in tables' captions
    assert "say nothing about other seeds" in page.text
    _, page = written(tmp_path / "one", rows[:2])
    assert "seeds" not in page.text
