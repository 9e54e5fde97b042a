"""The features of a variant's methods: measured, listed and drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from galadapt.config.features import FeatureSpace
from galadapt.core.errors import DataError
from galadapt.core.files import write_csv
from galadapt.evaluation.feature_space import (
    PIXELS,
    UNCOVERED,
    Features,
    Measured,
    distinct,
    halves,
    measure,
    pixels,
    read_features,
)
from galadapt.plots.named import draw_named
from galadapt.plots.stamps import show_stamp
from galadapt.plots.style import (
    COLOURS,
    colours,
    corner,
    drawing,
    empty,
    legend_below,
    opacity,
)
from galadapt.stamps.format import StampSet

#: Components that are shown, stamps that are rebuilt, and their numbers of components.
_SHOWN, _REBUILT, _NUMBERS = 7, 3, (2, 8, 20, 32, 60, 128)

#: Stamps of a row of the contact sheet, and its rows at most.
_ACROSS, _ROWS = 8, 12


def feature_space(
    runs: Sequence[Path],
    predictions: Sequence[Path],
    embeddings: Sequence[Path],
    stamps: Mapping[str, Path],
    settings: FeatureSpace,
    table: Path,
    uncovered: Path,
    figures: Sequence[Path],
) -> None:
    """Measure the features of the methods of one variant.

    Args:
        runs, predictions, embeddings: run.json and tables of one run of each method.
        stamps: Stamp set of each domain, of the variant, that the first method was tested on.
        settings: What is measured.
        table: CSV to write, `galadapt.evaluation.feature_space.COLUMNS`.
        uncovered: CSV to write, `galadapt.evaluation.feature_space.UNCOVERED`: survey stamps
            that no simulated one is near to. `distance`: the mean to the nearest simulated stamps,
            in units of the 99th percentile among these (above 1: far). `noise`: whether DBSCAN
            finds it in no cluster that has simulated stamps. `reconstruction`: the error of
            rebuilding it from principal components, in such a unit.
        figures: PNG files to write; their stems name them.

    Raises:
        ConfigError: a figure has another name.
        DataError: an input is missing or broken.
    """
    if not runs:
        raise DataError(f"{table}: no run to analyse; train a method on this variant")
    found = distinct(read_features(runs, predictions, embeddings, settings.objects))
    with contextlib.ExitStack() as opened:
        sets = {name: opened.enter_context(StampSet(path)) for name, path in stamps.items()}
        own, images = pixels(found[0], sets)
        measured = [measure(one, settings) for one in (own, *found)]
        sheets = _sheet_rows(measured)
        wanted = np.unique([id_ for _, rows in sheets for id_ in rows["id"]])
        shown = _stamps_of(sets.get("survey"), wanted)
    write_csv(table, pd.concat([one.rows for one in measured], ignore_index=True))
    listed = [one.uncovered for one in measured if len(one.uncovered)]
    write_csv(
        uncovered,
        pd.concat(listed, ignore_index=True) if listed else pd.DataFrame(columns=UNCOVERED),
    )
    draw_named(
        figures,
        {
            "feature_maps": partial(feature_maps, measured),
            "feature_dimensions": partial(feature_dimensions, measured),
            "eigen_images": partial(eigen_images, own, images),
            "uncovered": partial(contact_sheet, sheets, shown),
        },
    )


def feature_maps(measured: Sequence[Measured], output: Path) -> None:
    """Draw the features of simulated and survey stamps in two dimensions.

    A column per method: above the first two principal components of both domains together, below
    a UMAP embedding where there is one. The AUC of a linear classifier uses all dimensions.
    """
    across = min(6, len(measured))
    down = -(-len(measured) // across)
    spaces, title = {"pca": "component"}, "Features of test stamps: principal components"
    if any("umap" in one.maps for one in measured):
        spaces["umap"] = "UMAP"
        title += " (above) and UMAP (below)"
    with drawing(output, len(spaces) * down, across, (2.6, 2.5), title) as (_, axes):
        panels = [list(axes[number :: len(spaces)].flat) for number in range(len(spaces))]
        for panel in (panel for row in panels for panel in row[len(measured) :]):
            panel.remove()
        for *column, one in zip(*panels, measured, strict=False):
            linear = column[0]
            linear.set_title(one.features.method)
            for panel, (space, name) in zip(column, spaces.items(), strict=True):
                if space not in one.maps:
                    empty(panel, "too few test stamps")
                    continue
                _cloud(panel, one.maps[space], one.features)
                panel.set(xlabel=f"{name} 1", ylabel=f"{name} 2")
            if "pca" in one.maps:
                if np.isfinite(one.auc):
                    corner(linear, f"AUC = {one.auc:.3f}")
                linear.legend(loc="upper right")
                # Room for both.
                linear.set_ylim(top=linear.get_ylim()[1] + 0.2 * np.ptp(linear.get_ylim()))


def _cloud(panel: Any, places: np.ndarray, features: Features) -> None:
    """Draw places (n, 2) in their domains' colours."""
    for which in features.domains:
        here = features.domain == which
        look = {"color": COLOURS[which], "linewidths": 0}
        panel.scatter(*places[here].T, s=7, alpha=opacity(int(here.sum())), **look)
        panel.scatter([], [], s=20, label=which, **look)
    # Far outliers would shrink the cloud to a dot.
    for setter, along in ((panel.set_xlim, places[:, 0]), (panel.set_ylim, places[:, 1])):
        low, high = np.quantile(along, [0.005, 0.995])
        air = max(high - low, 1e-6)
        setter(low - 0.1 * air, high + 0.1 * air)


def feature_dimensions(measured: Sequence[Measured], output: Path) -> None:
    """Draw what is known of the features against the number of dimensions, a line per method."""
    palette = colours([one.features.method for one in measured])
    classes = measured[0].features.known.classes
    score = "neighbours_accuracy" if classes else "neighbours_r2"
    words = "accuracy of nearest neighbours" if classes else "R² of nearest neighbours"
    panels = [
        ("pca", "explained_variance", "explained variance"),
        ("pca", "reconstruction_error", "reconstruction error"),
        ("pca", score, f"{words}, PCA"),
        ("umap", score, f"{words}, UMAP"),
    ]
    if not any("umap" in one.maps for one in measured):
        panels.pop()
    with drawing(output, 1, len(panels), (3.0, 2.9)) as (figure, axes):
        for panel, (space, metric, label) in zip(axes[0], panels, strict=True):
            ticks: set[int] = set()
            for number, one in enumerate(measured):
                rows = one.rows[(one.rows["space"] == space) & (one.rows["metric"] == metric)]
                ticks |= set(rows["dimension"])
                for domain, part in rows.groupby("domain", sort=False):
                    # Methods of one colour differ in their marks.
                    panel.plot(
                        part["dimension"],
                        part["value"],
                        color=palette[one.features.method],
                        marker="os^D"[number // 6 % 4],
                        ms=3,
                        lw=1.3,
                        ls="--" if domain == "survey" else "-",
                        label=one.features.method if domain == one.features.domains[0] else "_",
                    )
            if not ticks:
                panel.set_title(label)
                empty(panel, "too few test stamps")
                continue
            panel.set_xscale("log", base=2)
            panel.set_xticks(sorted(ticks))
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
            panel.set(title=label, xlabel="dimensions")
            if metric == "reconstruction_error":
                panel.set_ylim(bottom=0)
            elif metric.startswith("neighbours"):
                panel.set_ylim(max(panel.get_ylim()[0], -0.3), min(panel.get_ylim()[1], 1.02))
        if any("survey" in one.features.domains for one in measured):
            axes[0, 0].plot([], [], color="#777777", ls="--", label="dashed: survey")
        legend_below(figure, axes[0, 0], 6)


def eigen_images(features: Features, images: np.ndarray, output: Path) -> None:
    """Draw the mean and the principal components of stamps, and stamps rebuilt from some.

    Components are of half of the simulated stamps (of the only domain there is); what is rebuilt
    are stamps of the survey, or of that domain, that the components have not seen.
    """
    first, last = features.domains[0], features.domains[-1]
    learned, unseen = halves(features)
    tests = unseen[last]
    flat = images.reshape(len(images), -1).astype(np.float64)
    pca = PCA(svd_solver="full").fit(flat[learned])
    shares = pca.explained_variance_ratio_
    numbers = [number for number in _NUMBERS if number <= len(shares)]
    columns = max(_SHOWN + 1, len(numbers) + 2)
    chosen = tests[np.linspace(0, len(tests) - 1, min(_REBUILT, len(tests))).astype(int)]
    title = f"Mean and principal components of {first} stamps; stamps rebuilt from them"
    with drawing(output, 1 + len(chosen), columns, (1.35, 1.5), title, pictures=True) as (_, axes):
        show_stamp(axes[0, 0], pca.mean_.reshape(images.shape[1:]), "mean")
        for k, panel in enumerate(axes[0, 1 : 1 + min(_SHOWN, len(shares))]):
            component = pca.components_[k].reshape(images.shape[1:])
            show_stamp(panel, component, f"{k + 1}: {100 * shares[k]:.1f} %", signed=True)
        for line, row in zip(axes[1:], chosen, strict=True):
            show_stamp(line[0], images[row], f"{features.domain[row]} {features.ids[row]}")
            parts = (flat[row] - pca.mean_) @ pca.components_.T
            for panel, number in zip(line[1:], numbers, strict=False):
                rebuilt = pca.mean_ + parts[:number] @ pca.components_[:number]
                rebuilt = rebuilt.reshape(images.shape[1:])
                show_stamp(panel, rebuilt, f"from {number}", like=images[row])


def _sheet_rows(measured: Sequence[Measured]) -> list[tuple[str, pd.DataFrame]]:
    """Name the survey stamps that are shown of each method: those farthest from simulations."""
    found = [(one.features.method, one.uncovered.head(_ACROSS)) for one in measured]
    # Of a network first: what counts is what a method makes of a stamp.
    found.sort(key=lambda pair: pair[0] == PIXELS)
    return [pair for pair in found if len(pair[1])][:_ROWS]


def _stamps_of(stamps: StampSet | None, ids: np.ndarray) -> dict[int, np.ndarray]:
    if stamps is None or not len(ids):
        return {}
    rows = np.flatnonzero(stamps.table["id"].isin(ids))
    names = stamps.table["id"].to_numpy()[rows]
    return dict(zip(names.tolist(), stamps.inputs(rows), strict=True))


def contact_sheet(
    sheets: Sequence[tuple[str, pd.DataFrame]], stamps: Mapping[int, np.ndarray], output: Path
) -> None:
    """Draw the survey stamps that no simulated one is near to, a row per method."""
    title = "Survey stamps that the simulations do not cover: id and distance, farthest first"
    with drawing(output, max(len(sheets), 1), _ACROSS, (1.3, 1.45), title, pictures=True) as (
        _,
        axes,
    ):
        if not sheets:
            axes[0, 0].text(0, 0.5, "none", transform=axes[0, 0].transAxes, color="#777777")
        for line, (method, rows) in zip(axes, sheets, strict=False):
            for panel, row in zip(line, rows.to_dict("records"), strict=False):
                show_stamp(panel, stamps[row["id"]], f"{row['id']}: {row['distance']:.2f}")
            text = {"transform": line[0].transAxes, "rotation": 90, "ha": "right", "va": "center"}
            line[0].text(-0.05, 0.5, method, fontsize=7, **text)
