"""What figures of classes share: their colours, and matrices of shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from galadapt.plots.style import colours


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """Give each class its colour: distinct ones, or a scale where the classes are numbers."""
    if all(name.isdigit() for name in names):
        scale = mpl.colormaps["viridis"]
        places = np.linspace(0, 0.92, max(len(names), 2))
        return {
            name: mpl.colors.to_hex(scale(place))
            for name, place in zip(names, places, strict=False)
        }
    return colours(names)


def heat_map(
    panel: Any,
    shares: np.ndarray,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Draw shares from 0 to 1 as blues with a text in each cell; NaN is grey."""
    colour_map = mpl.colormaps["Blues"].with_extremes(bad="#eeeeee")
    panel.imshow(shares, cmap=colour_map, vmin=0, vmax=1, aspect="auto")
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            dark = shares[i, j] > 0.55
            ink = "white" if dark else "black"
            panel.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.grid(False)
