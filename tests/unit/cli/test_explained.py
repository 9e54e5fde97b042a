"""--help of every command says what it does, what it reads and writes, with an example."""

from __future__ import annotations

import argparse
import shlex

import pytest

from galadapt.cli import parser
from galadapt.cli.explained import commands

COMMANDS = dict(commands(parser()))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained(name):
    text = COMMANDS[name].format_help()
    assert "Example" in text, f"{name}: add it to COMMANDS of galadapt/cli/explained.py"
    inner = any(isinstance(one, argparse._SubParsersAction) for one in COMMANDS[name]._actions)
    assert inner or "Reads: " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_commands_that_parse(name):
    text = COMMANDS[name].description or ""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  galadapt ")]
    for line in lines:
        words = shlex.split(line)[1:]
        if "--help" not in words and words[0] != "COMMAND":
            assert parser().parse_args(words).verb == words[0]


@pytest.mark.parametrize("name", ["galadapt predict", "galadapt fit-check"])
def test_options_of_measuring_stand_in_groups(name):
    command = COMMANDS[name]
    assert [one.dest for one in command._optionals._group_actions] == ["help"]
    printed = command.format_help()
    assert printed.index("what is measured") < printed.index("--images IMAGES [IMAGES ...]\n")
    # Each option is printed once below the usage.
    assert printed.count("\n  --zero-point ") == 1
