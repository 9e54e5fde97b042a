"""Learning curves of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.plots.style import drawing, log_scale


def learning(history: Path, output: Path, title: str = "") -> None:
    """Draw training and validation curves; each pair <name>, val_<name> shares a panel.

    Raises:
        DataError: the history has no epoch or no curve.
    """
    table = read_table(history)
    named = [str(name) for name in table.columns if name not in ("epoch", "seconds")]
    groups = list(dict.fromkeys(name.removeprefix("val_") for name in named))
    if "epoch" not in table or not groups or table.empty:
        raise DataError(f"{history}: holds no epoch or no curve; rerun the training")
    across = min(4, len(groups))
    down = -(-len(groups) // across)
    with drawing(output, down, across, (2.9, 2.3), title) as (_, axes):
        for panel in axes.flat[len(groups) :]:
            panel.remove()
        for panel, group in zip(axes.flat, groups, strict=False):
            curves = [name for name in (group, f"val_{group}") if name in table]
            for name in curves:
                validation = name.startswith("val_")
                panel.plot(
                    table["epoch"],
                    table[name],
                    color="#D55E00" if validation else "#0072B2",
                    marker="o",
                    ms=2.5,
                    lw=1.4,
                    label="validation" if validation else "training",
                )
            finite = table[curves].to_numpy(np.float64)
            finite = finite[np.isfinite(finite)]
            if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
                log_scale(panel)
            elif len(finite) and finite.min() >= 0:
                panel.set_ylim(bottom=0, top=1.08 * finite.max() or 1)
            alone = "validation: " if curves == [f"val_{group}"] else ""
            panel.set_title(alone + group.replace("_", " "))
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set_xlabel("epoch")
            if len(curves) > 1:
                panel.legend()
