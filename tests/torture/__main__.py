"""Everything at once, and the table of counts: ``make torture``.

    python -m tests.torture [--mutations 100000] [--kills 50] [--out results/reference/torture]

Each part runs in a process of its own; one that fails is told in the table and by the exit code.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.decoders import NAMES

_ROOT = Path(__file__).parents[2]
_HEAD = ("what", "done to it", "counts", "faults", "seconds")


def main() -> int:
    """Torture, and write <out>.json and <out>.md. Returns how many parts found a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000, help="for each method, and for the coders")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/reference/torture"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        parts = [
            (f"decoder of {name}" if name != "coding" else "shared coders", "damaged bitstreams", command)
            for name in NAMES
            for command in [["tests.torture.damage", name, str(given.mutations), str(given.seed)]]
        ]
        parts += [
            ("a sweep", "SIGKILL", ["tests.torture.kills", str(given.kills), scratch, str(given.seed)]),
            ("a sweep", "faults", ["tests.torture.faults", scratch]),
        ]
        rows = [_row(what, how, command) for what, how, command in parts]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    text = _table(rows)
    given.out.with_suffix(".md").write_text(text)
    print(text)  # noqa: T201 - what this process is for
    return sum(row["faults"] != "none" for row in rows)


def _row(what: str, how: str, command: list[str]) -> dict[str, object]:
    begun = time.perf_counter()
    print(f"{what}: {how} ...", file=sys.stderr)  # noqa: T201
    done = subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, capture_output=True, text=True)  # noqa: S603
    seconds = round(time.perf_counter() - begun)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)  # noqa: T201
        last = (done.stderr.strip().splitlines() or ["it died without a word"])[-1]
        return {"what": what, "how": how, "counts": {}, "faults": f"code {done.returncode}: {last}", "seconds": seconds}
    counts = json.loads(done.stdout.strip().splitlines()[-1])
    return {"what": what, "how": how, "counts": counts, "faults": "none", "seconds": seconds}


def _table(rows: list[dict[str, object]]) -> str:
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    for row in rows:
        counts = row["counts"]
        told = ", ".join(f"{value:,} {name}" for name, value in counts.items()) if isinstance(counts, dict) else ""
        lines.append(f"| {row['what']} | {row['how']} | {told} | {row['faults']} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
