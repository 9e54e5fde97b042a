"""Optimisers compared: learning curves side by side, and a table."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv
from galadapt.evaluation.families import of_optimizers
from galadapt.evaluation.runs import read_identity
from galadapt.plots.style import colours, drawing, legend_below, log_scale

#: Columns of the table; a row per variant and method, figures over seeds.
COLUMNS = [
    *("variant", "method", "optimizer", "learning_rate", "best_loss", "best_loss_std"),
    *("best_epoch", "epochs_to_5_percent", "seconds_per_epoch", "n_seeds"),
]

#: What is compared with the best loss of all: where a training is nearly there.
_NEARLY = 1.05


def compare_optimizers(
    runs: Sequence[Path],
    histories: Sequence[Path],
    method_settings: Mapping[str, Mapping[str, Any]],
    table: Path,
    figure: Path,
) -> None:
    """Compare methods that differ in nothing but their optimiser.

    Args:
        runs, histories: run.json and history.csv of all runs of the experiment.
        method_settings: Settings of each method, as plain values.
        table: CSV to write, `COLUMNS`: smallest validation loss (mean over seeds and sample
            standard deviation), its epoch, the first epoch within 5 % of the smallest loss of all
            (empty: never), and the median time of an epoch.
        figure: PNG to write: validation loss against epochs, a panel per variant.

    Raises:
        DataError: a history lacks an epoch or its validation loss, or nothing is to be compared.
    """
    curves: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for run, history in zip(runs, histories, strict=True):
        identity = read_identity(run)
        one = read_table(history)
        if one.empty or not {"epoch", "val_monitored", "seconds"} <= set(one):
            raise DataError(f"{history}: holds no validation loss; rerun the training")
        curves.setdefault((str(identity["variant"]), str(identity["method"])), []).append(one)
    methods = list(dict.fromkeys(method for _, method in curves))
    compared = of_optimizers(methods, method_settings)
    if not compared:
        raise DataError(f"{table}: no methods that differ in their optimiser only")
    variants = list(dict.fromkeys(variant for variant, _ in curves))
    rows, panels = [], []
    for variant, names in itertools.product(variants, compared):
        group = {name: curves[variant, name] for name in names if (variant, name) in curves}
        panels.append((f"variant {variant}", group))
        best = min(one["val_monitored"].min() for own in group.values() for one in own)
        rows += [
            {
                "variant": variant,
                "method": name,
                "optimizer": method_settings[name]["optimizer"]["kind"],
                "learning_rate": method_settings[name]["learning_rate"],
                **_summary(own, _NEARLY * best),
            }
            for name, own in group.items()
        ]
    write_csv(table, pd.DataFrame(rows, columns=COLUMNS))
    _draw(panels, figure)


def _summary(histories: Sequence[pd.DataFrame], near: float) -> dict[str, float]:
    smallest = np.array([one["val_monitored"].min() for one in histories])
    pairs = [(one["epoch"], one["val_monitored"]) for one in histories]
    reached = [epochs[loss <= near].min() for epochs, loss in pairs]
    return {
        "best_loss": smallest.mean(),
        "best_loss_std": smallest.std(ddof=1) if len(smallest) > 1 else np.nan,
        "best_epoch": np.mean(
            [one["epoch"].iloc[one["val_monitored"].argmin()] for one in histories]
        ),
        "epochs_to_5_percent": np.mean(reached) if np.isfinite(reached).all() else np.nan,
        "seconds_per_epoch": np.median(np.concatenate([one["seconds"] for one in histories])),
        "n_seeds": len(histories),
    }


def _draw(panels: Sequence[tuple[str, Mapping[str, Sequence[pd.DataFrame]]]], output: Path) -> None:
    palette = colours(list(dict.fromkeys(name for _, group in panels for name in group)))
    with drawing(output, 1, len(panels), (5.2, 3.4)) as (figure, axes):
        for panel, (title, group) in zip(axes[0], panels, strict=True):
            for number, (name, own) in enumerate(group.items()):
                mean = pd.concat(own).groupby("epoch")["val_monitored"].mean()
                look = {"color": palette[name], "ls": "-" if number < 6 else "--"}
                panel.plot(mean.index, mean, marker="o", ms=3, lw=1.4, label=name, **look)
            log_scale(panel)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set(xlabel="epoch", ylabel="validation loss", title=title)
        legend_below(figure, axes[0, 0], 4)
