"""Weights that ship: see the README beside this file."""
