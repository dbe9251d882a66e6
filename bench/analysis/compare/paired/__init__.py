"""Paired tests on the same images."""
