"""Tracing of a model with the shape and cost of every value."""
