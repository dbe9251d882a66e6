"""The notebooks in docs/ run from top to bottom, and come to what their text says."""

import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
_CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)


def cells(notebook: Path) -> list[str]:
    """The code of a notebook in jupytext's percent format, cell by cell."""
    _, *parts = _CELL.split(notebook.read_text(encoding="utf-8"))
    return [text for kind, text in zip(parts[::2], parts[1::2], strict=True) if kind.strip() != "[markdown]"]


@pytest.fixture
def executed(request, monkeypatch) -> dict[str, Any]:
    """What a notebook leaves behind when its cells have run, in its folder and without a screen."""
    notebook = ROOT / "docs" / "notebooks" / f"{request.param}.py"
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(notebook.parent)
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, text in enumerate(cells(notebook), 1):
        exec(compile(text, f"{notebook.name}, cell {number}", "exec"), names)  # noqa: S102 - our own page
    return names


def test_each_has_a_test():
    assert [path.stem for path in NOTEBOOKS] == ["add-a-method", "cut-and-measure", "results"]


@pytest.mark.parametrize("executed", ["cut-and-measure"], indirect=True)
def test_a_model_is_cut_and_codecs_measured(executed):
    table = executed["table"]
    assert table["baseline"].min() > 90  # the network has learned
    assert "5" in executed["points"].index
    for _, rows in table.groupby("method"):
        assert rows["bytes_mean"].is_monotonic_increasing
    rle, context = (table[table["method"] == name] for name in ("quantize-rle", "quantize-context"))
    assert rle["accuracy"].tolist() == context["accuracy"].tolist()  # the same levels
    assert (rle["storage_device_bytes"].to_numpy() < context["storage_device_bytes"].to_numpy()).all()  # but for tables


@pytest.mark.parametrize("executed", ["add-a-method"], indirect=True)
def test_a_method_is_added_and_compared(executed):
    table = executed["table"]
    assert len(executed["checked"]) > 0 and not executed["checked"]["fault"].any()
    assert set(table["status"]) == {"ok"}
    mine = table[(table["method"] == "largest") & (table["split"] == "layer3")]
    elements = 8 * mine["bytes_mean"] / mine["bits_per_element"]
    # A magnitude, a bit per place, a bit per value that is kept.
    expected = 4 + (elements * (1 + mine["value"].astype(float)) / 8)
    assert (mine["bytes_mean"] - expected).abs().max() <= 1


@pytest.mark.parametrize("executed", ["results"], indirect=True)
def test_a_figure_and_a_latex_table_are_made(executed):
    assert (executed["out"] / "drop.pdf").read_bytes().startswith(b"%PDF")
    latex = executed["latex"]
    assert r"\toprule" in latex and "retrained" in latex
    best = executed["best"].set_index("method")["bytes"]
    assert f"retrained & {best['retrained']:,.0f}" in latex
