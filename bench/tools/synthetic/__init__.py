"""``splitbench train-synthetic``: trains the bundled networks."""
