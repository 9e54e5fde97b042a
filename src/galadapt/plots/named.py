"""Choose figures by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from galadapt.core.errors import ConfigError


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
