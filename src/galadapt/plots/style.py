"""One style for all figures: colours safe for colour blindness, sizes readable in a report.

Colours are Okabe & Ito's. A figure's bytes depend on its inputs alone: no date, no software
version is written into it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from galadapt.core.files import atomic
from galadapt.plots.values import HEAT_MAP, values

#: Whether figures are written with their values beside them.
_WITH_VALUES: ContextVar[bool] = ContextVar("with_values", default=True)

COLOURS = {"simulated": "#0072B2", "survey": "#D55E00"}

#: Colours of methods or variants, in the order they come. Okabe & Ito's yellow is too pale for
#: lines on white: grey takes its place.
CYCLE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")

#: Marks of methods or variants, so that they differ without colour too.
MARKS = ("o", "s", "^", "D", "v", "P")

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.dpi": 150,
    "savefig.dpi": 150,
}


@contextlib.contextmanager
def drawing(
    output: str | Path,
    rows: int,
    columns: int,
    size: tuple[float, float],
    title: str = "",
    projection: str | None = None,
    pictures: bool = False,
) -> Iterator[tuple[Figure, np.ndarray]]:
    """Yield (figure, axes of shape (rows, columns)); write the PNG when the block succeeds.

    A CSV of the same name beside it holds what is shown (`galadapt.plots.values`).

    `size` is the width and height of one axes [inch]; `projection` is matplotlib's (None: flat).
    `pictures` are shown without axes.
    """
    # A user's matplotlibrc would change the bytes.
    with mpl.rc_context({**mpl.rcParamsDefault, "backend": "agg", **_RC}):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = np.asarray(
            figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": projection})
        )
        for panel in axes.flat if pictures else ():
            panel.set_axis_off()
        if title:
            figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        yield figure, axes
        with atomic(output) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
        if _WITH_VALUES.get():
            _write_values(figure, Path(output).with_suffix(".csv"))


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Write no CSV beside the figures of this block: their values are in a table already."""
    token = _WITH_VALUES.set(False)
    try:
        yield
    finally:
        _WITH_VALUES.reset(token)


def _write_values(figure: Figure, path: Path) -> None:
    """Write what a figure shows; nothing, and no older file, where it shows pictures alone."""
    table = values(figure)
    if table.empty:
        path.unlink(missing_ok=True)
    else:
        with atomic(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")


def axis_range(values: np.ndarray) -> tuple[float, float]:
    """Range of finite values with 4 % of air; (0, 1) when there is none."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    air = 0.04 * (high - low) or 0.5
    return low - air, high + air


def opacity(count: int) -> float:
    """Opacity at which `count` points of one panel stay a cloud and not a blot."""
    return float(np.clip(120 / max(count, 1), 0.08, 0.7))


def corner(axes: Any, text: str) -> None:
    """Write in the upper left corner of a panel."""
    axes.text(
        0.04,
        0.96,
        text,
        transform=axes.transAxes,
        va="top",
        fontsize=8.5,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )


def empty(axes: Any, why: str) -> None:
    """Mark a panel that has nothing to show."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="#777777")
    axes.set_xticks([])
    axes.set_yticks([])


def mark(
    panel: Any,
    mean: float,
    std: float,
    place: float,
    colour: str,
    floor: float = -np.inf,
    **look: Any,
) -> None:
    """Mark a figure of one row with its error bar; an arrow at the edge if it is below `floor`."""
    if mean < floor:
        panel.plot(floor, place, marker="<", color=colour, ms=6, label=look.get("label"))
    elif np.isfinite(mean):
        error = std if np.isfinite(std) else 0
        style = {"fmt": "o", "ms": 5, "color": colour, "capsize": 2.5, **look}
        panel.errorbar(mean, place, xerr=error, **style)


def open_mark(panel: Any, x: Any, y: Any, colour: str, marker: str = "D", **look: Any) -> Any:
    """Draw an open mark, or make its entry of a legend (no places)."""
    return panel.scatter(x, y, facecolors="none", edgecolors=colour, marker=marker, **look)


def log_scale(panel: Any) -> None:
    """Draw y on a logarithmic scale with plain numbers, several in a decade."""
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.yaxis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, panel: Any, columns: int) -> None:
    """Put the legend of a panel below all panels, if it has any entry."""
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def colours(names: Sequence[str]) -> dict[str, str]:
    """Give each name its colour, by position."""
    return {name: CYCLE[k % len(CYCLE)] for k, name in enumerate(names)}


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
    panel.imshow(shares, cmap=colour_map, vmin=0, vmax=1, aspect="auto", gid=HEAT_MAP)
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            dark = shares[i, j] > 0.55
            ink = "white" if dark else "black"
            panel.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.grid(False)
