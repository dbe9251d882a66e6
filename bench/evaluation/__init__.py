"""The one-pass evaluator: how one image becomes a row's bytes and accuracy.

    dataset.image(i)                           pipeline/loader.py        decoded once, by threads, ahead of the network
        -> backbone.pixels, a batch
        -> head(pixels)                        pipeline/shared_heads.py  once per split; heads continue from one another
        -> codec.encode -> BYTES -> decode     pipeline/transmission.py  once per cell, in threads (coder_threads.py)
        -> tail(*decoded)                      pipeline/pipeline.py      once per cell
        -> task.record(answers, targets)       tasks/                    bytes and answers of every image: records

Heads, codecs and tails are what a method deploys. Accuracy is always that of what the tail computes from the decoded
bytes, and these are the bytes that were counted. Four steps, which may run in different processes at different times:

    prepare   split the backbone, and deploy every method         once in every process that measures
    describe  computation, times and storage of every cell        once
    measure   any range of the pass's batches -> a shard          ranges in any order, anywhere
    score     the joined shards -> columns and records of a row   once
"""

from splitbench.bench.evaluation.costs import Description, describe
from splitbench.bench.evaluation.inputs import EvaluationInputs
from splitbench.bench.evaluation.measure import Advance, measure
from splitbench.bench.evaluation.prepare import Prepared, prepare
from splitbench.bench.evaluation.score import CellResult, score
from splitbench.bench.evaluation.shards import Shard, ShardError, joined

__all__ = [
    "Advance",
    "CellResult",
    "Description",
    "EvaluationInputs",
    "Prepared",
    "Shard",
    "ShardError",
    "describe",
    "joined",
    "measure",
    "prepare",
    "score",
]
