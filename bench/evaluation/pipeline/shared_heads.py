"""Runs every head of a pass, and the uncompressed backbone, on a batch; nothing is computed twice.

Heads continue from one another, and the uncompressed backbone's answer is that of the tail behind the deepest head,
which equals it bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from splitbench.bench.backbones.trivial_splits import WholeHead
from splitbench.bench.split import SplitModel, same
from splitbench.bench.split.trunk import depth, replaced, shared


class SharedHeads:
    """The heads of a pass and the backbone that they belong to.

    Args:
        whole: The uncompressed backbone, pixels to answers.
        heads: All different heads of the pass.
        splits: The backbone's own splits among these heads, whose computations are shared; none: nothing is shared.
        example: A batch of pixels on which sharing is tried: what changes by as little as a bit is not shared.
    """

    def __init__(
        self, whole: nn.Module, heads: Sequence[nn.Module], splits: Sequence[SplitModel] = (), example: Any = None
    ) -> None:
        self.whole = whole
        self.backbone_heads = {split.head for split in splits}
        self.runs = dict(zip(heads, shared(heads, example[:1]) if splits else heads, strict=True))
        self.source: SplitModel | None = max(splits, key=lambda split: depth(split.head), default=None)
        if self.source is not None and not self._gives_answers(self.source, example):
            self.source = None

    @torch.no_grad()
    def _gives_answers(self, split: SplitModel, example: Any) -> bool:
        """Return whether the backbone's answers follow from a cut inside it."""
        return depth(split.head) > 0 and same(self.whole(example), split.tail(*split.head(example)))

    def run(self, pixels: Any) -> "BatchOutputs":
        """Begin a batch; its outputs are computed as they are asked for."""
        return BatchOutputs(self, pixels)


class BatchOutputs:
    """What the heads and the backbone return for one batch.

    Outputs of the backbone's own heads are kept. Those of heads that were trained for one cell are asked for once, and
    there may be many of them, so that they are not.
    """

    def __init__(self, heads: SharedHeads, pixels: Any) -> None:
        self.heads = heads
        self.pixels = pixels
        self._values: dict[nn.Module, tuple[Any, ...]] = {}
        self._answers: list[Any] = []

    def answers(self) -> Any:
        """Return what the uncompressed backbone answers. Raises whatever the backbone raises."""
        if not self._answers:
            self._answers.append(self._compute_answers())
        return self._answers[0]

    def values(self, head: nn.Module) -> tuple[Any, ...]:
        """Return what a head returns for the batch. Raises whatever the head raises."""
        if head in self._values:
            return self._values[head]
        run = self.heads.runs[head]
        if head not in self.heads.backbone_heads:
            return self._run(run)
        if isinstance(head, WholeHead):
            run = replaced(head, head.whole, _Constant(self.answers()))
        self._values[head] = self._run(run)
        return self._values[head]

    def _run(self, head: nn.Module) -> tuple[Any, ...]:
        values: tuple[Any, ...] = head(self.pixels)
        return values

    def _compute_answers(self) -> Any:
        source = self.heads.source
        if source is not None:
            try:
                return source.tail(*self.values(source.head))
            except torch.OutOfMemoryError:
                raise
            except Exception:  # an error in a head is that of its cells, which meet it again
                self._values.pop(source.head, None)
        return self.heads.whole(self.pixels)


class _Constant(nn.Module):
    """Stands for the whole backbone where its answers are known."""

    def __init__(self, answers: Any) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, _: Any) -> Any:
        """Return the answers."""
        return self.answers
