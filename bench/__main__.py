"""``python -m splitbench.bench`` is ``splitbench``."""

from splitbench.bench.cli import main

main()
