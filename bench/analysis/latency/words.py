"""A what-if's findings as tables for a reader."""

import pandas as pd

from splitbench.bench.analysis.figures.ticks import plain
from splitbench.bench.results.table import curve_name

_PLACES = {"input": "send the picture", "output": "all on the device"}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The regions for a reader: one column for the speeds, one for the option, one for the latency."""
    place = [name for name in ("dataset", "backbone") if name in table]
    told = table[place].copy()
    told["drop ≤"], told["rtt (ms)"] = table["tolerated_drop"], table["rtt_ms"]
    told["link (Mbit/s)"] = [_range(*ends) for ends in zip(table["mbps_from"], table["mbps_to"], strict=True)]
    told["split"] = table["split"].replace(_PLACES)
    told["method"] = _options(table)
    told["bytes"], told["drop"] = table["bytes_mean"], table["drop"]
    told["latency (ms)"] = [
        _range(*ends) for ends in zip(table["latency_ms_from"], table["latency_ms_to"], strict=True)
    ]
    return told


def shown_per_split(table: pd.DataFrame) -> pd.DataFrame:
    """The best of each split at one speed, for a reader: the option, its latency and what that is made of."""
    told = table[["split"]].replace(_PLACES)
    told["method"] = _options(table)
    told["bytes"], told["drop"], told["latency (ms)"] = table["bytes_mean"], table["drop"], table["latency_ms"]
    for part in ("head", "encode", "send", "decode", "tail"):
        told[part] = table[f"{part}_ms"]
    return told


def _options(table: pd.DataFrame) -> list[str]:
    return [
        f"{curve_name(str(row['method']), str(row['variant']))} {row['knob']}={row['value']}"
        for _, row in table.iterrows()
    ]


def _range(one: float, other: float) -> str:
    ends = list(dict.fromkeys(plain(float(f"{end:.3g}")) for end in (one, other)))
    return " to ".join(ends)
