"""The way of one batch: load, run heads, encode, decode, run tails."""
