"""``splitbench train-synthetic``: trains the networks that ship for the drawn images."""
