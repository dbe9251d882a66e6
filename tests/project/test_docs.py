"""What README and the other pages promise: links that exist, commands that exist, a method that works."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.tools import conformance
from splitbench.methods import Context, MethodError, TensorSpec

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "results/README.md",
    "results/reference/README.md",
    *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_and_nothing_is_left_to_fill_in(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "@@" not in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_sweep_in_the_readme_is_valid():
    (text,) = blocks("yaml")
    Sweep.model_validate(yaml.safe_load(text))


def test_the_sweeps_in_the_tutorial_are_valid():
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    sweeps = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(sweeps) == 2
    for text in sweeps:
        Sweep.model_validate(yaml.safe_load(text))


def test_the_method_in_the_readme_is_held_to_what_every_method_must_do():
    (text,) = blocks("python")
    names: dict[str, Any] = {"__name__": "eight_bit"}
    exec(compile(text, "README.md", "exec"), names)  # noqa: S102 - our own page
    method = names["METHOD"]
    assert list(conformance.faults(method)) == [("", "")]
    cut = (torch.rand(3, 4, 5, 5) * 6, torch.rand(3, 2) * 6)
    specs = tuple(TensorSpec(tuple(x.shape[1:]), x.dtype) for x in cut)
    settings = method.Settings.model_validate({method.knob: method.rates[0]})
    codec = method.deploy(settings, Context(torch.nn.Identity(), torch.nn.Identity(), specs, list)).codec
    streams = codec.encode(cut)
    assert [len(stream.data) for stream in streams] == [102] * 3
    for x, y in zip(codec.decode([stream.data for stream in streams], specs), cut, strict=True):
        assert (x - y).abs().max() < 6 / 255
    with pytest.raises(MethodError, match="no finite number"):
        codec.encode((cut[0], cut[1] * torch.nan))


def test_the_page_on_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(text, "docs/python.md", "exec"), names)  # noqa: S102 - our own page
    assert names["row"]["images"] == 4 and len(names["table"]) == 5
    assert names["scores"].shape == (2, 1000)
    assert {path.name for path in tmp_path.iterdir()} == {"results", "drop.pdf", "report.html"}


def test_the_makefile_has_the_targets_that_the_pages_name():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"make ([a-z-]+)", (ROOT / page).read_text())}
    assert named - {"are"} <= targets
