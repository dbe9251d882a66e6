"""How the work of a run is cut for several workers: chains of trainings, and parts of a pass."""

from collections.abc import Iterable

LEAST_BATCHES = 4
"""Of a pass that is shared out among workers: each of them has to split the backbone and to fit tables first."""


def chains(pairs: Iterable[tuple[str, str | None]]) -> list[list[str]]:
    """Trainings (key, key of the one that it begins with) as chains: each can be done by itself, in its order.

    >>> chains([("a", None), ("b", "a"), ("c", None), ("d", "b")])
    [['a', 'b', 'd'], ['c']]
    """
    found: list[list[str]] = []
    for key, neighbour in pairs:
        chain = next((chain for chain in found if neighbour is not None and chain[-1] == neighbour), None)
        if chain is None:
            found.append([key])
        else:
            chain.append(key)
    return found
