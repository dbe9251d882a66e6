"""The column ``warnings``: sentences in one text."""

from collections.abc import Iterable

_BETWEEN = "; "


def join_warnings(*groups: Iterable[str]) -> str:
    """Return sentences as one text, each once, in their order."""
    sentences = (line.replace(_BETWEEN, ", ") for group in groups for line in group)
    return _BETWEEN.join(dict.fromkeys(line for line in sentences if line))


def split_warnings(text: object) -> list[str]:
    """Return the sentences of a row's text; none for an empty or missing one, as in tables of earlier versions."""
    return text.split(_BETWEEN) if isinstance(text, str) and text else []
