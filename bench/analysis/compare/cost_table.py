"""The costs of each curve beside bytes: computation, storage, weight switching, training, time."""

import pandas as pd

from splitbench.bench.results.names import CURVE
from splitbench.bench.results.table import points

_MAXIMUM = [
    *("device_macs", "macs_head", "macs_encoder", "macs_decoder", "macs_tail"),
    *("storage_device_bytes", "storage_server_bytes", "switch_device_bytes", "switch_server_bytes"),
    *("storage_device_packed_bytes", "storage_server_packed_bytes"),
    *("switch_device_packed_bytes", "switch_server_packed_bytes", "switch_ms"),
    *("head_ms", "encode_ms", "decode_ms", "tail_ms"),
]
_SUM = ["train_macs", "train_images", "train_seconds"]


def cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row of costs per curve, in the units of the run's columns.

    Per-image costs, storage and switching are maxima over the curve's rate points (most are the same at all); training
    is summed, since every rate point has to be trained before the first image is sent, and one that several share
    counts once. Over several ``seeds`` (the smallest number that a rate point has) each point's costs are means:
    training is that of one seed. What was not measured or does not apply is empty.
    """
    rows = points(frame)
    groups = rows.groupby(CURVE, sort=True)
    counts = groups["seeds"].agg(rate_points="size", seeds="min")
    return pd.concat([counts, groups[_MAXIMUM].max(), _trainings(frame).reindex(counts.index)], axis=1).reset_index()


def _trainings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the trainings of each curve took: the mean over a rate point's seeds, each training once."""
    cells = frame[(frame["status"] == "ok") & frame["accuracy"].notna()]
    seeds = cells.groupby([*CURVE, "knob", "value"])["seed"].transform("nunique")
    once = cells["training"].fillna("").where(cells["training"].fillna("") != "", cells["key"])
    weighted = cells.assign(seeds=seeds, training=once)
    trained = weighted.groupby([*CURVE, "training"]).agg({"seeds": "max"} | dict.fromkeys(_SUM, "first"))
    shares = trained[_SUM].div(trained["seeds"], axis=0)
    return shares.groupby(CURVE, sort=True).sum(min_count=1)
