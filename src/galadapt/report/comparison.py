"""Figures that compare methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from galadapt.answers.numbers.figures import scatter_panel
from galadapt.answers.numbers.metrics import columns, labelled
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.evaluation.ablation import COUNTED, Curve
from galadapt.evaluation.features import feature_columns, separability
from galadapt.evaluation.projections import neighbourhoods, principal_components, thinned
from galadapt.evaluation.published import published
from galadapt.plots.reading import read_columns
from galadapt.plots.style import COLOURS, colours, corner, drawing, empty, opacity

#: R2 below this is drawn at the edge with an arrow: how bad it is says the table.
_FLOOR = -0.6

#: Smallest range of R2 that an ablation's panel shows: what does not matter shall look flat.
_LEAST_SPAN = 0.05


def r2_by_method(comparison: Path, output: Path) -> None:
    """Draw R2 per method with its scatter over seeds, and R1's published figures.

    One row per variant, one column per parameter. Filled: simulated and survey; diamonds: R1.
    """
    table = read_columns(
        comparison, {"variant", "method", "domain", "parameter", "metric", "mean", "std"}
    )
    table = table[table["metric"] == "r2"]
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        raise DataError(f"{comparison}: holds no R2; rerun the stage that writes it")
    printed = published()
    height = 0.9 + 0.42 * len(methods)
    title = "R² on the test sets: mean and scatter over seeds"
    with drawing(output, len(variants), 4, (2.9, height), title) as (figure, axes):
        for line, variant in zip(axes, variants, strict=True):
            for panel, name in zip(line, PARAMETERS, strict=True):
                rows = table[(table["variant"] == variant) & (table["parameter"] == name)]
                for domain, shift in zip(DOMAINS, (-0.15, 0.15), strict=True):
                    for row in rows[rows["domain"] == domain].to_dict("records"):
                        place = methods.index(row["method"]) + shift
                        _mark(panel, row["mean"], row["std"], place, COLOURS[domain])
                        known = printed.get((row["method"], domain))
                        if known:
                            _mark_published(panel, known[name], place, COLOURS[domain])
                panel.set(xlim=(_FLOOR - 0.05, 1.05), ylim=(len(methods) - 0.5, -0.5))
                panel.set_yticks(range(len(methods)), methods if panel is line[0] else [])
                panel.set_title(f"{variant}: {name.replace('_', ' ')}")
                panel.set_xlabel("R²")
        handles = [
            *(panel.scatter([], [], color=COLOURS[d], label=d) for d in DOMAINS),
            panel.scatter(
                [], [], facecolors="none", edgecolors="black", marker="D", label="R1 published"
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


def survey_scatter(predictions: Mapping[str, Path], output: Path) -> None:
    """Draw predicted against catalogue values on the survey, one row per method.

    Args:
        predictions: {name of the row: predictions table}, the unadapted method first.
        output: PNG to write.
    """
    names = list(predictions)
    if not names:
        raise DataError(f"{output}: no predictions to draw; name at least one method")
    title = "Survey test galaxies, before and after adaptation"
    with drawing(output, len(names), 4, (2.7, 2.7), title) as (_, axes):
        for line, name in zip(axes, names, strict=True):
            table = labelled(read_table(predictions[name]))
            table = table[(table["domain"] == "survey") & (table["split"] == "test")]
            for panel, parameter in zip(line, PARAMETERS, strict=True):
                scatter_panel(panel, *columns(table, parameter), COLOURS["survey"])
                panel.set_xlabel(f"catalogue {QUANTITIES[parameter].axis}")
                panel.set_title(parameter.replace("_", " "))
            line[0].set_ylabel(f"{name}\npredicted")


def feature_maps(embeddings: Mapping[str, Path], output: Path) -> None:
    """Draw the features of simulated and survey galaxies in two dimensions.

    A column per method: above the first two principal components of both domains together, below
    a UMAP embedding (`galadapt.evaluation.projections`) of as many galaxies as a picture shows. The
    AUC of a linear classifier (`galadapt.evaluation.features.separability`) says what two
    dimensions may hide.

    Args:
        embeddings: {title of the column: embeddings table}.
        output: PNG to write.
    """
    if not embeddings:
        raise DataError(f"{output}: no embeddings to draw; name at least one method")
    across = min(5, len(embeddings))
    down = -(-len(embeddings) // across)
    title = "Features of test galaxies: principal components, and below them UMAP"
    with drawing(output, 2 * down, across, (2.8, 2.6), title) as (_, axes):
        upper, lower = axes[0::2].flat, axes[1::2].flat
        for panel in (*upper[len(embeddings) :], *lower[len(embeddings) :]):
            panel.remove()
        for linear, near, (name, path) in zip(upper, lower, embeddings.items(), strict=False):
            linear.set_title(name)
            table = read_columns(path, {"domain", "split"})
            table = table[table["split"] == "test"]
            features = feature_columns(table)
            values = table[features].to_numpy(np.float64)
            good = np.isfinite(values).all(axis=1)
            values, domain = values[good], table["domain"].to_numpy()[good]
            if len(features) < 2 or len(values) < 3:
                empty(linear, "too few features")
                empty(near, "too few features")
                continue
            _cloud(linear, principal_components(values), domain)
            corner(linear, f"AUC = {separability(values, domain == 'survey')[0]:.3f}")
            linear.legend(loc="upper right")
            # Room for both.
            linear.set_ylim(top=linear.get_ylim()[1] + 0.2 * np.ptp(linear.get_ylim()))
            linear.set(xlabel="component 1", ylabel="component 2")
            rows = thinned(domain)
            _cloud(near, neighbourhoods(values[rows]), domain[rows])
            near.set(xlabel="UMAP 1", ylabel="UMAP 2")


def _cloud(panel, places: np.ndarray, domain: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Draw places (n, 2) in their domains' colours."""
    for which in DOMAINS:
        here = domain == which
        panel.scatter(
            *places[here].T,
            s=7,
            color=COLOURS[which],
            alpha=opacity(int(here.sum())),
            linewidths=0,
        )
        panel.scatter([], [], s=20, color=COLOURS[which], label=which)
    # Far outliers would shrink the cloud to a dot.
    for setter, along in ((panel.set_xlim, places[:, 0]), (panel.set_ylim, places[:, 1])):
        low, high = np.quantile(along, [0.005, 0.995])
        air = max(high - low, 1e-6)
        setter(low - 0.1 * air, high + 0.1 * air)


def scatter_by_magnitude(by_magnitude: Path, output: Path) -> None:
    """Draw bias and scatter (NMAD) on the survey against magnitude, a colour per method.

    One pair of rows per variant: median error, then NMAD; bars are the scatter over seeds.
    """
    wanted = {"variant", "method", "domain", "parameter", "magnitude_low", "magnitude_high"}
    table = read_columns(by_magnitude, wanted | {"metric", "mean", "std"})
    variants, methods = list(table["variant"].unique()), list(table["method"].unique())
    if not variants:
        raise DataError(f"{by_magnitude}: holds no galaxy; rerun the stage that writes it")
    table = table[table["domain"] == "survey"]
    kinds = ("bias", "scatter")
    colour = colours(methods)
    title = "Survey: median error and scatter (NMAD) by magnitude"
    with drawing(output, 2 * len(variants), 4, (2.9, 2.0), title) as (figure, axes):
        for row, (variant, kind) in enumerate((v, k) for v in variants for k in kinds):
            for panel, name in zip(axes[row], PARAMETERS, strict=True):
                for method in methods:
                    part = table[
                        (table["variant"] == variant)
                        & (table["metric"] == kind)
                        & (table["parameter"] == name)
                        & (table["method"] == method)
                    ]
                    centre = (part["magnitude_low"] + part["magnitude_high"]) / 2
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
                panel.set_title(f"{variant}: {name.replace('_', ' ')}")
                panel.set_ylabel(f"{kind} [{QUANTITIES[name].error_unit}]")
                panel.set_xlabel("magnitude [mag]")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(methods))


def ablation(
    comparison: Path, curves: Sequence[Curve], available: Mapping[str, int], output: Path
) -> None:
    """Draw R2 against a number of training stamps, a row per curve and variant.

    Args:
        comparison: The tidy comparison table.
        curves: Methods that differ in that number only.
        available: {setting: stamps there are}, where a method is given all of them.
        output: PNG to write. The number's axis is linear up to the smallest one, then logarithmic;
            each panel has a scale of its own.

    Raises:
        DataError: there is no curve, or the table is broken.
    """
    table = read_columns(
        comparison, {"variant", "method", "domain", "parameter", "metric", "mean", "std"}
    )
    table = table[table["metric"] == "r2"]
    rows = [(curve, variant) for curve in curves for variant in table["variant"].unique()]
    if not rows:
        raise DataError(
            f"{comparison}: no methods that differ in a number of stamps only; give method_settings"
            " some that do"
        )
    title = "R² on the test sets against the number of training stamps"
    with drawing(output, len(rows), 4, (2.9, 2.3), title) as (figure, axes):
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
            for panel, name in zip(line, PARAMETERS, strict=True):
                lowest = 1 - _LEAST_SPAN
                for domain in DOMAINS:
                    part = here[(here["domain"] == domain) & (here["parameter"] == name)]
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
                panel.set_xticks(numbers, [f"{n:,}".replace(",", " ") for n in numbers])
                panel.minorticks_off()
                air = 0.06 * (1 - lowest)
                panel.set(xlim=(left, 1.6 * max(numbers)), ylim=(lowest - air, 1 + air))
                panel.set_xlabel(COUNTED[curve.setting])
                panel.set_title(f"{variant}, {curve.name}: {name.replace('_', ' ')}", fontsize=8.5)
            line[0].set_ylabel("R²")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
