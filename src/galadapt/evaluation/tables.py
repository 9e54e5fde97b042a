"""Tables to read: Markdown, plain text for a terminal, HTML from a template of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]], names: int = 2) -> list[str]:
    """Return the lines of a Markdown table; `names` columns of text, then numbers."""
    align = ["---" if k < names else "---:" for k in range(len(head))]
    return [f"| {' | '.join(line)} |" for line in [head, align, *body]]


def text_table(head: Sequence[str], body: Sequence[Sequence[str]], names: int = 2) -> list[str]:
    """Return the lines of a table for a terminal, indented, with `names` columns of text."""
    widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]
    lines = []
    for line in [head, ["-" * width for width in widths], *body]:
        cells = [
            text.ljust(width) if k < names else text.rjust(width)
            for k, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def render_html(
    template: str,
    package: str = "galadapt.evaluation",
    trim: bool = False,
    frames: Mapping[str, str] | None = None,
    **values: Any,
) -> str:
    """Render a template beside a module of `package`; `trim` removes the lines of its statements.

    `frames` are templates that it extends, by their names. The caller is in that package: its code
    digest covers the files beside it that it names.
    """
    source = resources.files(package).joinpath(template).read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(frames or {}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=trim,
        lstrip_blocks=trim,
    )
    return environment.from_string(source).render(**values)
