"""The report is one whole HTML file that needs nothing else, and says what the tables say."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from splitbench.bench.analysis.compare import examine
from splitbench.bench.analysis.compare.summary import summary
from splitbench.bench.analysis.figures import draw_all
from splitbench.bench.analysis.report import write_report
from splitbench.bench.analysis.report.answers import FewestBytes, answers
from splitbench.bench.analysis.report.contents import environment, runs_table
from splitbench.bench.analysis.report.elements import make_table
from splitbench.bench.analysis.report.too_few_images import too_few_images
from splitbench.bench.results.table import read
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples

ONE = {"layer2": samples.RESNET50["layer2"]}
VOID = {"meta", "link", "img", "input", "br", "source"}


class ReportPage(HTMLParser):
    """Checks that tags close in order, and collects what is referred to, tables' rows and all text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[str] = []
        self.rows = 0
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.attributes += given
        self.references += [given[name] for name in ("src", "srcset", "href") if name in given]
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
    assert sum(item.startswith("data:image/") for item in page.references) == 4 + 2  # of several panels, two for phones
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


def answered(tmp_path: Path, rows: list[samples.Row]) -> dict[str, list[FewestBytes | None]]:
    """The answers of the only backbone by split, for drops of at most 0.5, 1 and 2 points."""
    frame = read([samples.save(tmp_path / "cells.csv", rows)])
    (place,) = answers(frame, summary(frame))
    assert place.title == "torchvision/resnet50 on val: 650 images, 76.00 % uncompressed"
    return {row.split: row.answers for row in place.splits}


def test_answers_give_the_numbers_of_the_tables(tmp_path):
    rows = [
        *samples.curve([1000, 2000, 4000], [70.0, 75.0, 76.0], wide=0.2, method="good"),
        *samples.curve([2000, 4000, 8000], [70.0, 75.0, 76.0], wide=0.2, method="poor"),
    ]
    (_, one, _) = answered(tmp_path, rows)["after layer2"]
    assert (one.best, one.size[:14], one.rest) == ("good", "2,000 bytes [1", "next: poor needs 2.0 times the bytes")
    assert (one.sure, one.verdict) == ("yes", "clear: their intervals do not overlap")
    assert too_few_images(read([tmp_path / "cells.csv"])) == []


def test_answers_say_bounds_as_such(tmp_path):
    few = samples.curve([30, 200], [75.2, 76.0], method="few")
    poor = samples.curve([100, 400], [74.9, 75.9], method="poor")
    rows = [row | {"drop_low": row["drop"] - 0.5, "drop_high": row["drop"] + 0.05} for row in [*few, *poor]]
    (_, one, _) = answered(tmp_path, rows)["after layer2"]
    assert (one.best, one.size) == ("few", "≤ 30 bytes [≤ 30]")
    assert (one.rest, one.sure) == ("next: poor needs ≥ 3.8 times the bytes", "no")


def test_an_image_that_is_best_at_every_split_has_one_row(tmp_path):
    rows = samples.curve([1000], [75.5], method="image", split="input")
    rows += [row for split in ("layer1", "layer2") for row in samples.curve([2000], [75.5], split=split)]
    by_split = answered(tmp_path, rows)
    assert list(by_split) == ["every split"]
    assert by_split["every split"][1].best == "image"
    assert by_split["every split"][1].rest == "next: a after layer1"


def test_a_split_whose_answer_stands_in_the_row_for_all_says_so(tmp_path):
    rows = samples.curve([1000, 4000], [74.5, 75.9], method="image", split="input")
    for split, good in (("layer1", 75.9), ("layer2", 74.9)):
        rows += samples.curve([800, 6000], [74.9, good], split=split)
    by_split = answered(tmp_path, rows)
    assert None in [answer for given in by_split.values() for answer in given]
    _, page = written(tmp_path, rows)
    assert "see the split's other row" in page.text


def test_too_few_images_and_nothing_reached_are_reported(tmp_path):
    frame = read([samples.save(tmp_path / "cells.csv", samples.curve([1000, 2000], [60.0, 65.0], images=50))])
    (warning,) = too_few_images(frame)
    assert "over the 50 images of val an accuracy is known to ± 13." in warning
    (place,) = answers(frame, summary(frame))
    (row,) = place.splits
    assert [(given.best, given.rest) for given in row.answers] == [("none", "nothing measured loses so little")] * 3


def test_the_first_screen_answers_and_the_best_methods_need_no_scrolling_sideways(tmp_path):
    content, _ = written(tmp_path, run())
    start = content.index('<table class="answers')
    assert start < content.index('id="part2"')
    assert content.index("needs", start) < content.index('id="part2"')
    best = content[content.index('id="part2"') : content.index('id="part3"')]
    heads = best[best.index("<thead>") : best.index("</thead>")]
    assert heads.count("<th ") == 7
    assert "clear" in heads
    assert 'data-head="answer"' in best


def test_figures_of_several_panels_have_narrow_ones_for_phones(tmp_path):
    _, page = written(tmp_path / "one", run())
    assert page.attributes.count("srcset") == 2  # drops and accuracies have one panel
    content, page = written(tmp_path / "two", samples.run(variants=samples.VARIANTS[:2], bits=(2, 4, 8)))
    assert page.attributes.count("srcset") == 4
    assert 'media="(max-width: 40rem)" srcset="data:image/' in content


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
