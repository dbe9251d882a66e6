"""Rate: the columns that follow from the lengths of the bitstreams."""

from collections.abc import Sequence

import numpy as np

from splitbench.bench.metrics.records import Records
from splitbench.methods.base import Bitstream

FIELDS = ("bytes", "payload", "side", "framing")


def record(streams: Sequence[Bitstream]) -> Records:
    """Return the records of a batch's bitstreams: their lengths and those of their three parts, in bytes."""
    rows = [(len(stream.data), stream.payload, stream.side, stream.framing) for stream in streams]
    columns = np.array(rows, np.int64).reshape(-1, len(FIELDS)).T
    return dict(zip(FIELDS, columns, strict=True))


def summary(records: Records, pixels: float, elements: float) -> dict[str, float]:
    """Return the rate columns. ``pixels`` and ``elements`` of the cut are those of one image, or means over images."""
    size = records["bytes"]
    mean = float(size.mean())
    columns = {
        "bytes_mean": mean,
        "bytes_p50": float(np.percentile(size, 50)),
        "bytes_p95": float(np.percentile(size, 95)),
        "bytes_max": int(size.max()),
        "payload_bytes": float(records["payload"].mean()),
        "side_bytes": float(records["side"].mean()),
        "framing_bytes": float(records["framing"].mean()),
        "bits_per_pixel": 8 * mean / pixels,
        "bits_per_element": 8 * mean / elements,
    }
    return columns | ({"ratio": 4 * elements / mean} if mean > 0 else {})
