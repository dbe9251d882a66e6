"""A what-if's findings as tables for a reader."""

import pandas as pd

from splitbench.bench.figures.ticks import plain
from splitbench.bench.table import curve_name

_PLACES = {"input": "send the picture", "output": "all on the device"}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The regions for a reader: one column for the speeds, one for the option, one for the latency."""
    place = [name for name in ("dataset", "backbone") if name in table]
    told = table[place].copy()
    told["drop ≤"], told["rtt (ms)"] = table["tolerated_drop"], table["rtt_ms"]
    told["link (Mbit/s)"] = [_range(*ends) for ends in zip(table["mbps_from"], table["mbps_to"], strict=True)]
    told["split"] = table["split"].replace(_PLACES)
    told["method"] = [
        f"{curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"
        for _, row in table.iterrows()
    ]
    told["bytes"], told["drop"] = table["bytes_mean"], table["drop"]
    told["latency (ms)"] = [
        _range(*ends) for ends in zip(table["latency_ms_from"], table["latency_ms_to"], strict=True)
    ]
    return told


def _range(one: float, other: float) -> str:
    ends = list(dict.fromkeys(plain(float(f"{end:.3g}")) for end in (one, other)))
    return " to ".join(ends)
