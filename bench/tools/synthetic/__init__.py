"""``splitbench train-embedded``: trains the networks that ship for the drawn images."""
