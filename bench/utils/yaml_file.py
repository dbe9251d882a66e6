"""Reads YAML files written by users: plain values only, and no repeated keys."""

from pathlib import Path
from typing import Any

import yaml

from splitbench.bench.utils.errors import UserError


class _Loader(yaml.SafeLoader):
    """Refuses repeated keys, which YAML forbids; PyYAML would let the last one win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked before values are constructed: by then, keys merged in by `<<` look like the mapping's own.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    mark = key.start_mark
                    raise UserError(f"{mark.name}: {key.value}: given twice (line {mark.line + 1})")
                seen.add((key.tag, key.value))
        return node


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: a mapping repeats a key.
        OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError: the file cannot be read, or is not YAML.
    """
    with path.open(encoding="utf-8") as stream:
        return yaml.load(stream, _Loader)  # noqa: S506 a SafeLoader
