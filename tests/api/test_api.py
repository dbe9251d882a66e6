"""The Python API: what a notebook imports, against what a run of the command line stores."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import splitbench
from splitbench.bench.backbones import registry
from splitbench.bench.utils.errors import UserError
from splitbench.datasets import synthetic
from splitbench.methods import raw
from splitbench.methods.base import BitstreamError, MethodError
from tests.helpers.command_line import splitbench as command

IMAGES = 24


def test_importing_loads_nothing_heavy_and_all_names_are_there():
    code = (
        "import sys, splitbench; "
        "heavy = {'torch', 'pandas', 'matplotlib', 'timm', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert all(getattr(splitbench, name) for name in splitbench.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
    assert set(dir(splitbench)) == set(splitbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        splitbench.nothing  # noqa: B018


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    sweep = {
        "datasets": [{"name": "synthetic", "limit": IMAGES}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer2", "layer3"]}],
        "methods": [{"name": "quantize-rle", "bits": [1, 2, 3]}, {"name": "raw"}],
        "batch": 8,
    }
    return splitbench.run(sweep, tmp_path_factory.mktemp("api"))


def test_a_sweep_is_run_read_compared_drawn_and_reported(table, tmp_path):
    assert len(table) == 10 and set(table["status"]) == {"ok"}
    again = splitbench.results(table["source"].iloc[0])
    pd.testing.assert_frame_equal(again, table)
    tables = splitbench.compare(table)
    assert set(tables["summary"]["at_split"]) == {"layer2", "layer3"}
    item = splitbench.compare(table[table["split"] == "layer3"])  # some rows of a table are a table
    assert set(item["summary"]["at_split"]) == {"layer3"}
    figure = splitbench.plot(table, "rate-accuracy", backbone="splitbench/small_resnet")
    assert len(figure.axes) == 2
    figure.savefig(tmp_path / "figure.png")
    file = splitbench.report(table, tmp_path / "report.html")
    assert "quantize-rle" in file.read_text(encoding="utf-8")


def test_what_measure_says_is_what_the_run_stored(table):
    """The same images through the same network: every number that both know is equal."""
    backbone = registry.build("splitbench/small_resnet", {}, "default", {})
    images = synthetic.DATASET.load(synthetic.Options(limit=IMAGES), "evaluation")
    pixels = torch.stack([backbone.pixels(images.image(index)) for index in range(IMAGES)])
    labels = torch.tensor([images.target(index) for index in range(IMAGES)])
    loader = list(zip(pixels.split(8), labels.split(8), strict=True))
    row = splitbench.measure(backbone.whole(), "1.layer3", splitbench.method("quantize-rle", bits=2), loader)
    stored = table[(table["split"] == "layer3") & (table["method"] == "quantize-rle") & (table["value"] == "2")].iloc[0]
    same = ["images", "cut", "bytes_mean", "bytes_p50", "bytes_max", "payload_bytes", "side_bytes", "framing_bytes"]
    same += ["bits_per_element", "ratio", "accuracy", "accuracy_low", "drop", "drop_low", "baseline", "top5"]
    same += ["macs_encoder", "macs_decoder", "macs_tail", "bits_per_pixel"]
    for name in same:
        assert row[name] == pytest.approx(stored[name]), name
    assert all(row[name] > 0 for name in ("head_ms", "encode_ms", "decode_ms", "tail_ms"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 5)).eval()


def test_a_codec_codes_what_crosses_and_takes_bytes_or_bitstreams():
    model, x = network(), torch.rand(3, 3, 16, 16)
    parts = splitbench.split(model, "1", x)
    codec = splitbench.method("quantize-entropy", bits=8).deploy(parts, [torch.rand(4, 3, 16, 16)])
    with torch.no_grad():
        cut = parts.head(x)
    streams = codec.encode(cut)
    assert len(streams) == 3
    (decoded,) = codec.decode(streams)
    (again,) = codec.decode([stream.data for stream in streams])
    assert torch.equal(decoded, again)
    step = float(cut[0].max()) / 255
    assert float((decoded - cut[0]).abs().max()) <= 2 * step
    assert torch.equal(codec(x), parts.tail(decoded).detach())
    with pytest.raises(BitstreamError):
        codec.decode([stream.data + b"\0" for stream in streams])


def test_a_sweep_is_validated_without_being_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = {
        "datasets": [{"name": "synthetic", "limit": 8}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer3"]}],
        "methods": [{"name": "quantize-rle", "bits": [1, 2]}],
    }
    lines = splitbench.validate(sweep)
    assert lines[0] == "synthetic splitbench/small_resnet: 8 images, 2 cells" and "bits=2" in lines[2]
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="layer33"):
        splitbench.validate(sweep | {"backbones": [{"name": "splitbench/small_resnet", "splits": ["layer33"]}]})


def test_a_what_if_is_that_of_the_command_line(table, capsys, tmp_path):
    words = ("--drop", "100", "--rtt", "5", "--mbps", "3", "--out", tmp_path)
    assert command("what-if", Path(table["source"].iloc[0]).parent, *words) == 0
    for name, mbps in (("regions", ()), ("by-split", (3.0,))):
        here = splitbench.what_if(table, drops=[100], rtts=[5], mbps=mbps)
        there = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, dtype=str)
        assert len(here) == len(there) > 0 and set(there) == set(splitbench.columns(name)["name"])
        assert here["method"].tolist() == there["method"].tolist()
        assert here["value"].astype(str).tolist() == there["value"].tolist()


def test_methods_and_datasets_say_their_options():
    bits = splitbench.options("quantize-rle").set_index("name").loc["bits"]
    assert bits["type"] == "number at least 1 and at most 8" and bits["default"] == "no default"
    assert "limit" in set(splitbench.options("coco")["name"])
    with pytest.raises(UserError, match="quantize-rel"):
        splitbench.options("quantize-rel")


def test_a_method_is_held_to_the_rules(tmp_path, monkeypatch):
    assert not splitbench.check_method("raw")["fault"].any()
    monkeypatch.chdir(tmp_path)
    source = (Path(raw.__file__).read_text()).replace("version: ClassVar[int] = 1", "version: ClassVar[int] = 0")
    (tmp_path / "wrong.py").write_text(source)
    (fault,) = splitbench.check_method("wrong:METHOD")["fault"]
    assert fault == "wrong.py: `version` must be 1 or more"


def test_columns_are_those_that_are_written(table):
    described = splitbench.columns()
    assert set(table) <= {*described["name"], "source"}
    assert set(splitbench.compare(table)["bd"]) == set(splitbench.columns("bd")["name"])
    with pytest.raises(UserError, match="did you mean bytes-at-drop"):
        splitbench.columns("bytes-at-drip")


def test_a_notebook_shows_figures():
    """IPython, which Jupyter is made of, draws a figure only where somebody has said how."""
    shells = pytest.importorskip("IPython.core.interactiveshell", reason="IPython is not installed: make docs does")
    shell = shells.InteractiveShell.instance()
    try:
        reference = Path(__file__).parents[2] / "results" / "reference" / "synthetic"
        figure = splitbench.plot(splitbench.results(reference))
        assert shell.display_formatter.format(figure)[0]["image/png"].startswith("iVBORw0KGgo")  # PNG in base64
    finally:
        shells.InteractiveShell.clear_instance()


def test_mistakes_are_said_in_a_sentence(tmp_path, table):
    parts = splitbench.split(network(), "1", torch.rand(1, 3, 16, 16))
    with pytest.raises(UserError, match="quantize-rel"):
        splitbench.method("quantize-rel", bits=3)
    with pytest.raises(UserError, match="bits"):
        splitbench.method("quantize-rle", bits=30)
    with pytest.raises(MethodError, match="calibration"):
        splitbench.method("quantize-entropy", bits=3).deploy(parts)
    with pytest.raises(UserError, match="is trained: name its training images in a sweep"):
        splitbench.method("bottleneck", lmbda=1).deploy(parts)
    with pytest.raises(UserError, match="works at 'input' alone"):
        splitbench.method("image", quality=50).deploy(parts)
    with pytest.raises(UserError, match="gave no batch"):
        splitbench.measure(network(), "1", splitbench.method("quantize-rle", bits=3), [])
    with pytest.raises(UserError, match="say where its results go"):
        splitbench.run({"datasets": []})
    with pytest.raises(UserError, match="the sweep"):
        splitbench.run({"datasets": []}, tmp_path)
    with pytest.raises(UserError, match="overwrite is one of never, failed, all, and not 'some'"):
        splitbench.run({"datasets": []}, tmp_path, overwrite="some")
    for workers in (0, "2", 1.5):
        with pytest.raises(UserError, match="workers is a whole number from 1 on"):
            splitbench.run({"datasets": []}, tmp_path, workers=workers)
    with pytest.raises(UserError, match="no figure 'pie' can be drawn"):
        splitbench.plot(table, "pie")
    with pytest.raises(UserError, match="there is no backbone 'other'"):
        splitbench.plot(table, backbone="other")
    two = pd.concat([table, table.assign(backbone="other")])
    with pytest.raises(UserError, match="one figure shows one backbone, and there are other, splitbench/small_resnet"):
        splitbench.plot(two)


def test_a_models_points_are_a_table():
    result = splitbench.points(network(), torch.rand(1, 3, 16, 16))
    assert result.index.name == "split" and list(result.index) == ["0", "1"]
    assert np.all(np.diff(result["macs_head"]) >= 0)
    assert set(result["macs_head"] + result["macs_tail"]) == {14 * 14 * 8 * 27 + 8 * 14 * 14 * 5}


def test_messages_speak_of_parameters(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = {
        "datasets": [{"name": "synthetic", "limit": 2}],
        "backbones": [{"name": "splitbench/small_resnet", "splits": ["layer2"]}],
        "methods": [{"name": "raw"}],
    }
    for call in (splitbench.validate, lambda sweep, **given: splitbench.run(sweep, tmp_path / "run", **given)):
        with pytest.raises(UserError, match=r"^device cuda:7, but PyTorch sees "):
            call(sweep, device="cuda:7")
        with pytest.raises(UserError, match=f"^data {tmp_path} would not be read"):
            call(sweep, data=tmp_path)
    with pytest.raises(UserError, match=r"^workers 2 on one device"):
        splitbench.run(sweep, tmp_path / "run", workers=2, device="cpu:0")
    (tmp_path / "file").touch()
    other = tmp_path / "other"
    splitbench.run(sweep | {"datasets": [{"name": "synthetic", "limit": 3}]}, other)
    splitbench.run(sweep, tmp_path / "run")
    with pytest.raises(UserError, match="allow_mixed=True puts them side by side"):
        splitbench.results(other, tmp_path / "run")


def test_options_without_a_parameter_are_said_to_be_the_commands():
    from splitbench.tables import in_python

    @in_python
    def run(out: str, allow_mixed: bool = False) -> None:
        raise UserError("choose by --out or --allow-mixed, not by --time-limit; a--b stays")

    with pytest.raises(UserError) as error:
        run("x")
    assert str(error.value) == (
        "choose by out or allow_mixed=True, not by --time-limit (of `splitbench run`); a--b stays"
    )


def test_what_a_plot_is_asked_for_by_a_wrong_name_is_found(table):
    wrong = {"kind": ("rate-dorp", "rate-drop"), "backbone": ("small_resnt", "splitbench/small_resnet")}
    for name, (given, meant) in (wrong | {"dataset": ("synthetik", "synthetic")}).items():
        with pytest.raises(UserError, match=f"no .*'{given}'.*; did you mean {meant}"):
            splitbench.plot(table, **{name: given})
