"""Separate commands that nothing but the command line imports."""
