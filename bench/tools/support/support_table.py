"""The support table as a file, which is extended row by row, and its summary."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path

from splitbench.bench.tools.support.support import Support, support_table
from splitbench.bench.tools.support.tested_models import DETECTORS
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_file

COLUMNS = [*(field.name for field in fields(Support)), "versions"]

SupportRow = dict[str, str]


def extend_table(
    path: Path, names: Sequence[str], measure: Callable[[Iterable[str]], Iterable[Support]] = support_table
) -> Iterator[SupportRow]:
    """Test the models that a table lacks, or has for other versions of the libraries, and write each row at once.

    Args:
        path: The CSV; a summary of the same name ending in ``.md`` goes beside it.
        names: The models to have in it. Rows of other models stay.
        measure: Yields a row for each of the names that it is given.

    Yields:
        Each new row, once it is in the file.

    Raises:
        UserError: The file is not a support table, or cannot be written.
    """
    rows = {row["model"]: row for row in read(path)}
    present = versions()
    missing = [name for name in dict.fromkeys(names) if rows.get(name, {}).get("versions") != present]
    for support in measure(missing):
        rows[support.model] = as_row(support)
        write(path, list(rows.values()))
        yield rows[support.model]
    write(path, list(rows.values()))


def as_row(support: Support) -> SupportRow:
    """Return a row as in the file."""
    return {key: str(value) for key, value in asdict(support).items()} | {"versions": versions()}


def versions() -> str:
    """Return the versions of the libraries that decide whether a model can be split."""
    return " ".join(f"{package}={version(package)}" for package in ("torch", "torchvision", "timm"))


def read(path: Path) -> list[SupportRow]:
    """Read the rows of a table; none where there is no file. Raises UserError for any other file."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = reader.fieldnames, list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from None
    if columns != COLUMNS:
        raise UserError(f"{path} is not a support table of this version of splitbench: name another file by --out")
    return rows


def write(path: Path, rows: Sequence[SupportRow]) -> None:
    """Write the table, sorted by name, and its summary. Raises UserError where they cannot be written."""
    ordered = sorted(rows, key=lambda row: row["model"])
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ordered)
    write_file(path, text.getvalue())
    write_file(path.with_suffix(".md"), summary(ordered))


def summary(rows: Sequence[SupportRow]) -> str:
    """Return counts per library, and all rows where anything fails, in Markdown."""
    lines = ["| library | models | families | cut exactly | by `fx` | at two sizes | train | slowest split, CPU |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for library, members in _by_library(rows).items():
        good = [row for row in members if row["exact"] == "yes"]
        families = len({row["family"] for row in good})
        two = sum(" " in row["sizes"] for row in good) if any(row["sizes"] for row in good) else "-"
        trained = Counter(row["trains"] for row in good)["yes"]
        slowest = max((float(row["seconds"] or 0) for row in good), default=0.0)
        how = Counter(row["how"] for row in good)["fx"]
        lines.append(
            f"| {library} | {len(members)} | {families} | {len(good)} | {how} | {two} | {trained} | {slowest:.1f} s |"
        )
    notes = [row for row in rows if row["reason"] or row["exact"] != "yes" or row["trains"] != "yes"]
    if notes:
        lines += ["", "| model | cut exactly | trains | why |", "|---|---|---|---|"]
        lines += [f"| {row['model']} | {row['exact']} | {row['trains']} | {row['reason']} |" for row in notes]
    return "\n".join(lines) + "\n"


def _by_library(rows: Sequence[SupportRow]) -> dict[str, list[SupportRow]]:
    libraries: dict[str, list[SupportRow]] = {}
    for row in rows:
        library = row["model"].partition("/")[0]
        libraries.setdefault(f"{library}, detectors" if row["model"] in DETECTORS else library, []).append(row)
    return libraries
