"""Predictions of whole frames and observations: the mean of their stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.classes.predictions import class_names, probabilities
from galadapt.core.files import read_table

#: Columns before the probabilities.
PLACES = ("domain", "split", "group", "label", "stamps", "failed", "predicted")


def group_predictions(table: pd.DataFrame) -> pd.DataFrame:
    """Average the probabilities of each group's stamps.

    Args:
        table: Predictions, of `read_class_predictions`.

    Returns:
        One row per domain, split and group with `PLACES` and ``p_<class>``: `label` is the one its
        stamps share ("" where unknown or several), `failed` counts stamps without a prediction,
        `predicted` is the likeliest class ("" where all failed).
    """
    names = class_names(table)
    rows = []
    for (domain, split, group), stamps in table.groupby(["domain", "split", "group"], sort=True):
        values = probabilities(stamps)
        good = np.isfinite(values).all(axis=1)
        mean = values[good].mean(axis=0) if good.any() else np.full(len(names), np.nan)
        labels = set(stamps["label_true"])
        rows.append(
            {
                "domain": domain,
                "split": split,
                "group": group,
                "label": labels.pop() if len(labels) == 1 else "",
                "stamps": len(stamps),
                "failed": int((~good).sum()),
                "predicted": names[int(mean.argmax())] if good.any() else "",
                **{f"p_{name}": value for name, value in zip(names, mean, strict=True)},
            }
        )
    return pd.DataFrame(rows, columns=[*PLACES, *(f"p_{name}" for name in names)])


def survey_predictions(runs: Sequence[tuple[Mapping[str, Any], Path]]) -> pd.DataFrame:
    """Tabulate every method's predictions for the user's own images.

    Args:
        runs: The run.json of each run, and its groups.csv.

    Returns:
        One row per group of the survey: group, label, stamps, and per variant and method the
        likeliest class with its probability, averaged over the seeds. Empty without a survey.
    """
    columns: dict[str, list[pd.DataFrame]] = {}
    about = pd.DataFrame()
    for run, path in runs:
        table = read_table(path)
        table = table[table["domain"] == "survey"].set_index("group")
        columns.setdefault(f"{run['variant']} / {run['method']}", []).append(
            table.filter(like="p_").rename(columns=lambda name: name.removeprefix("p_"))
        )
        about = table[["label", "stamps"]].fillna("")
    if about.empty:
        return about
    found = about.reset_index()
    for name, seeds in columns.items():
        mean = sum(seeds[1:], seeds[0]) / len(seeds)
        texts = [
            "failed" if row.isna().any() else f"{row.idxmax()} {row.max():.2f}"
            for _, row in mean.iterrows()
        ]
        found[name] = pd.Series(texts, index=mean.index).reindex(found["group"]).to_numpy()
    return found
