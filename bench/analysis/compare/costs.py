"""What each curve costs beside bytes: computation, storage, weights to switch, training, time."""

import pandas as pd

from splitbench.bench.results.table import CURVE, points

_LARGEST = [
    "device_macs",
    "macs_head",
    "macs_encoder",
    "macs_decoder",
    "macs_tail",
    "storage_device_bytes",
    "storage_server_bytes",
    "switch_device_bytes",
    "switch_server_bytes",
    "switch_ms",
    "head_ms",
    "encode_ms",
    "decode_ms",
    "tail_ms",
]
_SUMMED = ["train_macs", "train_images", "train_seconds"]


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row of costs per curve, in the units of the run's columns.

    Per-image costs, storage and switching are the largest over the curve's rate points (most are the same at all);
    training is summed, since every rate point has to be trained before the first image is sent. Over several ``seeds``
    (that every rate point has at least) each point's costs are means: training is that of one seed. Empty where nothing
    was measured or nothing applies.
    """
    groups = points(frame).groupby(CURVE, sort=True)
    table = pd.concat(
        [
            groups["seeds"].agg(rate_points="size", seeds="min"),
            groups[_LARGEST].max(),
            groups[_SUMMED].sum(min_count=1),
        ],
        axis=1,
    )
    return table.reset_index()
