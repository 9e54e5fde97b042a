"""Figures of measured numbers (`galadapt.answers.figures`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.figures import Compared
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
from galadapt.core.files import read_table
from galadapt.core.quantity import Quantity
from galadapt.plots.style import (
    COLOURS,
    MARKS,
    axis_range,
    colours,
    corner,
    drawing,
    empty,
    legend_below,
    mark,
    opacity,
    open_mark,
)


def _quantities(
    predictions: Path, record: Mapping[str, Any]
) -> tuple[tuple[Quantity, ...], dict[str, pd.DataFrame]]:
    """Return what a run predicts, and the labelled test rows of each domain."""
    quantities = quantities_of(record)
    table = read_predictions(predictions, quantities)
    table = labelled(table[table["split"] == "test"], quantities)
    return quantities, {domain: table[table["domain"] == domain] for domain in DOMAINS}


def _panels(
    axes: np.ndarray, rows: Mapping[str, pd.DataFrame], quantities: Sequence[Quantity]
) -> Iterator[tuple[Any, str, pd.DataFrame, Quantity]]:
    """Yield the titled panel of each domain (rows) and quantity (columns)."""
    for line, (domain, table) in zip(axes, rows.items(), strict=True):
        for panel, quantity in zip(line, quantities, strict=True):
            panel.set_title(f"{domain}: {quantity.label}")
            yield panel, domain, table, quantity


def scatter_panel(axes: Any, true: np.ndarray, predicted: np.ndarray, colour: str) -> None:
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


def scatter(predictions: Path, record: Mapping[str, Any], output: Path, title: str = "") -> None:
    """Draw predicted against true values, one row per domain, one column per parameter."""
    quantities, rows = _quantities(predictions, record)
    with drawing(output, 2, len(quantities), (2.7, 2.7), title) as (_, axes):
        for panel, domain, table, quantity in _panels(axes, rows, quantities):
            scatter_panel(panel, *columns(table, quantity.name), COLOURS[domain])
            truth = "true" if domain == "simulated" else "catalogue"
            panel.set_xlabel(f"{truth} {quantity.axis}")
        for panel in axes[:, 0]:
            panel.set_ylabel("predicted")


def distributions(
    predictions: Path, record: Mapping[str, Any], output: Path, title: str = ""
) -> None:
    """Draw the distributions of predicted and reference values of each parameter and domain."""
    quantities, rows = _quantities(predictions, record)
    with drawing(output, 2, len(quantities), (2.7, 2.2), title) as (_, axes):
        for panel, domain, table, quantity in _panels(axes, rows, quantities):
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
        for panel, table in zip(axes[:, 0], rows.values(), strict=True):
            panel.set_ylabel("galaxies")
            if not table.empty:
                # Room for the legend above the bars.
                panel.set_ylim(top=1.4 * panel.get_ylim()[1])
                panel.legend(loc="upper left")


def residuals(predictions: Path, record: Mapping[str, Any], output: Path, title: str = "") -> None:
    """Draw the errors against the true value of the first quantity, with median and 68 % band."""
    quantities, rows = _quantities(predictions, record)
    by = quantities[0]
    errors = {
        (domain, quantity): quantity.errors(*columns(table, quantity.name))
        for domain, table in rows.items()
        for quantity in quantities
    }
    with drawing(output, 2, len(quantities), (2.7, 2.2), title) as (_, axes):
        for panel, domain, table, quantity in _panels(axes, rows, quantities):
            error = errors[domain, quantity]
            good = np.isfinite(error)
            if good.sum() < 2:
                empty(panel, "no test galaxy")
                continue
            # Both domains on one scale, that of the worse one, without its extreme tail.
            finite = [errors[name, quantity][np.isfinite(errors[name, quantity])] for name in rows]
            spreads = [1.3 * np.quantile(np.abs(one), 0.95) for one in finite if len(one)]
            true = columns(table, by.name)[0]
            _residual_panel(panel, true[good], error[good], max(1e-3, *spreads), COLOURS[domain])
            panel.set_ylabel(f"error [{quantity.error_unit}]")
            panel.set_xlabel(f"true {by.axis}")


def _residual_panel(
    panel: Any, magnitude: np.ndarray, error: np.ndarray, reach: float, colour: str
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


def r2_by_method(compared: Compared, output: Path) -> None:
    """Draw R² per method with its scatter over seeds, and published figures.

    One row per variant, one column per quantity. Filled: simulated and survey; diamonds: published.
    """
    wanted = ("variant", "method", "domain", "item", "metric", "mean", "std")
    table = read_table(compared.comparison, wanted)
    table = table[table["metric"] == "r2"]
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        raise DataError(f"{compared.comparison}: holds no R²; rerun the stage that writes it")
    published = compared.published[compared.published["metric"] == "r2"]
    known = published.set_index(["method", "domain", "item"])["value"]
    quantities = quantities_of(compared.record)
    height = 0.9 + 0.42 * len(methods)
    title = "R² on the test sets: mean and standard deviation over seeds"
    with drawing(output, len(variants), len(quantities), (2.9, height), title) as (figure, axes):
        for line, variant in zip(axes, variants, strict=True):
            for panel, quantity in zip(line, quantities, strict=True):
                here = (table["variant"] == variant) & (table["item"] == quantity.name)
                for row in table[here].to_dict("records"):
                    colour = COLOURS[row["domain"]]
                    shift = 0.3 * (DOMAINS.index(row["domain"]) - 0.5)
                    place = methods.index(row["method"]) + shift
                    _mark(panel, row["mean"], row["std"], place, colour, row["domain"])
                    value = known.get((row["method"], row["domain"], quantity.name))
                    if value is not None:
                        marker = "D" if value >= _FLOOR else "<"
                        look = {"s": 30, "linewidths": 1.1, "zorder": 3, "label": "_published"}
                        open_mark(panel, max(value, _FLOOR), place, colour, marker, **look)
                panel.set(xlim=(_FLOOR - 0.05, 1.05), ylim=(len(methods) - 0.5, -0.5))
                panel.set_xticks([-0.5, 0.0, 0.5, 1.0])
                panel.set_yticks(range(len(methods)), methods if panel is line[0] else [])
                panel.set_title(f"{variant}: {quantity.label}")
                panel.set_xlabel("R²")
        for domain in DOMAINS:
            panel.scatter([], [], color=COLOURS[domain], label=domain)
        open_mark(panel, [], [], "black", label=f"{compared.work} published")
        legend_below(figure, panel, 3)


def _mark(panel: Any, mean: float, std: float, place: float, colour: str, domain: str) -> None:
    text = {"color": colour, "va": "center", "fontsize": 7}
    mark(panel, mean, std, place, colour, _FLOOR, label=f"_{domain}")
    if not np.isfinite(mean):
        panel.text(0.2, place, "undefined", **text)
    elif mean < _FLOOR:
        panel.text(_FLOOR + 0.06, place, f"{mean:.3g}", **text)


def survey_scatter(
    predictions: Mapping[str, Path], record: Mapping[str, Any], output: Path
) -> None:
    """Draw predicted against catalogue values on the survey, one row per method.

    `predictions` are the predictions tables by method, the unadapted one first.
    """
    quantities = quantities_of(record)
    names = list(predictions)
    if not names:
        raise DataError(f"{output}: no predictions to draw; name at least one method")
    title = "Survey test galaxies: predicted against catalogue values"
    with drawing(output, len(names), len(quantities), (2.7, 2.7), title) as (_, axes):
        for line, name in zip(axes, names, strict=True):
            table = labelled(read_table(predictions[name]), quantities)
            table = table[(table["domain"] == "survey") & (table["split"] == "test")]
            for panel, quantity in zip(line, quantities, strict=True):
                scatter_panel(panel, *columns(table, quantity.name), COLOURS["survey"])
                panel.set_xlabel(f"catalogue {quantity.axis}")
                panel.set_title(quantity.label)
            line[0].set_ylabel(f"{name}\npredicted")


def scatter_by_magnitude(compared: Compared, output: Path) -> None:
    """Draw bias and scatter (NMAD) on the survey against magnitude, a colour per method.

    One pair of rows per variant: median error, then NMAD; bars are the scatter over seeds.
    """
    wanted = ("variant", "method", "domain", "item", "by", "level", "metric", "mean", "std")
    table = read_table(compared.breakdown, wanted)
    quantities = quantities_of(compared.record)
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        # Objects without a magnitude are in no bin.
        with drawing(output, 1, len(quantities), (2.9, 2.0)) as (_, axes):
            for panel in axes.flat:
                empty(panel, "no magnitude bins")
        return
    table = table[(table["domain"] == "survey") & (table["by"] == "magnitude")]
    kinds = ("bias", "scatter")
    colour = colours(methods)
    title = "Survey: median error and scatter (NMAD) by magnitude"
    with drawing(output, 2 * len(variants), len(quantities), (3.1, 2.2), title) as (figure, axes):
        # Labels of neighbouring panels must not touch.
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
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
                        marker=MARKS[methods.index(method) % len(MARKS)],
                        ms=3.5,
                        lw=1.3,
                        label=method,
                    )
                if kind == "bias":
                    panel.axhline(0, color="black", lw=1, ls="--")
                if table.empty:
                    empty(panel, "no labelled galaxy")
                panel.set_title(f"{variant}: {quantity.label}")
                panel.set_ylabel(f"{kind} [{quantity.error_unit}]")
                panel.set_xlabel("magnitude [mag]")
        legend_below(figure, axes[0, 0], len(methods))


RUN_FIGURES = {"scatter": scatter, "distributions": distributions, "residuals": residuals}
VARIANT_FIGURES = {"survey_scatter": survey_scatter}
COMPARISON_FIGURES = {
    "r2_by_method": r2_by_method,
    "scatter_by_magnitude": scatter_by_magnitude,
}
