"""Examples in docstrings are what their code gives."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    path.relative_to(ROOT)
    for folder in ("api", "bench", "datasets", "methods")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "\n    >>> " in path.read_text()
]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_examples(file):
    name = ".".join(("splitbench", *file.with_suffix("").parts)).replace("splitbench.api", "splitbench")
    result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert result.attempted > 0 and result.failed == 0
