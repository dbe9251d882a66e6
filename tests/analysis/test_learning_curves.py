"""Figures of learning curves, from their CSVs."""

import pytest
from matplotlib.image import imread

from splitbench.bench import training
from splitbench.bench.analysis.figures import draw_learning, learning_curves
from splitbench.bench.training import Report
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import file_word
from tests.helpers import csv_samples as samples
from tests.helpers.training_samples import fit


def rate_and_accuracy(net, batch):
    measures = training.classify()(net, batch)
    return measures | {"bits_per_pixel": measures["loss"].detach() / 10}


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    path = tmp_path_factory.mktemp("curve") / "curve.csv"
    _, report = fit(step=rate_and_accuracy)
    report.write_csv(path)
    return path


def test_the_figure_has_a_panel_for_each_measure_over_the_same_images(curve):
    figure = learning_curves.make_figure({"one": learning_curves.read(curve), "other": learning_curves.read(curve)})
    panels = figure.axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "rate\n(bits per pixel)", "accuracy (%)"]
    assert all(axes.get_shared_x_axes().joined(axes, panels[0]) for axes in panels)
    for axes in panels:
        assert len(axes.lines) == 4
        assert list(axes.lines[0].get_xdata()) == [256, 512, 768, 1024]
    assert "images" in panels[-1].get_xlabel()
    displayed = [text.get_text() for text in figure.legends[0].get_texts()]
    assert displayed[:3] == ["one", "other", "held-out images"]


def test_many_curves_all_look_different(curve):
    figure = learning_curves.make_figure({str(number): learning_curves.read(curve) for number in range(15)})
    looks = [(line.get_color(), line.get_marker()) for line in figure.axes[0].lines[1::2]]
    assert len(looks) == len(set(looks)) == 15


def test_the_same_csv_gives_the_same_svg(curve, tmp_path):
    first, second = (learning_curves.draw({"run": curve}, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == ["learning-curve.svg", "learning-curve.png"]
    assert first[0].read_bytes() == second[0].read_bytes()
    picture = imread(first[1])
    assert picture.shape[0] > picture.shape[1] > 600
    assert picture[..., :3].std() > 0.05


def test_one_epoch_is_drawn_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "curve.csv"
    Report([{"epoch": 1, "images": 10, "loss": 2.0, "mean_error": 0.5}]).write_csv(path)
    learning_curves.draw({"a run with a very long name that no page of one column has room for": path}, tmp_path)
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize(
    ("text", "what"),
    [("a,b\n1,2\n", "no column images"), ("images,loss\n", "no epoch in it"), ("", "cannot read")],
)
def test_what_is_no_learning_curve_is_reported(tmp_path, text, what):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=what):
        learning_curves.draw({"run": path}, tmp_path)


def test_files_that_are_not_there_or_cannot_be_written_are_reported(curve, tmp_path):
    with pytest.raises(UserError, match="cannot read the learning curve"):
        learning_curves.draw({"run": tmp_path / "nothing.csv"}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        learning_curves.draw({"run": curve}, tmp_path / "file")


def test_learning_curves_are_called_by_the_names_in_the_table(tmp_path):
    rows = samples.curve([1000, 2000], [70.0, 75.0], backbone="mypkg.nets:MyNet", method="tiny-ae", knob="lmbda")
    samples.save(tmp_path / "cells.csv", rows)
    folder = tmp_path / "learning" / "val" / "mypkg.nets-3a-MyNet" / "layer2" / "tiny-ae" / "default"
    folder.mkdir(parents=True)
    (folder / "lmbda=0.1.csv").write_text("epoch,images,loss\n1,10,2.0\n2,20,1.0\n")
    files = draw_learning(tmp_path, tmp_path / "figures")
    assert [file.name for file in files] == [
        f"learning_val_mypkg.nets-3a-MyNet_layer2_tiny-ae.{kind}" for kind in ("svg", "png")
    ]


def test_variants_of_a_method_are_told_apart_in_words(tmp_path, monkeypatch):
    samples.save(tmp_path / "cells.csv", samples.curve([1000, 2000], [70.0, 75.0], method="bottleneck", knob="lmbda"))
    row = samples.curve([1000, 2000], [70.0, 75.0], method="bottleneck", knob="lmbda")[0]
    place = [file_word(str(row[name])) for name in ("dataset", "backbone", "split", "method")]
    for variant in ("default", "stride=2+float16=True"):
        folder = tmp_path.joinpath("learning", *place, variant)
        folder.mkdir(parents=True)
        (folder / "lmbda=0.1.csv").write_text("epoch,images,loss\n1,10,2.0\n2,20,1.0\n")
    titles: list[str] = []

    def draw(curves, out, name, title):
        titles.append(title)
        return []

    monkeypatch.setattr(learning_curves, "draw", draw)
    draw_learning(tmp_path, tmp_path / "figures")
    assert [title.splitlines()[0] for title in titles] == [
        "Learning: bottleneck",
        "Learning: bottleneck, stride 2, float16",
    ]
