"""Lossless coders that methods share."""
