"""The benchmark's table, and its picture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import quantity_metrics
from galadapt.answers.numbers.settings import Evaluation
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.plots.style import CYCLE, drawing

#: Magnitude bins: name, from (included), to.
EDGES = (-np.inf, 20.0, 22.0, 23.5, np.inf)
BINS = {
    "all": (-np.inf, np.inf),
    **dict(zip(("<20", "20-22", "22-23.5", ">23.5"), itertools.pairwise(EDGES), strict=True)),
}

REFERENCE, FAST = "galadapt", "galadapt --fast"

#: Short names of the parameters in the table's columns.
SHORT = dict(zip(PARAMETERS, ("mag", "re", "n", "e"), strict=True))


def rows(
    condition: str,
    truth: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame],
    evaluation: Evaluation,
) -> pd.DataFrame:
    """One row per method and magnitude bin.

    Args:
        condition: Name of the condition.
        truth: One row per stamp: the parameters.
        measured: By method: row, seconds, the parameters (NaN where failed), reason; an empty
            table with the attribute ``note`` for a method that could not be run.
        evaluation: Limits of outliers and of meaningful values.

    Returns:
        condition, method, bin, n, failures, seconds (mean CPU per galaxy), seconds_median,
        ratio (of the means, to galadapt's in the same bin), and for each parameter r2, nmad, bias
        (median) and outliers (share) over the galaxies with a finite result, in the convention of
        `galadapt.answers.numbers.metrics`: relative for re, dex for n (2.3 times dex is relative).
    """
    found: list[dict[str, Any]] = []
    magnitude = truth["magnitude"].to_numpy()
    for method, table in measured.items():
        note = table.attrs.get("note", "")
        table = table.set_index("row").reindex(range(len(truth)))
        for name, (low, high) in BINS.items():
            inside = (magnitude >= low) & (magnitude < high)
            here = table[inside]
            row: dict[str, Any] = {"condition": condition, "method": method, "bin": name}
            row["n"] = 0 if note else int(inside.sum())
            row["failures"] = 0 if note else int((here["reason"] != "").sum())
            row["seconds"] = here["seconds"].astype(float).mean()
            row["seconds_median"] = here["seconds"].astype(float).median()
            for parameter in PARAMETERS:
                quantity = QUANTITIES[parameter]
                values = quantity_metrics(
                    quantity,
                    truth.loc[inside, parameter].to_numpy(float),
                    here[parameter].to_numpy(float),
                    *evaluation.limits(quantity),
                )
                short = SHORT[parameter]
                row[f"{short}_r2"] = values["r2"]
                row[f"{short}_nmad"] = values["scatter"]
                row[f"{short}_bias"] = values["bias"]
                row[f"{short}_outliers"] = values["outlier_fraction"]
            row["note"] = note
            found.append(row)
    table = pd.DataFrame(found)
    own = table[table["method"] == REFERENCE].set_index("bin")["seconds"]
    table.insert(7, "ratio", table["seconds"] / table["bin"].map(own))
    return table


def printed(table: pd.DataFrame) -> str:
    """The table as text: bins without galaxies left out, the best NMAD of each bin starred."""
    shown = table[(table["n"] > 0) | ((table["bin"] == "all") & (table["note"] != ""))]
    blocks = []
    for (condition, name), block in shown.groupby(["condition", "bin"], sort=False):
        best = {short: block[f"{short}_nmad"].min() for short in SHORT.values()}
        lines = [f"{condition}, magnitude {name} ({int(block['n'].max())} galaxies)"]
        lines.append(
            f"  {'':15s} {'failed':>6s} {'ms':>9s} {'ratio':>8s}   "
            + " ".join(f"{short + ' R²':>7s} {'NMAD':>7s} {'out%':>5s}" for short in SHORT.values())
        )
        for _, row in block.iterrows():
            if row["note"]:
                lines.append(f"  {row['method']:15s} {row['note']}")
                continue
            cells = []
            for short in SHORT.values():
                star = "*" if row[f"{short}_nmad"] == best[short] else " "
                cells.append(
                    f"{row[f'{short}_r2']:7.3f} {row[f'{short}_nmad']:6.4f}{star} "
                    f"{100 * row[f'{short}_outliers']:5.1f}"
                )
            lines.append(
                f"  {row['method']:15s} {row['failures']:6d} {1000 * row['seconds']:9.2f} "
                f"{row['ratio']:8.1f}   " + " ".join(cells)
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def draw(table: pd.DataFrame, output: Path) -> None:
    """Draw NMAD against magnitude bin: a row per condition, a column per parameter."""
    bins = [name for name in BINS if name != "all" and table.loc[table["bin"] == name, "n"].any()]
    conditions = list(dict.fromkeys(table["condition"]))
    title = "Scatter (NMAD) of galadapt and profile fitters on the same stamps"
    with drawing(output, len(conditions), len(SHORT), (2.7, 2.3), title) as (_, axes):
        for line, condition in zip(axes, conditions, strict=True):
            for axis, (parameter, short) in zip(line, SHORT.items(), strict=True):
                here = table[(table["condition"] == condition) & (table["note"] == "")]
                for colour, (method, part) in zip(
                    itertools.cycle(CYCLE), here.groupby("method", sort=False)
                ):
                    values = part.set_index("bin")[f"{short}_nmad"].reindex(bins)
                    axis.plot(bins, values, "o-", color=colour, label=method, markersize=4)
                axis.set_yscale("log")
                axis.set_title(f"{condition}: {short} [{QUANTITIES[parameter].error_unit}]")
        for axis in axes[-1]:
            axis.set_xlabel("true magnitude")
        axes[0, 0].legend()
