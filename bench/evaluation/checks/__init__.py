"""Checks of backbones and codecs, without which rows would depend on how they were measured."""
