"""YAML files that people write: plain values alone, and no key twice in one place."""

from pathlib import Path
from typing import Any

import yaml

from splitbench.bench.utils.errors import UserError


class _Loader(yaml.SafeLoader):
    """Refuses a repeated key, which YAML forbids and PyYAML lets the last one win by."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not where values are made of it: there, what `<<` merges in looks like keys of the mapping's own.
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
    """What a YAML file holds.

    Raises:
        UserError: the key that a mapping has twice, and the line of the second.
        OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError: the file cannot be read, or is not YAML.
    """
    with path.open(encoding="utf-8") as stream:
        return yaml.load(stream, _Loader)  # noqa: S506 a SafeLoader
