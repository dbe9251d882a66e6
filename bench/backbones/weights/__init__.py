"""Bundled weights: see the README beside this file."""
