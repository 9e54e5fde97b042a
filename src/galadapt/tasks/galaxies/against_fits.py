"""Networks compared with a profile fit of the same stamps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.best import Cell, best, number
from galadapt.answers.numbers.metrics import error_metrics, r2, r2_interval
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_text
from galadapt.core.quantity import PARAMETERS, QUANTITIES, label_of
from galadapt.evaluation.runs import read_identity
from galadapt.evaluation.tables import render_html
from galadapt.plots.style import COLOURS, drawing, legend_below, mark, open_mark

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

#: R² below this is drawn at the edge.
_FLOOR = 0.0


def against_fits(fits: Path, runs: Sequence[Path], table: Path, html: Path, figure: Path) -> None:
    """Compare the networks with the fits, on the galaxies that could be fitted.

    Args:
        fits: From `galadapt.tasks.galaxies.fitting.catalogue.fit_galaxies`.
        runs: Run folders (run.json, predictions.parquet), in the order tables shall have.
        table: CSV with `COLUMNS`: of each quantity the R², and of each parameter `bias` and
            `scatter` (NMAD) in the convention of `galadapt.answers.numbers.metrics`. `mean` and
            `std` over seeds; `ensemble` of the seeds' mean prediction; `low` and `high`: 68 %
            bootstrap interval of R² (of the ensemble); `n` galaxies.
        html: Fragment to inline: table of R² and sentences on it.
        figure: PNG of R² of every variant and method beside that of the fit, a panel per parameter.
            Dots: mean and scatter over seeds; circles: the seeds' mean prediction. The band is the
            fit's bootstrap interval.

    Raises:
        DataError: an input is missing or broken.
    """
    needed = [f"{name}_{kind}" for name in PARAMETERS for kind in ("true", "fitted")]
    found = read_table(fits, ["id", "failure", *needed])
    fitted = found[found["failure"].fillna("") == ""].set_index("id")
    own = pd.DataFrame({name: fitted[f"{name}_fitted"] for name in PARAMETERS})
    candidates = {("", FIT): [own]}
    for run in map(Path, runs):
        identity = read_identity(run / "run.json")
        key = str(identity["variant"]), str(identity["method"])
        predicted = _predicted(run / "predictions.parquet", fitted.index)
        candidates.setdefault(key, []).append(predicted)
    rows = [
        {"variant": variant, "method": method, **row}
        for (variant, method), seeds in candidates.items()
        for row in _rows(fitted, seeds)
    ]
    tidy = pd.DataFrame(rows, columns=COLUMNS)
    write_text(html, _html(tidy, len(found), len(fitted), failures_of(fitted)))
    write_csv(table, tidy)
    _draw(tidy, figure)


def _predicted(path: Path, ids: pd.Index) -> pd.DataFrame:
    """Predictions of the survey's fitted galaxies; NaN where a network gives none."""
    table = read_table(path)
    here = table[table["domain"] == "survey"].set_index("id")
    if here.index.has_duplicates:
        raise DataError(f"{path}: names a survey galaxy twice; rerun the prediction")
    return pd.DataFrame({p: here[f"{p}_predicted"] for p in PARAMETERS}).reindex(ids)


def _rows(truth: pd.DataFrame, seeds: Sequence[pd.DataFrame]) -> Iterator[dict[str, object]]:
    mean: pd.DataFrame = sum(seeds[1:], seeds[0]) / len(seeds)
    each = pd.DataFrame([_metrics(truth, one) for one in seeds], dtype=float)
    for (quantity, metric), together in _metrics(truth, mean).items():
        values = each[quantity, metric]
        low = high = math.nan
        if metric == "r2":
            low, high = r2_interval(*_pair(truth, mean, quantity), _RESAMPLES, seed=0)
        yield {
            "quantity": quantity,
            "metric": metric,
            "mean": values.mean(),
            "std": values.std(),
            "n_seeds": int(values.count()),
            "ensemble": together,
            "low": low,
            "high": high,
            "n": len(truth),
        }


def _metrics(truth: pd.DataFrame, predictions: pd.DataFrame) -> dict[tuple[str, str], float]:
    """R² of each form, bias and scatter of each parameter: {(quantity, metric): value}."""
    found: dict[tuple[str, str], float] = {}
    for form in FORMS:
        true, predicted = _pair(truth, predictions, form)
        found[form, "r2"] = r2(true, predicted)
        if form in PARAMETERS:
            finite = np.isfinite(predicted)
            error = QUANTITIES[form].errors(true[finite], predicted[finite])
            metrics = error_metrics(error, QUANTITIES[form].outlier)
            found |= {(form, name): metrics[name] for name in ("bias", "scatter")}
    return found


def _pair(
    truth: pd.DataFrame, predictions: pd.DataFrame, form: str
) -> tuple[np.ndarray, np.ndarray]:
    parameter, transform = FORMS[form]
    true = truth[f"{parameter}_true"].to_numpy(float)
    predicted = predictions[parameter].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A radius or an index of zero or less has no logarithm: such a row is left out.
        return transform(true), transform(predicted)


def failures_of(fitted: pd.DataFrame) -> list[str]:
    """Where fits that converged are wrong themselves, in a sentence per parameter.

    An R² is dominated by its outliers (`Quantity.outlier`): it is given without them too.
    """
    found = []
    for name in PARAMETERS:
        quantity = QUANTITIES[name]
        true, seen = (fitted[f"{name}_{kind}"].to_numpy(float) for kind in ("true", "fitted"))
        wrong = np.abs(quantity.errors(true, seen)) > quantity.outlier
        if not wrong.any() or (~wrong).sum() < 2:
            continue
        unit = {"relative": "%", "dex": "dex"}.get(quantity.error, quantity.unit)
        limit = f"{100 * quantity.outlier:g} %" if unit == "%" else f"{quantity.outlier:g} {unit}"
        found.append(
            f"The profile fit is wrong, but reports no failure, for {wrong.sum()} of {len(fitted)} "
            f"galaxies in {quantity.label} (off by more than {limit.strip()}): its R² is "
            f"{r2(true, seen):.3f}, without them {r2(true[~wrong], seen[~wrong]):.3f}."
        )
    return found


def _html(tidy: pd.DataFrame, galaxies: int, fitted: int, failures: Sequence[str]) -> str:
    scores = tidy[tidy["metric"] == "r2"]
    lines = []
    for (variant, method), rows in scores.groupby(["variant", "method"], sort=False):
        by = rows.set_index("quantity")
        seeds = int(by["n_seeds"].max())
        cells = [Cell(by["mean"][q], by["std"][q]).text for q in FORMS]
        lines.append((variant, method, cells))
        if seeds > 1:
            together = [number(by["ensemble"][q]) for q in FORMS]
            lines.append(("", f"{seeds} seeds together", together))
    sentences = [
        f"{galaxies} survey test galaxies were fitted, {galaxies - fitted} of them without "
        f"success; all values are of the {fitted} fitted successfully."
        if galaxies
        else "The survey has no labelled test galaxy: there is no comparison."
    ]
    sentences += _verdicts(scores) if fitted > 1 else []
    sentences += failures
    return render_html(
        "against_fits.html",
        "galadapt.tasks.galaxies",
        quantities=[_named(form) for form in FORMS],
        lines=lines,
        sentences=sentences,
        fit=FIT,
    )


def _named(form: str) -> str:
    """Name a form for readers."""
    parameter = FORMS[form][0]
    return label_of(parameter) if form == parameter else f"ln {label_of(parameter)}"


def _verdicts(scores: pd.DataFrame) -> list[str]:
    """Compare the fit with the best network of each quantity."""
    figures = []
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
        figures.append((_named(quantity), candidates))
    return best("Survey", "R²", figures)


def _draw(tidy: pd.DataFrame, output: Path) -> None:
    rows = tidy[(tidy["metric"] == "r2") & tidy["quantity"].isin(PARAMETERS)]
    rows = rows.assign(name=rows["method"] + " (" + rows["variant"] + ")")
    networks = rows[rows["method"] != FIT]
    names = list(networks["name"].unique())
    title = "R² on survey galaxies: networks, and a profile fit of the same stamps"
    with drawing(output, 1, 4, (2.9, 0.9 + 0.3 * max(len(names), 2)), title) as (figure, axes):
        for panel, parameter in zip(axes[0], PARAMETERS, strict=True):
            fitted = rows[(rows["method"] == FIT) & (rows["quantity"] == parameter)]
            for row in fitted.to_dict("records"):
                low, high, value = np.clip([row["low"], row["high"], row["mean"]], _FLOOR, 1)
                panel.axvspan(low, high, color="0.85", lw=0)
                panel.axvline(value, color="0.35", lw=1.2)
            for row in networks[networks["quantity"] == parameter].to_dict("records"):
                place = names.index(row["name"])
                mark(panel, row["mean"], row["std"], place, COLOURS["survey"], _FLOOR)
                if row["ensemble"] >= _FLOOR:
                    open_mark(panel, row["ensemble"], place, "black", "o", s=40, lw=1)
            shown = rows.loc[rows["quantity"] == parameter, ["mean", "low"]].to_numpy(float)
            lowest = float(np.fmin.reduce(shown, axis=None, initial=np.nan))
            tenth = np.floor(10 * (lowest - 0.03)) / 10
            left = _FLOOR if np.isnan(tenth) else max(tenth, _FLOOR - 0.03)
            panel.set(xlim=(left, 1 + 0.03 * (1 - left)), ylim=(len(names) - 0.5, -0.5))
            panel.set_xlabel("R²")
            panel.set_yticks(range(len(names)), names if panel is axes[0, 0] else [])
            panel.set_title(label_of(parameter))
        first = axes[0, 0]
        first.scatter([], [], color=COLOURS["survey"], label="networks, by seed")
        open_mark(first, [], [], "black", "o", label="seeds together")
        first.plot([], [], color="0.35", label=FIT)
        legend_below(figure, first, 3)
