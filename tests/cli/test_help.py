"""What help texts promise, and words that messages must not use."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from splitbench.bench.cli.main import app
from tests.helpers.command_line import splitbench

ROOT = Path(__file__).parents[2]


def commands(group: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*way, name))
        else:
            yield " ".join((*way, name)), command


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_can_be_typed(name):
    command = COMMANDS[name]
    (line,) = re.findall(r"Example: (.*)", command.help)
    words = shlex.split(line.rpartition("-m splitbench.bench")[2] if "torchrun" in line else line)
    typed = words[1:] if words[0] == "splitbench" else words
    assert typed[: len(name.split())] == name.split()
    command.make_context(name, typed[len(name.split()) :])  # raises for an option that is not there


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_the_exit_codes(option, capsys):
    assert splitbench(option) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Ends with 0 if all went well, 1 if cells failed, 2 if the input was wrong, 130 after Ctrl-C." in text


def test_messages_speak_of_options_and_not_of_makes_variables():
    variables = re.findall(r"^#   ([A-Z]+)=", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"DATA", "DEVICE", "OUT"} <= {*variables}
    spoken = re.compile(rf"\b({'|'.join(variables)})=")
    found = [
        f"{file.relative_to(ROOT)}: {node.value[:80]}"
        for folder in ("bench", "datasets", "methods", "api")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and spoken.search(node.value)
    ]
    assert not found
