"""The support table as a file, which grows by a row at a time, and its summary."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path

from splitbench.bench.tools.support.models import DETECTORS
from splitbench.bench.tools.support.splittable import Support, support_table
from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.files import write_file

COLUMNS = [*(field.name for field in fields(Support)), "versions"]

Row = dict[str, str]


def extended(path: Path, names: Sequence[str]) -> Iterator[Row]:
    """Measure the models that a table lacks, or has of other versions of the libraries, and write each row at once.

    Args:
        path: The CSV; a summary of the same name ending in ``.md`` goes beside it.
        names: The models that it shall hold. Rows of others that it holds stay.

    Yields:
        Each new row, when it is in the file.

    Raises:
        UserError: The file is something else, or cannot be written.
    """
    rows = {row["model"]: row for row in read(path)}
    present = versions()
    missing = [name for name in dict.fromkeys(names) if rows.get(name, {}).get("versions") != present]
    for found in support_table(missing):
        rows[found.model] = as_row(found)
        write(path, list(rows.values()))
        yield rows[found.model]
    write(path, list(rows.values()))


def as_row(found: Support) -> Row:
    """A row as the file has it."""
    return {key: str(value) for key, value in asdict(found).items()} | {"versions": versions()}


def versions() -> str:
    """Of the libraries on which it depends whether a model can be cut."""
    return " ".join(f"{package}={version(package)}" for package in ("torch", "torchvision", "timm"))


def read(path: Path) -> list[Row]:
    """The rows of a table; none where there is no file. Raises UserError for a file that is something else."""
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


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the table, by name, and its summary. Raises UserError where they cannot be written."""
    ordered = sorted(rows, key=lambda row: row["model"])
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ordered)
    write_file(path, text.getvalue())
    write_file(path.with_suffix(".md"), summary(ordered))


def summary(rows: Sequence[Row]) -> str:
    """Counts per library, and all rows in which something is not as it should be, in Markdown."""
    lines = ["| library | models | families | cut exactly | by `fx` | at two sizes | train | slowest split, CPU |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for library, own in _by_library(rows).items():
        good = [row for row in own if row["exact"] == "yes"]
        families = len({row["family"] for row in good})
        two = sum(" " in row["sizes"] for row in good) if any(row["sizes"] for row in good) else "-"
        trained = Counter(row["trains"] for row in good)["yes"]
        slowest = max((float(row["seconds"] or 0) for row in good), default=0.0)
        how = Counter(row["how"] for row in good)["fx"]
        lines.append(
            f"| {library} | {len(own)} | {families} | {len(good)} | {how} | {two} | {trained} | {slowest:.1f} s |"
        )
    notes = [row for row in rows if row["reason"] or row["exact"] != "yes" or row["trains"] != "yes"]
    if notes:
        lines += ["", "| model | cut exactly | trains | why |", "|---|---|---|---|"]
        lines += [f"| {row['model']} | {row['exact']} | {row['trains']} | {row['reason']} |" for row in notes]
    return "\n".join(lines) + "\n"


def _by_library(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        library = row["model"].partition("/")[0]
        found.setdefault(f"{library}, detectors" if row["model"] in DETECTORS else library, []).append(row)
    return found
