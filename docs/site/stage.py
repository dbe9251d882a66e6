"""Lays out the sources of the site: the repository's own pages, with their links, and pages made from the code.

``python -m docs.site.stage FOLDER`` writes them there. README, which is one page in the repository, becomes several:
its start is the site's, and its sections are pages beside those of docs/.
"""

import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docs.site import reference

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"

SECTIONS = {
    "with-your-own-data": "own-data",
    "what-comes-out": "output",
    "methods": "methods",
    "add-a-method": "add-a-method",
    "how-it-works": "how-it-works",
    "limitations": "limitations",
}
"""README's sections that are pages of the site, by what links to them say; `methods` is a page of docs/."""

ELSEWHERE = {
    "changelog": ("CHANGELOG.md", ""),
    "contributing": ("CONTRIBUTING.md", ""),
    "reference-results": ("results/reference/README.md", ""),
    "weights": ("bench/backbones/weights/README.md", ""),
    "support": ("results/reference/support/support.md", "Supported backbones"),
    "torture": ("results/reference/torture/torture.md", "Faults that were tried"),
}
"""Pages that lie elsewhere in the repository: the file, and the title where it has none."""

NAVIGATION = {
    "Start": ("tutorial", "notebooks/cut-and-measure", "notebooks/add-a-method", "notebooks/results"),
    "How to": ("own-data", "your-own", "add-a-method", "python", "output", "large-data", "sharing", "cluster", "gpu"),
    "Background": ("methods", "measuring", "how-it-works", "limitations"),
    "Results": ("results", "reference-results", "support", "torture"),
    "Reference": tuple(f"reference/{name}" for name in reference.PAGES),
    "Project": ("changelog", "contributing", "weights"),
}
"""The pages of the site, in order."""

_PICTURES = (".png", ".svg")
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class SitePage:
    """A page: where its text is from, which links are relative to, and the text."""

    source: Path
    text: str


def pages() -> dict[str, SitePage]:
    """Return all pages in Markdown by their names in the site, links as in the repository."""
    readme = ROOT / "README.md"
    start, *sections = re.split(r"^## ", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    result = {"index": [start]}
    for section in sections:
        title = section.partition("\n")[0]
        name = SECTIONS.get(slug(title))
        if name is None:
            result["index"].append(section)
        elif not (ROOT / "docs" / f"{name}.md").exists():
            result[name] = [f"# {re.sub('^###', '##', section, flags=re.MULTILINE)}"]
    made = {name: SitePage(readme, "## ".join(parts)) for name, parts in result.items()}
    for path in sorted((ROOT / "docs").glob("*.md")):
        made[path.stem] = SitePage(path, path.read_text(encoding="utf-8"))
    for name, (place, title) in ELSEWHERE.items():
        text = (ROOT / place).read_text(encoding="utf-8")
        made[name] = SitePage(ROOT / place, text if text.startswith("# ") else f"# {title}\n\n{text}")
    return made


def stage(folder: Path) -> None:
    """Write the sources of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "reference").mkdir(parents=True)
    made = pages()
    places = {page.source: name for name, page in made.items() if page.source != ROOT / "README.md"}
    for name, page in made.items():
        text = _outside_code(page.text, lambda part, page=page: _rewritten(part, page.source, folder, places))
        (folder / f"{name}.md").write_text(text + (_navigation() if name == "index" else ""), encoding="utf-8")
    for name, make in reference.PAGES.items():
        (folder / "reference" / f"{name}.md").write_text(make(), encoding="utf-8")
    shutil.copytree(NOTEBOOKS, folder / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))


def slug(title: str) -> str:
    """Return what links to a heading say, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def _rewritten(text: str, source: Path, folder: Path, places: dict[Path, str]) -> str:
    """Return Markdown whose relative links lead to the site's pages, or to files of the repository."""

    def link(match: re.Match[str]) -> str:
        target, _, fragment = match[2].partition("#")
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (source.parent / target).resolve() if target else source
        anchor = f"#{fragment}" if fragment else ""
        if path == ROOT / "README.md":
            page = SECTIONS.get(fragment, "index")
            new = f"{page}.md" + (anchor if page == "index" else "")
        elif path in places:
            new = f"{places[path]}.md{anchor}"
        elif path.parent == NOTEBOOKS:
            new = f"notebooks/{path.name}"
        else:
            file = path / "cells.csv" if path.is_dir() else path
            new = os.path.relpath(file, folder)
            new = new if file.suffix in _PICTURES else f"path:{new}"  # MyST's word for a file that is no page
        return f"{match[1]}{new}{match[3]}"

    return _LINK.sub(link, text)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply a change to what is not in a fenced block."""
    ends = [0, *(end for match in _FENCE.finditer(text) for end in match.span()), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(ends)]
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def _navigation() -> str:
    trees = (
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"])
        for caption, names in NAVIGATION.items()
    )
    return "\n\n" + "\n\n".join(trees) + "\n"


if __name__ == "__main__":
    stage(Path(sys.argv[1]).resolve())
