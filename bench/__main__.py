"""``python -m splitbench.bench`` is ``splitbench``."""

from splitbench.bench.cli.main import main

main()
