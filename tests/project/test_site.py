"""The documentation site: links lead somewhere, the reference is what the code does, and Sphinx has no complaint."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import splitbench
from docs.site import links, reference, stage
from splitbench.bench.cli.main import app
from splitbench.bench.results.columns import COLUMNS
from splitbench.bench.sweep.schema import Sweep
from splitbench.bench.utils.plugins import DATASETS, METHODS

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    stage.stage(folder)
    return folder


def test_every_page_is_in_the_navigation_and_has_a_title(sources):
    staged = {str(path.relative_to(sources).with_suffix("")) for path in sources.rglob("*") if path.is_file()}
    assert staged == {"index", *(name for names in stage.NAVIGATION.values() for name in names)}
    for path in sources.rglob("*.md"):
        assert re.match(r"(<!--.*?-->\s*)?# \S", path.read_text(encoding="utf-8")), path


def places(page: Path) -> set[str]:
    """What links to a page's headings may say."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {stage.slug(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_links_lead_to_pages_files_and_headings(sources):
    wrong = []
    for page in sources.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text(encoding="utf-8"))):
            if "://" in target:
                continue
            path, _, fragment = target.removeprefix("path:").partition("#")
            file = (page.parent / path) if path else page
            if not file.is_file() or (fragment and fragment not in places(file)):
                wrong.append(f"{page.relative_to(sources)}: {target}")
    assert not wrong


def test_the_reference_has_every_key_method_column_command_and_name():
    assert all(f"| `{name}` |" in reference.sweep_keys() for name in Sweep.model_fields)
    for name in METHODS.names():
        assert f"## {name}\n" in reference.methods()
    assert all(f"## {name}\n" in reference.datasets() for name in DATASETS.names())
    assert all(f"| `{column.name}` | {column.unit} | " in reference.columns() for column in COLUMNS)
    assert all(f":: splitbench.{name}\n" in reference.api() for name in splitbench.__all__ if name != "__version__")
    commands = reference.command_line()
    assert {"## splitbench run\n", "## splitbench data check\n"} <= set(re.findall(r"## splitbench .*\n", commands))
    assert "| `--overwrite` | `never`, `failed`, `all` | " in commands


@pytest.mark.parametrize("command", ["run", "train", "what-if", "methods", "data check"])
def test_the_reference_has_the_options_that_a_command_takes(command):
    section = re.split(r"^## ", reference.command_line().split(f"## splitbench {command}\n")[1], flags=re.MULTILINE)[0]
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    printed = set(re.findall(r"^[│\s]*(--[a-z-]+)", shown, re.MULTILINE)) - {"--help"}
    assert printed and printed == set(
        re.findall(r"`(--[a-z-]+)`(?=[^|]*\|[^|]*\|[^|]*\|[^|]*\|$)", section, re.MULTILINE)
    )


def test_methods_has_a_section_for_each_method():
    headings = " ".join(re.findall("^## (.*)$", (ROOT / "docs" / "methods.md").read_text("utf-8"), re.MULTILINE))
    assert all(name in headings for name in METHODS.names())


def test_sphinx_builds_it_without_a_warning_and_its_links_lead_somewhere(sources, tmp_path):
    for module in ("sphinx", "myst_nb", "furo", "jupytext"):
        pytest.importorskip(module, reason="the extra `docs` is not installed: make docs installs it")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-D", "nb_execution_mode=off", "-c", ROOT / "docs" / "site"]
    words = [sys.executable, "-m", "sphinx", *options, sources, tmp_path / "html"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=ROOT, env=os.environ, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert list(links.faults(tmp_path / "html")) == []


def test_a_link_that_leads_nowhere_is_reported(tmp_path):
    (tmp_path / "other.html").write_text('<p id="here">there</p>')
    page = '<a href="other.html#here">1</a><a href="other.html#gone">2</a><a href="none.html">3</a><img src="https://x/y.png">'
    (tmp_path / "index.html").write_text(page)
    assert list(links.faults(tmp_path)) == [
        "index.html loads https://x/y.png, which is not there offline",
        "index.html links to other.html#gone: that page has no such place",
        "index.html links to none.html: there is no such file",
    ]
