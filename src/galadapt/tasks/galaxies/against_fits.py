"""Networks compared with a profile fit of the same stamps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import nmad, r2, r2_interval
from galadapt.answers.view import Cell, best, number
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_text
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.evaluation.runs import read_identity
from galadapt.evaluation.tables import render_html

#: `method` of the fit's rows; its variant is empty.
FIT = "profile fit"

COLUMNS = [
    *("variant", "method", "quantity", "metric"),
    *("mean", "std", "n_seeds", "ensemble", "low", "high", "n"),
]

#: What R² is measured of: the parameters, and logarithms of those whose errors are relative.
FORMS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    **{name: (name, np.asarray) for name in PARAMETERS},
    "ln_effective_radius": ("effective_radius", np.log),
    "ln_sersic_index": ("sersic_index", np.log),
}

#: Of these the fit and the best network are compared in words. Of radius and index the logarithms:
#: the R² of a radius is dominated by the few largest galaxies.
_JUDGED = ("magnitude", "ln_effective_radius", "ln_sersic_index", "ellipticity")

_RESAMPLES = 500

#: {quantity: {metric: value}}
Figures = Mapping[str, Mapping[str, float]]


def against_fits(fits: Path, runs: Sequence[Path], table: Path, html: Path) -> None:
    """Compare the networks with the fits, on the galaxies that could be fitted.

    Args:
        fits: From `galadapt.tasks.galaxies.fitting.catalogue.fit_galaxies`.
        runs: Run folders (run.json, predictions.parquet), in the order tables shall have.
        table: CSV with `COLUMNS`: of each quantity the R², and of each parameter `bias` and
            `scatter` (NMAD) in the convention of `galadapt.answers.numbers.metrics`. `mean` and
            `std` over seeds; `ensemble` of the seeds' mean prediction; `low` and `high`: 68 %
            bootstrap interval of R² (of the ensemble); `n` galaxies.
        html: Fragment to inline: table of R² and sentences on it.

    Raises:
        DataError: an input is missing or broken.
    """
    found = read_table(fits)
    wanted = ["id", "failure", *(f"{p}_{kind}" for p in PARAMETERS for kind in ("true", "fitted"))]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{fits}: lacks the column(s) {', '.join(missing)}; rerun the fits")
    fitted = found[found["failure"].fillna("") == ""].set_index("id")
    answers: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for run in map(Path, runs):
        identity = read_identity(run / "run.json")
        key = str(identity["variant"]), str(identity["method"])
        answers.setdefault(key, []).append(_answers(run / "predictions.parquet", fitted.index))
    own = pd.DataFrame({name: fitted[f"{name}_fitted"] for name in PARAMETERS})
    candidates = {("", FIT): [own], **answers}
    rows = [
        {"variant": variant, "method": method, **row}
        for (variant, method), seeds in candidates.items()
        for row in _rows(fitted, seeds)
    ]
    tidy = pd.DataFrame(rows, columns=COLUMNS)
    write_text(html, _html(tidy, len(found), len(fitted)))
    write_csv(table, tidy)


def _answers(path: Path, ids: pd.Index) -> pd.DataFrame:
    """Predictions of the survey's fitted galaxies; NaN where a network gives none."""
    table = read_table(path)
    here = table[table["domain"] == "survey"].set_index("id")
    if here.index.has_duplicates:
        raise DataError(f"{path}: names a survey galaxy twice; rerun the prediction")
    return pd.DataFrame({p: here[f"{p}_predicted"] for p in PARAMETERS}).reindex(ids)


def _rows(truth: pd.DataFrame, seeds: Sequence[pd.DataFrame]) -> Iterator[dict[str, object]]:
    mean: pd.DataFrame = sum(seeds[1:], seeds[0]) / len(seeds)
    each = [_figures(truth, one) for one in seeds]
    together = _figures(truth, mean)
    for quantity, figures in together.items():
        for metric in figures:
            values = pd.Series([one[quantity][metric] for one in each], dtype=float)
            low = high = math.nan
            if metric == "r2":
                true, said = _pair(truth, mean, quantity)
                low, high = r2_interval(true, said, _RESAMPLES, seed=0)
            yield {
                "quantity": quantity,
                "metric": metric,
                "mean": values.mean(),
                "std": values.std(),
                "n_seeds": int(values.count()),
                "ensemble": figures[metric],
                "low": low,
                "high": high,
                "n": len(truth),
            }


def _figures(truth: pd.DataFrame, said: pd.DataFrame) -> Figures:
    found: dict[str, dict[str, float]] = {}
    for quantity in FORMS:
        found[quantity] = {"r2": r2(*_pair(truth, said, quantity))}
        if quantity in PARAMETERS:
            true, predicted = _pair(truth, said, quantity)
            finite = np.isfinite(predicted)
            error = QUANTITIES[quantity].errors(true[finite], predicted[finite])
            found[quantity]["bias"] = float(np.median(error)) if len(error) else math.nan
            found[quantity]["scatter"] = nmad(error)
    return found


def _pair(truth: pd.DataFrame, said: pd.DataFrame, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    parameter, transform = FORMS[quantity]
    true = truth[f"{parameter}_true"].to_numpy(float)
    predicted = said[parameter].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A radius or an index of zero or less has no logarithm: such a row is left out.
        return transform(true), transform(predicted)


def _html(tidy: pd.DataFrame, asked: int, fitted: int) -> str:
    scores = tidy[tidy["metric"] == "r2"]
    lines = []
    for (variant, method), rows in scores.groupby(["variant", "method"], sort=False):
        by = rows.set_index("quantity")
        seeds = int(by["n_seeds"].max())
        cells = [Cell(by["mean"][q], by["std"][q]).text for q in FORMS]
        lines.append({"variant": variant, "method": method, "cells": cells, "fit": method == FIT})
        if seeds > 1:
            together = [number(by["ensemble"][q]) for q in FORMS]
            name = f"{seeds} seeds together"
            lines.append({"variant": "", "method": name, "cells": together, "fit": False})
    sentences = [
        f"{asked} survey test galaxies were fitted, {asked - fitted} of them without success; all "
        f"figures are of the other {fitted}."
        if asked
        else "The survey has no labelled test galaxy: there is nothing to compare."
    ]
    sentences += _verdicts(scores) if fitted > 1 else []
    return render_html(
        "against_fits.html", quantities=list(FORMS), lines=lines, sentences=sentences
    )


def _verdicts(scores: pd.DataFrame) -> list[str]:
    """Compare the fit with the best network, in a sentence for each quantity."""
    found = []
    for quantity in _JUDGED:
        rows = scores[scores["quantity"] == quantity]
        is_fit = rows["method"] == FIT
        ranked = rows[~is_fit].sort_values("ensemble", ascending=False, kind="stable")
        pair = pd.concat([rows[is_fit], ranked.head(1)]).to_dict("records")
        candidates = [
            (
                FIT if row["method"] == FIT else f"{row['method']} ({row['variant']})",
                Cell(row["ensemble"], row["std"], row["low"], row["high"]),
            )
            for row in pair
        ]
        found.append(best(f"Survey, {quantity.replace('_', ' ')}", "R²", candidates))
    return found
