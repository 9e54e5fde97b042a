"""Figures of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import check_predictions, columns, labelled, r2
from galadapt.config.base import DOMAINS
from galadapt.core.files import read_table
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.plots.learning import learning
from galadapt.plots.named import draw_named, run_title
from galadapt.plots.style import COLOURS, axis_range, corner, drawing, empty, opacity


def run_figures(predictions: Path, history: Path, metrics: Path, outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        predictions: Predictions table of the run.
        history: Its history.csv.
        metrics: Its metrics.json, for the title.
        outputs: PNG files called scatter, distributions, residuals or learning.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    title = run_title(metrics)
    draw_named(
        outputs,
        {
            "scatter": lambda output: scatter(predictions, output, title),
            "distributions": lambda output: distributions(predictions, output, title),
            "residuals": lambda output: residuals(predictions, output, title),
            "learning": lambda output: learning(history, output, title),
        },
    )


def _test_rows(predictions: Path) -> dict[str, pd.DataFrame]:
    table = read_table(predictions)
    check_predictions(table, str(predictions))
    table = labelled(table[table["split"] == "test"])
    return {domain: table[table["domain"] == domain] for domain in DOMAINS}


def scatter_panel(axes, true: np.ndarray, predicted: np.ndarray, colour: str) -> None:  # type: ignore[no-untyped-def]
    """Draw predicted against true values with the line y = x, R2 and what lies outside."""
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


def scatter(predictions: Path, output: Path, title: str = "") -> None:
    """Draw predicted against true values, one row per domain, one column per parameter."""
    rows = _test_rows(predictions)
    with drawing(output, 2, 4, (2.7, 2.7), title) as (_, axes):
        for line, (domain, table) in zip(axes, rows.items(), strict=True):
            for panel, name in zip(line, PARAMETERS, strict=True):
                scatter_panel(panel, *columns(table, name), COLOURS[domain])
                truth = "true" if domain == "simulated" else "catalogue"
                panel.set_xlabel(f"{truth} {QUANTITIES[name].axis}")
                panel.set_title(f"{domain}: {name.replace('_', ' ')}")
            line[0].set_ylabel("predicted")


def distributions(predictions: Path, output: Path, title: str = "") -> None:
    """Draw the distributions of predicted and reference values of each parameter and domain."""
    rows = _test_rows(predictions)
    with drawing(output, 2, 4, (2.7, 2.2), title) as (_, axes):
        for line, (domain, table) in zip(axes, rows.items(), strict=True):
            for panel, name in zip(line, PARAMETERS, strict=True):
                if table.empty:
                    empty(panel, "no test galaxy")
                    continue
                true, predicted = columns(table, name)
                low, high = axis_range(true)
                edges = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 31)
                # Values outside are counted in the outermost bins: none disappears.
                finite = np.clip(predicted[np.isfinite(predicted)], edges[0], edges[-1])
                panel.hist(true, edges, color="#b8b8b8", label="reference")
                panel.hist(
                    finite, edges, histtype="step", lw=1.6, color=COLOURS[domain], label="predicted"
                )
                panel.set_xlabel(QUANTITIES[name].axis)
                panel.set_title(f"{domain}: {name.replace('_', ' ')}")
            line[0].set_ylabel("galaxies")
            if not table.empty:
                # Room for the legend above the bars.
                line[0].set_ylim(top=1.4 * line[0].get_ylim()[1])
                line[0].legend(loc="upper left")


def residuals(predictions: Path, output: Path, title: str = "") -> None:
    """Draw the error of each parameter against true magnitude, with median and 68 % band."""
    rows = _test_rows(predictions)
    with drawing(output, 2, 4, (2.7, 2.2), title) as (_, axes):
        for column, name in enumerate(PARAMETERS):
            found = {}
            for domain, table in rows.items():
                error = QUANTITIES[name].errors(*columns(table, name))
                found[domain] = (table["magnitude_true"].to_numpy(np.float64), error)
            # Both domains on one scale, that of the worse one, without its extreme tail.
            spreads = [
                np.quantile(np.abs(error[np.isfinite(error)]), 0.95)
                for _, error in found.values()
                if np.isfinite(error).any()
            ]
            reach = max([1e-3, *(1.3 * spread for spread in spreads)])
            for row, (domain, (magnitude, error)) in enumerate(found.items()):
                panel = axes[row, column]
                panel.set_title(f"{domain}: {name.replace('_', ' ')}")
                good = np.isfinite(error)
                if good.sum() < 2:
                    empty(panel, "no test galaxy")
                    continue
                _residual_panel(panel, magnitude[good], error[good], reach, COLOURS[domain])
                panel.set_ylabel(f"error [{QUANTITIES[name].error_unit}]")
                panel.set_xlabel("true magnitude [mag]")


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
