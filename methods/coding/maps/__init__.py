"""Cuts as maps of bytes, for coders of bytes or of images."""
