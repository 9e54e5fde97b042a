"""R² of methods that differ in a number of training stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.core.quantity import label_of
from galadapt.evaluation.families import COUNTED, Curve
from galadapt.plots.style import COLOURS, drawing, legend_below

#: R² below this is drawn at the edge with an arrow: the table has the number.
_FLOOR = -0.6

#: Smallest range of R² that an ablation's panel shows: small differences should look small.
_LEAST_SPAN = 0.05


def ablation(
    comparison: Path, curves: Sequence[Curve], available: Mapping[str, int], output: Path
) -> None:
    """Draw R² against a number of training stamps, a row per curve and variant.

    Args:
        comparison: The tidy comparison table.
        curves: Methods that differ in that number only.
        available: {setting: stamps there are}, where a method is given all of them.
        output: PNG to write. The number's axis is linear up to the smallest one, then logarithmic;
            each panel has a scale of its own.

    Raises:
        DataError: there is no curve, or the table is broken.
    """
    wanted = ("variant", "method", "domain", "item", "metric", "mean", "std")
    table = read_table(comparison, wanted)
    table = table[table["metric"] == "r2"]
    items = list(table["item"].unique())
    rows = [(curve, variant) for curve in curves for variant in table["variant"].unique()]
    if not rows:
        raise DataError(
            f"{comparison}: no methods that differ in a number of stamps only; give method_settings"
            " some that do"
        )
    title = "R² on the test sets against the number of training stamps"
    with drawing(output, len(rows), len(items), (2.9, 2.3), title) as (figure, axes):
        for line, (curve, variant) in zip(axes, rows, strict=True):
            here = table[table["variant"] == variant]
            numbers = [
                available[curve.setting]
                if point.number is None
                else min(point.number, available[curve.setting])
                for point in curve.points
            ]
            smallest = min(n for n in numbers if n > 0)
            left = -0.15 * smallest if min(numbers) == 0 else smallest / 1.6
            for panel, name in zip(line, items, strict=True):
                lowest = 1 - _LEAST_SPAN
                for domain in DOMAINS:
                    part = here[(here["domain"] == domain) & (here["item"] == name)]
                    part = part.set_index("method")[["mean", "std"]]
                    part = part.reindex([point.method for point in curve.points])
                    mean, std = part["mean"].to_numpy(), part["std"].fillna(0).to_numpy()
                    panel.errorbar(
                        numbers,
                        mean.clip(min=_FLOOR),
                        yerr=std,
                        color=COLOURS[domain],
                        marker="o",
                        ms=4,
                        lw=1.3,
                        capsize=2.5,
                        label=domain,
                    )
                    below = mean < _FLOOR
                    panel.scatter(
                        np.array(numbers)[below],
                        np.full(below.sum(), _FLOOR),
                        marker="v",
                        s=45,
                        color=COLOURS[domain],
                        zorder=3,
                    )
                    known = (mean - std)[np.isfinite(mean)]
                    lowest = min([lowest, *known.clip(min=_FLOOR)])
                panel.set_xscale("symlog", linthresh=smallest)
                panel.set_xticks(numbers, [f"{n:,}" for n in numbers])
                panel.minorticks_off()
                air = 0.06 * (1 - lowest)
                panel.set(xlim=(left, 1.6 * max(numbers)), ylim=(lowest - air, 1 + air))
                panel.set_xlabel(COUNTED[curve.setting])
                panel.set_title(f"{variant}, {curve.name}: {label_of(name)}", fontsize=8.5)
            line[0].set_ylabel("R²")
        legend_below(figure, axes[0, 0], 2)
