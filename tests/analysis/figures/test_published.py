"""Points of other systems beside measured ones."""

import numpy as np
import pandas as pd
import pytest

from splitbench.bench.analysis.figures import pages, published
from splitbench.bench.analysis.figures.style import drawing
from splitbench.bench.results.table import read
from splitbench.bench.utils.errors import UserError
from tests.helpers import csv_samples as samples
from tests.helpers.command_line import splitbench
from tests.helpers.figure_samples import ONE, drawn_from, texts


def test_published_letters_are_drawn_as_letters(tmp_path):
    (figure, *_) = [item for item in drawn_from(tmp_path, samples.run(ONE)) if "Accuracy against bytes" in texts(item)]
    (axes,) = figure.axes
    letters = [line.get_marker() for line in axes.lines if line.get_zorder() == 2.2]
    assert len(letters) >= 3
    # One glyph, about as wide as high: its source between dollar signs is ten times as wide.
    assert all(0.1 < item.get_extents().width / item.get_extents().height < 2 for item in letters)


def test_published_points_are_shipped_with_their_source():
    shipped = published.load()
    assert shipped["source"].str.startswith("digitised from").all()
    assert shipped.groupby("system")["mark"].nunique().eq(1).all()
    assert shipped.drop_duplicates("system")["mark"].is_unique
    assert shipped["bytes"].between(10, 1e5).all()
    assert shipped["accuracy"].between(40, 77).all()


def test_published_points_stand_beside_the_same_network_with_a_like_baseline_only():
    row = {"backbone": "torchvision/resnet50", "task": "classification", "baseline": 76.13}
    assert len(published.beside(pd.DataFrame([row]))) == 44
    for other in ({"baseline": 60.0}, {"backbone": "torchvision/resnet18"}, {"task": "detection"}):
        assert published.beside(pd.DataFrame([row | other])).empty
    assert np.isclose(published.load()["bytes"].min(), 0.0054 * 224 * 224 / 8, atol=1)


OWN_POINTS = """system,mark,task,backbone,split,dataset,baseline,bytes,accuracy,by,source
our units,Z,classification,resnet50,layer2,ImageNet validation,76.1,30000,74.0,"us, 2026",table 3
"""


def test_a_users_published_points_stand_beside_the_bundled_ones_in_figures_and_report(tmp_path, capsys):
    rows = samples.save(tmp_path / "run" / "cells.csv", samples.run(ONE, variants=("",), bits=(2, 4, 8)))
    (tmp_path / "own.csv").write_text(OWN_POINTS)
    frame = read([rows])
    published.add(frame, published.read(tmp_path / "own.csv"))
    with drawing():
        (page,) = [page for page in pages(frame, lambda reason: None) if page.name.startswith("rate-accuracy")]
    names = [text.get_text() for box in page.figure.legends for text in box.get_texts()]
    assert "our units" in names
    assert splitbench("report", rows, "--published", tmp_path / "own.csv", "--out", tmp_path / "r.html") == 0
    content = (tmp_path / "r.html").read_text()
    assert "Published beside torchvision/resnet50 on val" in content and "us, 2026" in content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("baseline,", "base,"), "is no table of published points: it lacks the columns baseline"),
        (("30000", "many"), "bytes holds 'many' where a number above 0 is expected"),
        (("Z,", "ZZ,"), "mark holds 'ZZ' where a single letter is expected"),
    ],
)
def test_a_table_that_holds_no_published_points_is_refused(tmp_path, change, message):
    (tmp_path / "own.csv").write_text(OWN_POINTS.replace(*change))
    with pytest.raises(UserError, match=message):
        published.read(tmp_path / "own.csv")
