"""The one-pass evaluator: each image is decoded once, each head runs once per batch, each codec and tail once per cell.

It knows nothing of any particular method or task: a deployment is a head, a codec and a tail, and a task says what is
kept of their outputs. What is scored is always what the tail makes of the decoded bytes, and the bytes are those that
were counted. Four steps, which may run in different processes and at different times:

    prepare   split the backbone, fit or load what methods need          once in every process that measures
    describe  computation, times and stored bytes of every cell          once
    measure   any range of the pass's batches -> a shard of records      ranges in any order, anywhere
    score     the shards joined -> outcomes: columns and records         once
"""

from collections.abc import Callable, Sequence

from splitbench.bench.evaluation.costs import Description, describe
from splitbench.bench.evaluation.inputs import Material
from splitbench.bench.evaluation.measure import measure
from splitbench.bench.evaluation.prepare import Prepared, prepare
from splitbench.bench.evaluation.score import Outcome, score
from splitbench.bench.evaluation.shards import Shard, ShardError, joined
from splitbench.bench.sweep.cells import Cell

__all__ = [
    "Description",
    "Material",
    "Outcome",
    "Prepared",
    "Shard",
    "ShardError",
    "describe",
    "evaluate",
    "joined",
    "measure",
    "prepare",
    "score",
]


def evaluate(cells: Sequence[Cell], material: Material, advance: Callable[[int], None]) -> list[Outcome]:
    """Measure all cells of one dataset and backbone in one pass. ``advance`` is told of every (image, cell) done.

    A cell that fails keeps its reason and stops; the others go on.
    """
    named = {str(number): cell for number, cell in enumerate(cells)}
    prepared = prepare(named, material)
    descriptions = describe(prepared)
    shard = measure(prepared, advance=advance)
    return [one for _, one in score(named, shard, descriptions, material.dataset, material.skip_unreadable)]
