"""Per-image records: what is stored of every image of a cell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Records = dict[str, npt.NDArray[Any]]
"""By name: arrays with one entry per image, and *ragged* ones with any number, counted by another record."""


def concatenated(batches: Sequence[Mapping[str, Any]]) -> Records:
    """Concatenate the records of several batches; there are none for no batch."""
    return {name: np.concatenate([records[name] for records in batches]) for name in batches[0]} if batches else {}


def joined(batches: Sequence[Records], ragged: Mapping[str, str]) -> Records:
    """Join the records of several batches, in the order of their ``image``.

    ``ragged`` names the records with any number of entries per image, and for each the record that counts them.
    """
    whole = concatenated(batches)
    order = np.argsort(whole["image"], kind="stable")
    ordered = {name: values[order] for name, values in whole.items() if name not in ragged}
    for name in ragged.keys() & whole.keys():
        entries = np.split(whole[name], np.cumsum(whole[ragged[name]])[:-1])
        ordered[name] = np.concatenate([entries[index] for index in order])
    return ordered
