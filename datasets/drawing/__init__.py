"""Draws the synthetic dataset's scenes with integer arithmetic alone, so that every machine draws the same pixels.

``rng`` draws random numbers, ``shapes`` has silhouettes, ``textures`` surfaces; ``scene`` puts them together into a
description, ``raster`` and ``camera`` turn numbers into pixels, and ``render`` runs a description through them.
"""
