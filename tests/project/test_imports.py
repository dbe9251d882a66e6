"""The house: a room imports the rooms below it, folders stay small, and a file is known by its name."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = (
    ("cli",),
    ("tools",),
    ("run",),
    ("evaluation",),
    ("training",),
    ("sweep",),
    ("backbones", "analysis"),
    ("split", "results"),
    ("metrics",),
    ("utils",),
)
"""The rooms of bench/ from the top floor down; methods/ and datasets/ are the ground."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import: they hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_folder_of_bench_is_a_room():
    folders = {path.name for path in (ROOT / "bench").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(FLOOR)
    loose = {path.name for path in (ROOT / "bench").iterdir() if path.is_file()}
    assert loose == {"__init__.py", "__main__.py", "py.typed"}


def test_no_folder_holds_more_than_a_reader_can_survey():
    files = [file for room in ("bench", "methods", "datasets") for file in (ROOT / room).rglob("*.py")]
    plugins = {ROOT / "methods", ROOT / "datasets"}  # where everybody adds files
    counts = Counter(file.parent for file in files if file.name != "__init__.py" and file.parent not in plugins)
    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > 12} == {}


def test_a_file_is_known_by_its_name():
    folders = ("api", "bench", "methods", "datasets", "tests")
    counts = Counter(file.name for folder in folders for file in (ROOT / folder).rglob("*.py"))
    shared = {"__init__.py", "__main__.py", "base.py"}  # base.py says what a method is, and what a dataset
    assert {name for name, count in counts.items() if count > 1} == shared
    assert counts["base.py"] == 2


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_imports_only_rooms_below(room):
    upwards = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted((ROOT / "bench" / room).rglob("*.py"))
        for name in imported(file)
        if name.startswith("splitbench.bench.")
        and (target := name.split(".")[2]) != room
        and FLOOR[target] <= FLOOR[room]
    ]
    assert not upwards


@pytest.mark.parametrize("folder", ["methods", "datasets"])
def test_plugins_import_nothing_of_the_harness_nor_of_each_other(folder):
    other = {"methods": "datasets", "datasets": "methods"}[folder]
    harness = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for name in imported(file)
        if name.startswith(("splitbench.bench", f"splitbench.{other}"))
    ]
    assert not harness


def test_only_its_users_import_the_api():
    modules = {f"splitbench.{file.stem}" for file in (ROOT / "api").glob("*.py")}
    users = [
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in ("bench", "methods", "datasets")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for name in imported(file)
        if ".".join(name.split(".")[:2]) in modules
    ]
    assert not users


def test_no_test_imports_another_test_module():
    """What tests share is in tests/helpers, fixtures are in conftest.py: tests can be moved, run and deleted alone."""
    shared = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for name in imported(file)
        if name.startswith("tests.") and any(part.startswith(("test_", "conftest")) for part in name.split("."))
    ]
    assert not shared


def test_no_circles_between_modules():
    files = {
        ".".join(("splitbench", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
        for folder in ("bench", "methods", "datasets")
        for file in (ROOT / folder).rglob("*.py")
    }
    graph = {name: {module_of(target, files) for target in at_import(file)} - {name} for name, file in files.items()}
    circle = find_circle({name: {*targets} - {""} for name, targets in graph.items()})
    assert not circle, " -> ".join(circle)


def at_import(file: Path) -> Iterator[str]:
    """What importing a file imports: not what its functions import when they are called, nor what is for types only."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module_of(target: str, files: dict[str, Path]) -> str:
    """The module that an imported name is, or lies in; empty where it is not ours."""
    return target if target in files else parent if (parent := target.rpartition(".")[0]) in files else ""


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph[name]):
            if circle := visit(target, [*way, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := visit(name, []))), [])
