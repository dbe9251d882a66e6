"""Checks a built site without a network: ``python -m docs.site.links build/docs/html``.

Every link within the site must lead to a file and, where it names one, to a place in it; and a page must load nothing
from elsewhere, so that it can be read offline.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src")}


class _Page(HTMLParser):
    """What a page links to, loads, and can be linked to at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(given.get("href", ""))
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += [given[name] for of, name in _LOADED if of == tag and name in given]


def faults(site: Path) -> Iterator[str]:
    """Yield a sentence for each link that leads nowhere, and each thing that is loaded from elsewhere."""
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for target in page.loads:
            if urlsplit(target).netloc:
                yield f"{name} loads {target}, which is not there offline"
        for target in (*page.links, *page.loads):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.is_file():
                yield f"{name} links to {target}: there is no such file"
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].places:
                yield f"{name} links to {target}: that page has no such place"


if __name__ == "__main__":
    wrong = list(faults(Path(sys.argv[1])))
    sys.exit("\n".join(wrong) or 0)
