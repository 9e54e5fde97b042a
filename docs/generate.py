"""Pages that are made from the code: the command line and the presets."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]


def generate(docs: Path) -> None:
    """Write the generated pages into docs/_generated, where they differ from what lies there."""
    folder = docs / "_generated"
    folder.mkdir(exist_ok=True)
    pages = {"command-line.md": command_line(), "presets.md": presets()}
    for name, text in pages.items():
        path = folder / name
        # An untouched file is not read again by the next build.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def command_line() -> str:
    """Give the help of every command as one page."""
    from galadapt.cli import parser

    # argparse wraps lines to the width of the terminal.
    os.environ["COLUMNS"] = "96"
    lines = []
    for name, one in commands(parser()):
        lines += [f"## {name}", "", "```text", one.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def commands(
    parser: argparse.ArgumentParser, name: str = "galadapt"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield a command and those below it, with their full names."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from commands(inner, f"{name} {word}")


def presets() -> str:
    """List the presets by task, each with the comment at the head of its file."""
    found: dict[str, list[str]] = {}
    for path in sorted((REPOSITORY / "config" / "presets").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        words = []
        for line in text.splitlines():
            if not line.startswith("#"):
                break
            words.append(line.lstrip("# "))
        keys = yaml.safe_load(text)
        (task,) = [key for key in keys if key in ("stars", "screening", "votes")] or ["galaxies"]
        found.setdefault(task, []).append(f"`{path.stem}`\n: {' '.join(words)}\n")
    lines = []
    for task in sorted(found):
        lines += [f"## Task {task}", "", *found[task]]
    return "\n".join(lines)
