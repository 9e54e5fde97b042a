"""Networks beside a profile fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.core.quantity import PARAMETERS
from galadapt.plots.style import COLOURS, drawing, legend_below, mark, open_mark

#: R² below this is drawn at the edge.
_FLOOR = 0.0


def against_fits(table: Path, output: Path, fit: str) -> None:
    """Draw R² of every variant and method beside that of the fit, one panel per parameter.

    Dots: mean and scatter over seeds; circles: the seeds' mean prediction. The band is the fit's
    68 % bootstrap interval.

    Args:
        table: From `galadapt.tasks.galaxies.against_fits.against_fits`.
        output: PNG to write.
        fit: `method` of the fit's rows.

    Raises:
        DataError: the table is broken.
    """
    rows = read_table(table)
    rows = rows[(rows["metric"] == "r2") & rows["quantity"].isin(PARAMETERS)]
    if rows.empty:
        raise DataError(f"{table}: has no R²; rerun the stage that writes it")
    rows = rows.assign(name=rows["method"] + " (" + rows["variant"].fillna("") + ")")
    networks = rows[rows["method"] != fit]
    names = list(networks["name"].unique())
    title = "R² on survey galaxies: networks, and a profile fit of the same stamps"
    with drawing(output, 1, 4, (2.9, 0.9 + 0.3 * max(len(names), 2)), title) as (figure, axes):
        for panel, parameter in zip(axes[0], PARAMETERS, strict=True):
            fitted = rows[(rows["method"] == fit) & (rows["quantity"] == parameter)]
            for row in fitted.to_dict("records"):
                low, high, value = np.clip([row["low"], row["high"], row["mean"]], _FLOOR, 1)
                panel.axvspan(low, high, color="0.85", lw=0)
                panel.axvline(value, color="0.35", lw=1.2)
            for row in networks[networks["quantity"] == parameter].to_dict("records"):
                place = names.index(row["name"])
                mark(panel, row["mean"], row["std"], place, COLOURS["survey"], _FLOOR)
                if row["ensemble"] >= _FLOOR:
                    open_mark(panel, row["ensemble"], place, "black", "o", s=40, lw=1)
            shown = rows.loc[rows["quantity"] == parameter, ["mean", "low"]].to_numpy()
            left = _left_edge(shown)
            panel.set(xlim=(left, 1 + 0.03 * (1 - left)), ylim=(len(names) - 0.5, -0.5))
            panel.set_xlabel("R²")
            panel.set_yticks(range(len(names)), names if panel is axes[0, 0] else [])
            panel.set_title(parameter.replace("_", " "))
        first = axes[0, 0]
        first.scatter([], [], color=COLOURS["survey"], label="networks, by seed")
        open_mark(first, [], [], "black", "o", label="seeds together")
        first.plot([], [], color="0.35", label=fit)
        legend_below(figure, first, 3)


def _left_edge(values: np.ndarray) -> float:
    """Return where an axis of R² begins: at a tenth below all values, from `_FLOOR` on."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return _FLOOR
    return float(max(np.floor(10 * (known.min() - 0.03)) / 10, _FLOOR - 0.03))
