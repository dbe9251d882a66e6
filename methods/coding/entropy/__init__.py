"""Entropy coders of symbols with fixed tables, and the parts that other coders share."""
