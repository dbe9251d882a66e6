"""What a pass runs on a batch of pictures before anything is coded: every head, and the uncompressed backbone.

Nothing is computed twice: heads continue from one another, and the uncompressed backbone's answer is that of the tail
behind the deepest of them, which equals it bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from splitbench.bench.backbones.split_model import Place
from splitbench.bench.split import same
from splitbench.bench.split.trunk import depth, replaced, shared


class Network:
    """The heads of a pass and the backbone that they belong to.

    Args:
        whole: The uncompressed backbone, pixels to answers.
        heads: All different heads of the pass.
        places: Where the backbone itself is cut, those only whose head is among ``heads``; none: nothing is shared.
        example: A batch of pixels to try sharing on: what does not come out the same bit for bit is not shared.
    """

    def __init__(
        self, whole: nn.Module, heads: Sequence[nn.Module], places: Sequence[Place] = (), example: Any = None
    ) -> None:
        self.whole = whole
        self.own = {id(place.head) for place in places}
        quick = shared(heads, example[:1]) if places else heads
        self.heads = {id(head): (head, other) for head, other in zip(heads, quick, strict=True)}
        self.source: Place | None = max(places, key=lambda place: depth(place.head), default=None)
        if self.source is not None and not self._continues(self.source, example):
            self.source = None

    @torch.no_grad()
    def _continues(self, source: Place, example: Any) -> bool:
        """Whether the backbone's answers follow from a cut inside it."""
        return depth(source.head) > 0 and same(self.whole(example), source.tail(*source.head(example)))

    def run(self, pixels: Any) -> "Run":
        """One batch, of which nothing has been computed yet."""
        return Run(self, pixels)


class Run:
    """One batch: what the backbone's own heads gave is kept for as long as this is.

    A head that was trained for one cell is asked once, and what it gives is not kept: there may be many of them.
    """

    def __init__(self, network: Network, pixels: Any) -> None:
        self.network = network
        self.pixels = pixels
        self._values: dict[int, tuple[Any, ...]] = {}
        self._answers: list[Any] = []

    def answers(self) -> Any:
        """What the uncompressed backbone says. Raises whatever the backbone raises."""
        if not self._answers:
            self._answers.append(self._continued())
        return self._answers[0]

    def values(self, head: nn.Module) -> tuple[Any, ...]:
        """What a head returns. Raises whatever it raises."""
        if id(head) in self._values:
            return self._values[id(head)]
        original, quick = self.network.heads[id(head)]
        if id(head) not in self.network.own:
            return self._run(quick)
        inner = getattr(original, "whole", None)
        if isinstance(inner, nn.Module):  # the whole backbone runs on the device
            quick = replaced(original, inner, _Known(self.answers()))
        self._values[id(head)] = self._run(quick)
        return self._values[id(head)]

    def _run(self, head: nn.Module) -> tuple[Any, ...]:
        values: tuple[Any, ...] = head(self.pixels)
        return values

    def _continued(self) -> Any:
        source = self.network.source
        if source is not None:
            try:
                return source.tail(*self.values(source.head))
            except torch.OutOfMemoryError:
                raise
            except Exception:  # a head's failure is that of its cells, which find it by themselves
                self._values.pop(id(source.head), None)
        return self.network.whole(self.pixels)


class _Known(nn.Module):
    """Stands for the whole backbone where its answer is known."""

    def __init__(self, answers: Any) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, _: Any) -> Any:
        """The answer."""
        return self.answers
