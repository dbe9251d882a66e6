"""A fuzz target for libFuzzer: the same check as ``damage``, with bytes that grow towards branches not yet seen.

    python -m tests.torture.fuzz NAME [-runs=100000] [libFuzzer's other options]

NAME is a method or ``coding``. The input's first byte chooses among the decoders, the rest is the bitstream; whole
bitstreams are the corpus to begin with. Needs the extra ``fuzz`` (atheris).
"""

import sys
import tempfile
import warnings
from pathlib import Path

try:
    import atheris
except ModuleNotFoundError:
    sys.exit("error: fuzzing needs atheris: pip install 'splitbench[fuzz]'")

import torch

_METHODS = Path(__file__).parents[2] / "methods"
COMPILED = [
    ".".join(("splitbench.methods", *path.relative_to(_METHODS).with_suffix("").parts))
    for path in _METHODS.rglob("*.py")
    if "numba" in path.read_text(encoding="utf-8")
]
"""numba compiles these, and cannot where atheris has put its calls into them."""

with atheris.instrument_imports(include=["splitbench.methods"], exclude=COMPILED):
    from splitbench.bench.utils.plugins import METHODS
    from tests.torture.decoders import targets

    for each in METHODS.names():  # imported only when asked for, and must be while imports are looked at
        METHODS.get(each)


def main(name: str, options: list[str]) -> None:
    """Hand over to libFuzzer, which ends the process: with code 0 after ``-runs`` inputs, another for a fault."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result = targets(name)[:256]

    def try_one(data: bytes) -> None:
        if data:
            result[data[0] % len(result)].accepts(data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for number, target in enumerate(result):
            for place, stream in enumerate(target.streams):
                (Path(corpus) / f"{number}-{place}").write_bytes(bytes([number]) + stream)
        kept = Path("build/fuzz")  # inputs that show a fault
        kept.mkdir(parents=True, exist_ok=True)
        limits = [
            f"-artifact_prefix={kept}/",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *limits, *options, corpus], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
