"""Per-image records: what is kept of every image of a cell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Records = dict[str, npt.NDArray[Any]]
"""By name: arrays with one entry per image, and *ragged* ones with any number, counted by another record."""


def concatenated(parts: Sequence[Mapping[str, Any]]) -> Records:
    """The records of several batches, one after the other; none for no batch."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def joined(parts: Sequence[Records], ragged: Mapping[str, str]) -> Records:
    """The records of several batches as one, in the order of their ``image``.

    ``ragged`` names the records with any number of entries per image, and for each the record that counts them.
    """
    whole = concatenated(parts)
    order = np.argsort(whole["image"], kind="stable")
    ordered = {name: values[order] for name, values in whole.items() if name not in ragged}
    for name in ragged.keys() & whole.keys():
        entries = np.split(whole[name], np.cumsum(whole[ragged[name]])[:-1])
        ordered[name] = np.concatenate([entries[index] for index in order])
    return ordered
