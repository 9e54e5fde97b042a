"""Choose figures by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from galadapt.core.errors import ConfigError
from galadapt.core.files import read_json


def draw_named(outputs: Sequence[Path], drawers: Mapping[str, Callable[[Path], None]]) -> None:
    """Draw each of `outputs` with the function its stem names.

    Raises:
        ConfigError: an output has another name; those before it are drawn.
    """
    for output in map(Path, outputs):
        if output.stem not in drawers:
            raise ConfigError(
                f"{output}: no figure is called '{output.stem}'; known: {', '.join(drawers)}"
            )
        drawers[output.stem](output)


def run_title(run: Path) -> str:
    """Name a run by its run.json, for the titles of its figures."""
    content = read_json(run)
    return " / ".join(str(content.get(key, "?")) for key in ("task", "variant", "method", "seed"))
