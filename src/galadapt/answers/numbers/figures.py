"""Figures of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import (
    columns,
    labelled,
    level_edges,
    quantities_of,
    r2,
    read_predictions,
)
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table
from galadapt.core.quantity import Quantity
from galadapt.plots.learning import learning
from galadapt.plots.named import draw_named, run_title
from galadapt.plots.reading import read_columns
from galadapt.plots.style import COLOURS, axis_range, colours, corner, drawing, empty, opacity


def run_figures(run: Path, predictions: Path, history: Path, outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        run: The run's run.json.
        predictions: Its predictions table.
        history: Its history.csv.
        outputs: PNG files called scatter, distributions, residuals or learning.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    title, quantities = run_title(run), quantities_of(read_json(run)["answer"])
    draw_named(
        outputs,
        {
            "scatter": lambda output: scatter(predictions, quantities, output, title),
            "distributions": lambda output: distributions(predictions, quantities, output, title),
            "residuals": lambda output: residuals(predictions, quantities, output, title),
            "learning": lambda output: learning(history, output, title),
        },
    )


def _test_rows(predictions: Path, quantities: Sequence[Quantity]) -> dict[str, pd.DataFrame]:
    table = read_predictions(predictions, quantities)
    table = labelled(table[table["split"] == "test"], quantities)
    return {domain: table[table["domain"] == domain] for domain in DOMAINS}


def scatter_panel(axes, true: np.ndarray, predicted: np.ndarray, colour: str) -> None:  # type: ignore[no-untyped-def]
    """Draw predicted against true values with y = x, R² and the number of points outside."""
    if len(true) == 0:
        empty(axes, "no test galaxy")
        return
    low, high = axis_range(true)
    # The panel shows the range of the truth, widened; a few wild predictions must not squeeze it.
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    axes.scatter(
        true, predicted, s=7, color=colour, alpha=opacity(len(true)), linewidths=0, zorder=2
    )
    axes.plot([low, high], [low, high], color="black", lw=1, ls="--", zorder=3)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    failed = int((~np.isfinite(predicted)).sum())
    outside = int(((predicted < low) | (predicted > high)).sum())
    text = f"R² = {r2(true, predicted):.3f}\nn = {len(true)}"
    if outside:
        text += f"\n{outside} outside"
    if failed:
        text += f"\n{failed} failed"
    corner(axes, text)


def scatter(
    predictions: Path, quantities: Sequence[Quantity], output: Path, title: str = ""
) -> None:
    """Draw predicted against true values, one row per domain, one column per parameter."""
    rows = _test_rows(predictions, quantities)
    with drawing(output, 2, len(quantities), (2.7, 2.7), title) as (_, axes):
        for line, (domain, table) in zip(axes, rows.items(), strict=True):
            for panel, quantity in zip(line, quantities, strict=True):
                scatter_panel(panel, *columns(table, quantity.name), COLOURS[domain])
                truth = "true" if domain == "simulated" else "catalogue"
                panel.set_xlabel(f"{truth} {quantity.axis}")
                panel.set_title(f"{domain}: {quantity.words}")
            line[0].set_ylabel("predicted")


def distributions(
    predictions: Path, quantities: Sequence[Quantity], output: Path, title: str = ""
) -> None:
    """Draw the distributions of predicted and reference values of each parameter and domain."""
    rows = _test_rows(predictions, quantities)
    with drawing(output, 2, len(quantities), (2.7, 2.2), title) as (_, axes):
        for line, (domain, table) in zip(axes, rows.items(), strict=True):
            for panel, quantity in zip(line, quantities, strict=True):
                if table.empty:
                    empty(panel, "no test galaxy")
                    continue
                true, predicted = columns(table, quantity.name)
                low, high = axis_range(true)
                edges = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 31)
                # Values outside are counted in the outermost bins: none disappears.
                finite = np.clip(predicted[np.isfinite(predicted)], edges[0], edges[-1])
                panel.hist(true, edges, color="#b8b8b8", label="reference")
                panel.hist(
                    finite, edges, histtype="step", lw=1.6, color=COLOURS[domain], label="predicted"
                )
                panel.set_xlabel(quantity.axis)
                panel.set_title(f"{domain}: {quantity.words}")
            line[0].set_ylabel("galaxies")
            if not table.empty:
                # Room for the legend above the bars.
                line[0].set_ylim(top=1.4 * line[0].get_ylim()[1])
                line[0].legend(loc="upper left")


def residuals(
    predictions: Path, quantities: Sequence[Quantity], output: Path, title: str = ""
) -> None:
    """Draw the errors against the true value of the first quantity, with median and 68 % band."""
    by = quantities[0]
    rows = _test_rows(predictions, quantities)
    with drawing(output, 2, len(quantities), (2.7, 2.2), title) as (_, axes):
        for column, quantity in enumerate(quantities):
            found = {}
            for domain, table in rows.items():
                error = quantity.errors(*columns(table, quantity.name))
                found[domain] = (columns(table, by.name)[0], error)
            # Both domains on one scale, that of the worse one, without its extreme tail.
            spreads = [
                np.quantile(np.abs(error[np.isfinite(error)]), 0.95)
                for _, error in found.values()
                if np.isfinite(error).any()
            ]
            reach = max([1e-3, *(1.3 * spread for spread in spreads)])
            for row, (domain, (magnitude, error)) in enumerate(found.items()):
                panel = axes[row, column]
                panel.set_title(f"{domain}: {quantity.words}")
                good = np.isfinite(error)
                if good.sum() < 2:
                    empty(panel, "no test galaxy")
                    continue
                _residual_panel(panel, magnitude[good], error[good], reach, COLOURS[domain])
                panel.set_ylabel(f"error [{quantity.error_unit}]")
                panel.set_xlabel(f"true {by.axis}")


def _residual_panel(  # type: ignore[no-untyped-def]
    panel, magnitude: np.ndarray, error: np.ndarray, reach: float, colour: str
) -> None:
    panel.scatter(magnitude, error, s=5, color=colour, alpha=opacity(len(error)), linewidths=0)
    panel.axhline(0, color="black", lw=1, ls="--")
    # Bins of equal numbers: faint and bright ends are judged on as many galaxies as the middle.
    edges = np.unique(np.quantile(magnitude, np.linspace(0, 1, 9)))
    place = np.clip(np.digitize(magnitude, edges[1:-1]), 0, len(edges) - 2)
    used = np.unique(place)
    low, middle, high = (
        [np.quantile(error[place == k], q) for k in used] for q in (0.16, 0.5, 0.84)
    )
    centres = [np.median(magnitude[place == k]) for k in used]
    panel.fill_between(centres, low, high, color="black", alpha=0.15, lw=0)
    panel.plot(centres, middle, color="black", lw=1.6, marker="o", ms=3)
    panel.set_ylim(-reach, reach)
    outside = int((np.abs(error) > reach).sum())
    corner(panel, f"{outside} outside" if outside else f"n = {len(error)}")


# --- all runs ---------------------------------------------------------------------------------

#: R² below this is drawn at the edge with an arrow; the table has its value.
_FLOOR = -0.6


def variant_figures(
    record: Mapping[str, Any], predictions: Mapping[str, Path]
) -> dict[str, Callable[[Path], None]]:
    """Return what draws the methods of one variant side by side, by the names of the figures.

    Args:
        record: What the runs predict.
        predictions: {method: predictions table}, the unadapted method first.
    """
    quantities = quantities_of(record)
    return {"survey_scatter": lambda output: survey_scatter(predictions, quantities, output)}


def comparison_figures(
    record: Mapping[str, Any],
    comparison: Path,
    breakdown: Path,
    published: pd.DataFrame,
    work: str,
    outputs: Sequence[Path],
) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        record: What the runs predict.
        comparison: Tidy table of `galadapt.evaluation.compare`.
        breakdown: Its table of parts of the test sets.
        published: Figures of other works.
        work: Short name of the published work.
        outputs: PNG files called r2_by_method or scatter_by_magnitude.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    quantities = quantities_of(record)
    draw_named(
        outputs,
        {
            "r2_by_method": lambda output: r2_by_method(
                comparison, quantities, published, work, output
            ),
            "scatter_by_magnitude": lambda output: scatter_by_magnitude(
                breakdown, quantities, output
            ),
        },
    )


def r2_by_method(
    comparison: Path,
    quantities: Sequence[Quantity],
    published: pd.DataFrame,
    work: str,
    output: Path,
) -> None:
    """Draw R² per method with its scatter over seeds, and published figures.

    One row per variant, one column per quantity. Filled: simulated and survey; diamonds: published.
    """
    wanted = {"variant", "method", "domain", "item", "metric", "mean", "std"}
    table = read_columns(comparison, wanted)
    table = table[table["metric"] == "r2"]
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        raise DataError(f"{comparison}: holds no R²; rerun the stage that writes it")
    known = published[published["metric"] == "r2"].set_index(["method", "domain", "item"])["value"]
    height = 0.9 + 0.42 * len(methods)
    title = "R² on the test sets: mean and scatter over seeds"
    with drawing(output, len(variants), len(quantities), (2.9, height), title) as (figure, axes):
        for line, variant in zip(axes, variants, strict=True):
            for panel, quantity in zip(line, quantities, strict=True):
                rows = table[(table["variant"] == variant) & (table["item"] == quantity.name)]
                for domain, shift in zip(DOMAINS, (-0.15, 0.15), strict=True):
                    for row in rows[rows["domain"] == domain].to_dict("records"):
                        place = methods.index(row["method"]) + shift
                        _mark(panel, row["mean"], row["std"], place, COLOURS[domain])
                        value = known.get((row["method"], domain, quantity.name))
                        if value is not None:
                            _mark_published(panel, value, place, COLOURS[domain])
                panel.set(xlim=(_FLOOR - 0.05, 1.05), ylim=(len(methods) - 0.5, -0.5))
                panel.set_yticks(range(len(methods)), methods if panel is line[0] else [])
                panel.set_title(f"{variant}: {quantity.words}")
                panel.set_xlabel("R²")
        handles = [
            *(panel.scatter([], [], color=COLOURS[d], label=d) for d in DOMAINS),
            panel.scatter(
                [], [], facecolors="none", edgecolors="black", marker="D", label=f"{work} published"
            ),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)


def _mark(panel, mean: float, std: float, place: float, colour: str) -> None:  # type: ignore[no-untyped-def]
    if not np.isfinite(mean):
        panel.text(0.2, place, "undefined", color=colour, va="center", fontsize=7)
    elif mean < _FLOOR:
        panel.plot(_FLOOR, place, marker="<", color=colour, ms=6)
        panel.text(_FLOOR + 0.06, place, f"{mean:.3g}", color=colour, va="center", fontsize=7)
    else:
        error = std if np.isfinite(std) else 0
        panel.errorbar(mean, place, xerr=error, fmt="o", ms=5, color=colour, capsize=2.5)


def _mark_published(panel, value: float, place: float, colour: str) -> None:  # type: ignore[no-untyped-def]
    panel.scatter(
        max(value, _FLOOR),
        place,
        marker="D" if value >= _FLOOR else "<",
        s=30,
        facecolors="none",
        edgecolors=colour,
        linewidths=1.1,
        zorder=3,
    )


def survey_scatter(
    predictions: Mapping[str, Path], quantities: Sequence[Quantity], output: Path
) -> None:
    """Draw predicted against catalogue values on the survey, one row per method.

    Args:
        predictions: {name of the row: predictions table}, the unadapted method first.
        output: PNG to write.
    """
    names = list(predictions)
    if not names:
        raise DataError(f"{output}: no predictions to draw; name at least one method")
    title = "Survey test galaxies, before and after adaptation"
    with drawing(output, len(names), len(quantities), (2.7, 2.7), title) as (_, axes):
        for line, name in zip(axes, names, strict=True):
            table = labelled(read_table(predictions[name]), quantities)
            table = table[(table["domain"] == "survey") & (table["split"] == "test")]
            for panel, quantity in zip(line, quantities, strict=True):
                scatter_panel(panel, *columns(table, quantity.name), COLOURS["survey"])
                panel.set_xlabel(f"catalogue {quantity.axis}")
                panel.set_title(quantity.words)
            line[0].set_ylabel(f"{name}\npredicted")


def scatter_by_magnitude(breakdown: Path, quantities: Sequence[Quantity], output: Path) -> None:
    """Draw bias and scatter (NMAD) on the survey against magnitude, a colour per method.

    One pair of rows per variant: median error, then NMAD; bars are the scatter over seeds.
    """
    wanted = {"variant", "method", "domain", "item", "level", "metric", "mean", "std"}
    table = read_columns(breakdown, wanted)
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        # Objects without a magnitude are in no bin.
        with drawing(output, 1, len(quantities), (2.9, 2.0)) as (_, axes):
            for panel in axes.flat:
                empty(panel, "no magnitude bins")
        return
    table = table[table["domain"] == "survey"]
    kinds = ("bias", "scatter")
    colour = colours(methods)
    title = "Survey: median error and scatter (NMAD) by magnitude"
    with drawing(output, 2 * len(variants), len(quantities), (2.9, 2.0), title) as (figure, axes):
        for row, (variant, kind) in enumerate((v, k) for v in variants for k in kinds):
            for panel, quantity in zip(axes[row], quantities, strict=True):
                for method in methods:
                    part = table[
                        (table["variant"] == variant)
                        & (table["metric"] == kind)
                        & (table["item"] == quantity.name)
                        & (table["method"] == method)
                    ]
                    centre = np.array([sum(level_edges(level)) / 2 for level in part["level"]])
                    # Methods are set side by side inside their bin, or error bars would overlap.
                    shift = 0.06 * (methods.index(method) - (len(methods) - 1) / 2)
                    panel.errorbar(
                        centre + shift,
                        part["mean"],
                        yerr=part["std"].fillna(0),
                        color=colour[method],
                        marker="o",
                        ms=3.5,
                        lw=1.3,
                        label=method,
                    )
                if kind == "bias":
                    panel.axhline(0, color="black", lw=1, ls="--")
                if table.empty:
                    empty(panel, "no labelled galaxy")
                panel.set_title(f"{variant}: {quantity.words}")
                panel.set_ylabel(f"{kind} [{quantity.error_unit}]")
                panel.set_xlabel("magnitude [mag]")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(methods))
