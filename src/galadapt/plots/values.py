"""The numbers that a figure shows, as one table, so that a reader can plot them again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

#: What marks an image as a map of shares from 0 to 1, with names along both axes.
HEAT_MAP = "heat map"

#: Columns; the last four are the ends of error bars.
COLUMNS = ["panel", "x_axis", "y_axis", "series", "x", "y", "x_low", "x_high", "y_low", "y_high"]


def values(figure: Figure) -> pd.DataFrame:
    """Collect points, lines, error bars, bars, histograms and heat maps, with `COLUMNS`.

    A cell of a heat map has its row as `series`, its column as `x` and its share as `y`. Pictures,
    bands and lines of reference across a whole panel are left out.
    """
    rows = []
    for number, axes in enumerate(figure.axes, start=1):
        about = [axes.get_title() or str(number), axes.get_xlabel(), axes.get_ylabel()]
        about = [" ".join(text.split()) for text in about]
        ticks = {name: _names(getattr(axes, f"{name}axis")) for name in "xy"}
        for series, place in _series(axes):
            for name, named in ticks.items():
                # Categories are drawn at whole numbers.
                nearest = round(place[name]) if np.isfinite(place[name]) else None
                if named and nearest in named:
                    place[name] = named[nearest]
            rows.append([*about, series, *(_short(place.get(key, "")) for key in COLUMNS[4:])])
        for row, column, share in _cells(axes):
            rows.append([*about[:2], "share", row, column, _short(share), "", "", "", ""])
    return pd.DataFrame(rows, columns=COLUMNS)


def _cells(axes: Any) -> Iterator[tuple[str, str, float]]:
    """Yield row, column and value of each cell of a heat map that has a value."""
    for image in axes.images:
        if image.get_gid() == HEAT_MAP:
            # Also of labels that are hidden.
            across, down = (
                axis.get_major_formatter().format_ticks(axis.get_ticklocs())
                for axis in (axes.xaxis, axes.yaxis)
            )
            shares: np.ndarray = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
            for i, j in zip(*np.nonzero(np.isfinite(shares)), strict=True):
                yield down[i], across[j], shares[i, j]


def _short(value: Any) -> Any:
    return value if isinstance(value, str) else float(f"{value:.6g}")


def _names(axis: Any) -> dict[int, str]:
    """Names of the categories along an axis, by their places; none where it has numbers."""
    labelled = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
    texts = {round(float(place)): text for place, one in labelled if (text := one.get_text())}
    return texts if texts and not any(_is_number(text) for text in texts.values()) else {}


def _is_number(text: str) -> bool:
    try:
        float(text.replace("\N{MINUS SIGN}", "-").replace(" ", ""))
    except ValueError:
        return "mathdefault" in text
    return True


def _series(axes: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    drawn: set[int] = set()
    for container in axes.containers:
        label = _label(container)
        if isinstance(container, ErrorbarContainer):
            line, _, bars = container.lines
            drawn |= {id(line), *map(id, bars)}
            points = [] if line is None else [{"x": x, "y": y} for x, y in _places(line)]
            _add_bars(points, bars)
            yield from ((label, point) for point in points)
        elif isinstance(container, BarContainer):
            drawn |= set(map(id, container.patches))
            across = container.orientation == "horizontal"
            for bar in container.patches:
                middle = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2
                end = bar.get_width() if across else bar.get_height()
                x, y = (end, middle[1]) if across else (middle[0], end)
                yield label, {"x": x, "y": y}
    for line in axes.lines:
        if id(line) not in drawn and line.get_transform() == axes.transData:
            yield from ((_label(line), {"x": x, "y": y}) for x, y in _places(line))
    for cloud in axes.collections:
        if isinstance(cloud, PathCollection) and not isinstance(cloud, LineCollection):
            places = np.ma.filled(cloud.get_offsets(), np.nan)
            yield from ((_label(cloud), {"x": x, "y": y}) for x, y in places)
    for patch in axes.patches:
        # A histogram drawn as one outline.
        if id(patch) not in drawn and isinstance(patch, Polygon):
            yield from ((_label(patch), {"x": x, "y": y}) for x, y in patch.get_xy())


def _places(line: Any) -> np.ndarray:
    return np.asarray(line.get_xydata(), float)


def _add_bars(points: list[dict[str, Any]], bars: Any) -> None:
    for collection in bars:
        for point, ends in zip(points, collection.get_segments(), strict=False):
            if len(ends) == 0:
                continue  # of an undefined value
            (x0, y0), (x1, y1) = ends[0], ends[-1]
            if x0 == x1:
                point |= {"y_low": y0, "y_high": y1}
            else:
                point |= {"x_low": x0, "x_high": x1}


def _label(artist: Any) -> str:
    """Name a series: its label; one hidden from legends by an underscore is named without it."""
    label = str(artist.get_label() or "")
    return "" if label.startswith(("_child", "_container", "_nolegend")) else label.lstrip("_")
