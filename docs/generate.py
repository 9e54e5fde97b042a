"""Pages that are made when the docs are built: the command line, presets, examples."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]


def generate(docs: Path) -> None:
    """Write the generated pages into docs/_generated, where they differ from what lies there."""
    pages = {
        docs / "_generated" / "command-line.md": command_line(),
        docs / "_generated" / "presets.md": presets(),
        **{
            docs / "examples" / "generated" / path.name: path.read_text(encoding="utf-8")
            for path in (REPOSITORY / "examples").glob("*.md")
        },
    }
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        # An untouched file is not read again by the next build.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def not_executed(docs: Path) -> list[str]:
    """Name the examples whose inputs are not here: a model package, the runs of a demo.

    They are shown without their results; `make demo` makes both.
    """
    folder = docs / "examples" / "generated"
    results = folder / "results"
    if not results.exists():
        results.symlink_to(REPOSITORY / "results")
    with contextlib.chdir(folder):
        found = []
        if not Path("results/runs/galaxies/asinh/transfer").is_dir():
            found += ["compare", "similar"]
    return [f"examples/generated/{name}.md" for name in found]


def command_line() -> str:
    """Give the help of every command as one page."""
    from galadapt.cli import parser
    from galadapt.cli.explained import commands

    # argparse wraps lines to the width of the terminal.
    os.environ["COLUMNS"] = "96"
    lines = []
    for name, one in commands(parser()):
        lines += [f"## {name}", "", "```text", one.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


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
