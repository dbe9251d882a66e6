"""Everything at once, and the table of counts: ``make torture``.

    python -m tests.torture [--mutations 100000] [--kills 50] [--out results/torture] [--only SIGKILL ...]

Each part runs in a process of its own; the table and the exit code report one that fails. The table is written
anew after every part, so that one sees how far it is. With ``--only`` the other rows stay as they are; each row has its
own commit and date.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from splitbench.bench.results import provenance
from tests.torture.decoders import NAMES

_ROOT = Path(__file__).parents[2]
_HEAD = ("what", "done to it", "counts", "faults", "seconds")
_TOTALS = {
    "mutations tried": ("mutations",),
    "kills survived": ("kills",),
    "faults injected": ("failing codecs", "full disks", "damaged files"),
}

Row = dict[str, Any]


def main() -> int:
    """Torture, and write <out>/torture.json and .md. Returns how many parts found a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000, help="for each method, and for the coders")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/torture"), help="a folder")
    parser.add_argument("--only", action="append", help="parts whose name or kind contains this; repeatable")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, str], Row] = _read(given.out) if given.only else {}
    with tempfile.TemporaryDirectory() as scratch:
        parts = [
            (f"decoder of {name}" if name != "coding" else "shared coders", "damaged bitstreams", command)
            for name in NAMES
            for command in [["tests.torture.damage", name, str(given.mutations), str(given.seed)]]
        ]
        parts += [
            ("a sweep", "SIGKILL", ["tests.torture.kills", str(given.kills), f"{scratch}/kills", str(given.seed)]),
            ("a sweep", "faults", ["tests.torture.injected_faults", f"{scratch}/faults"]),
        ]
        for what, how, command in parts:
            if not given.only or any(word in f"{what} {how}" for word in given.only):
                rows[what, how] = _row(what, how, command)
                _write([rows[part[:2]] for part in parts if part[:2] in rows], given.out)
    print((given.out / "torture.md").read_text())  # noqa: T201 - what this process is for
    return sum(row["faults"] != "none" for row in rows.values())


def _read(folder: Path) -> dict[tuple[str, str], Row]:
    file = folder / "torture.json"
    rows = json.loads(file.read_text())["rows"] if file.is_file() else []
    return {(row["what"], row["how"]): row for row in rows}


def _row(what: str, how: str, command: list[str]) -> Row:
    begun = time.perf_counter()
    print(f"{what}: {how} ...", file=sys.stderr)  # noqa: T201
    about = {"commit": provenance.commit(), "date": provenance.now()}
    done = subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, capture_output=True, text=True)  # noqa: S603
    seconds = round(time.perf_counter() - begun)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)  # noqa: T201
        last = (done.stderr.strip().splitlines() or ["it died without a word"])[-1]
        counts, faults = {}, f"code {done.returncode}: {last}"
    else:
        counts, faults = json.loads(done.stdout.strip().splitlines()[-1]), "none"
    return {"what": what, "how": how, "counts": counts, "faults": faults, "seconds": seconds} | about


def _write(rows: list[Row], folder: Path) -> None:
    totals = {
        name: sum(row["counts"].get(item, 0) for row in rows for item in parts) for name, parts in _TOTALS.items()
    }
    result = sum(row["faults"] != "none" for row in rows)
    content = {"versions": provenance.versions(), "totals": totals, "parts with faults": result, "rows": rows}
    (folder / "torture.json").write_text(json.dumps(content, indent=1) + "\n")
    summed = ", ".join(f"{name}: {value:,}" for name, value in totals.items())
    (folder / "torture.md").write_text(f"{_table(rows)}\n{summed}; parts in which something broke: {result}\n")


def _table(rows: list[Row]) -> str:
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    for row in rows:
        printed = ", ".join(f"{value:,} {name}" for name, value in row["counts"].items())
        lines.append(f"| {row['what']} | {row['how']} | {printed} | {row['faults']} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
