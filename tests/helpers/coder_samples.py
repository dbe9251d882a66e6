"""Symbols and tables of every kind, for the tests of the entropy coders."""

from contextlib import suppress

import numpy as np
from hypothesis import strategies as st

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.entropy.probability_tables import Tables

EXTREMES = [-(2**31), -(2**31) + 1, 2**31 - 1, 2**20, -1, 0]


@st.composite
def tables(draw, groups=None):
    """Tables of few or many groups and symbols, flat or peaked, anywhere in int32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(1, 6)) if groups is None else groups
    length = draw(st.sampled_from([1, 2, 5, 40, 300]))
    pmf = rng.random((groups, length)) ** draw(st.sampled_from([0, 1, 8, 100])) + 1e-9
    lowest = draw(st.sampled_from([-(2**31), -20, 0, 3, 2**31 - length]))
    return Tables.from_pmf(pmf, lowest, draw(st.sampled_from([0.0, 1e-6, 0.1, 10.0])))


@st.composite
def tensors(draw, groups=None):
    """Tables and symbols (G, N) for them: drawn from them, constant, or any int32 in part or throughout."""
    part = draw(tables(groups))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = part.groups if part.groups > 1 else draw(st.integers(1, 4))
    count = draw(st.sampled_from([0, 1, 2, 17, 400]))
    symbols = np.zeros((rows, count), np.int32)
    for row, group in zip(symbols, np.resize(np.arange(part.groups), rows), strict=True):
        symbols_of_group = part.lowest[group] + np.arange(int(part.lengths[group]), dtype=np.int64)
        row[:] = rng.choice(symbols_of_group, count)
    kind = draw(st.sampled_from(["tables'", "constant", "some", "any"]))
    if kind == "constant":
        symbols[:] = draw(st.sampled_from(EXTREMES))
    elif kind in ("some", "any"):
        strange = rng.random(symbols.shape) < (0.05 if kind == "some" else 1.0)
        wild = np.where(rng.random(symbols.shape) < 0.5, rng.choice(EXTREMES, symbols.shape), rng.integers(-60, 60))
        symbols[strange] = wild[strange]
    return part, symbols


def cuts(groups=None):
    """The tensors of one cut: none, one or several."""
    return st.lists(tensors(groups), max_size=3)


def assert_damage_is_refused_or_decodes(coder, cut, rng):
    """Flip, cut off or make up bytes of what a coder sends: it refuses them, or decodes as many symbols."""
    _, symbols, shapes = split(cut)
    data = bytearray(coder.encode(symbols))
    for _ in range(rng.randint(0, 3) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    damaged = rng.choice([bytes(data[: rng.randint(0, len(data))]), bytes(data), rng.randbytes(rng.randint(0, 40))])
    with suppress(BitstreamError):
        assert [x.shape for x in coder.decode(damaged, shapes)] == shapes


def split(cut):
    """A cut's tables, symbols and shapes, each a list."""
    parts, symbols = [part for part, _ in cut], [x for _, x in cut]
    return parts, symbols, [x.shape for x in symbols]
