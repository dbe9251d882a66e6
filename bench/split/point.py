"""A split point and its costs."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class SplitPoint:
    """A named place to cut a model, and what it costs for one image.

    ``shapes``: of each tensor that crosses, without the batch axis; ``bytes``: of all of them in float32; ``macs_head``
    and ``macs_tail``: multiply-accumulates of one forward pass; ``parameters_head`` and ``parameters_tail``: numbers
    stored (one used on both sides counts on both); ``larger_than_input``: more numbers cross than the input image has;
    ``block``: the point is a module made of modules, not one layer.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    macs_head: int
    macs_tail: int
    parameters_head: int
    parameters_tail: int
    larger_than_input: bool
    block: bool

    @property
    def elements(self) -> int:
        """Numbers that cross."""
        return sum(int(torch.Size(shape).numel()) for shape in self.shapes)

    @property
    def bytes(self) -> int:
        """Bytes that cross in float32, without any coding."""
        return 4 * self.elements
