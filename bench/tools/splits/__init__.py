"""``splitbench splits``: a backbone's split points, listed and drawn."""
