"""YAML files that people write, by YAML 1.2's core schema: what looks like a number is one, all else is text.

PyYAML reads YAML 1.1, which changes values without a word: ``no`` and ``off`` are false there, ``010`` is 8, ``1:30``
is 90, ``2020-01-01`` a date and ``1e-3`` text. Here ``true`` and ``false`` are the booleans, ``null`` and ``~``
nothing, and numbers are written as in ``12``, ``-1``, ``0x1f``, ``0o17``, ``1.5``, ``1e-3`` or ``.inf``. Digits behind
a leading zero (``000000000139``, one of COCO's image ids) stay text, so that no zero is lost.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from splitbench.bench.utils.errors import UserError

_BOOL, _NULL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "null", "int", "float"))
_SCALARS = (  # YAML 1.2.2, section 10.3.2, but for numbers with leading zeros
    (_NULL, re.compile(r"^(?:null|Null|NULL|~|)$"), ["n", "N", "~", ""]),
    (_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (_INT, re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        _FLOAT,
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"]),  # of YAML 1.1, and in wide use
)


class _Loader(yaml.SafeLoader):
    """Refuses a repeated key, too, which YAML forbids and PyYAML lets the last one win by."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way

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


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 0)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
_Loader.add_constructor(_INT, _integer)
_Loader.add_constructor(_FLOAT, _float)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: the key that a mapping has twice, and the line of the second.
        OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError: the file cannot be read, or is not YAML.
    """
    with path.open(encoding="utf-8") as stream:
        return yaml.load(stream, _Loader)  # noqa: S506 a SafeLoader


def parse_yaml(text: str) -> Any:
    """Parse YAML by the same rules. Raises UserError for a key given twice, yaml.YAMLError for what is not YAML."""
    return yaml.load(text, _Loader)  # noqa: S506 a SafeLoader
