"""Figures that compare the methods of a classification task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.evaluation.published_classes import WORKS, beside, published_classes
from galadapt.plots.class_style import heat_map
from galadapt.plots.named import draw_named
from galadapt.plots.reading import read_columns
from galadapt.plots.style import COLOURS, drawing

#: Figures that the comparison shows, one panel each.
_QUALITY = {"balanced_accuracy": "balanced accuracy", "auc": "AUC", "accuracy": "accuracy"}


_MARKERS = "osv^P"


def class_comparison_figures(comparison: Path, detail: Path, outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        comparison: Tidy table of `galadapt.evaluation.compare_classes`.
        detail: Its table per class.
        outputs: PNG files called quality or errors.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    draw_named(
        outputs,
        {
            "quality": lambda output: quality(comparison, output),
            "errors": lambda output: errors_by_class(detail, output),
        },
    )


def quality(comparison: Path, output: Path) -> None:
    """Draw balanced accuracy, AUC and accuracy per variant and method with their seed scatter.

    Open diamonds: published figures of the same method; dashed lines: those of a variant. White
    inside: test groups of this method occur in other splits too.
    """
    wanted = {"task", "variant", "method", "domain", "classes", "metric", "mean", "std"}
    table = read_columns(comparison, wanted)
    shared = table[(table["metric"] == "shared_groups") & (table["mean"] > 0)]
    leaking = set(zip(shared["variant"], shared["method"], shared["domain"], strict=True))
    table = table[table["metric"].isin(_QUALITY)]
    if table.empty:
        raise DataError(f"{comparison}: holds no figure of a test set; rerun 'compare'")
    task = str(table["task"].iloc[0])
    published = published_classes(task)
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    schemes = list(table["classes"].unique())
    height = 1.0 + 0.3 * len(entries)
    marks: set[str] = set()
    title = "Test sets: mean and scatter over seeds"
    with drawing(output, 1, len(_QUALITY), (3.1, height), title) as (figure, axes):
        for panel, (metric, label) in zip(axes[0], _QUALITY.items(), strict=True):
            rows = table[table["metric"] == metric]
            for row in rows.to_dict("records"):
                place = entries.index((row["variant"], row["method"]))
                shift = 0.22 * (DOMAINS.index(row["domain"]) - 0.5)
                leaks = (row["variant"], row["method"], row["domain"]) in leaking
                if np.isfinite(row["mean"]):
                    panel.errorbar(
                        row["mean"],
                        place + shift,
                        xerr=row["std"] if np.isfinite(row["std"]) else 0,
                        fmt=_MARKERS[schemes.index(row["classes"]) % len(_MARKERS)],
                        ms=5,
                        color=COLOURS[row["domain"]],
                        mfc="white" if leaks else COLOURS[row["domain"]],
                        capsize=2.5,
                    )
            marks |= _published_marks(panel, published[published["metric"] == metric], entries)
            low = min([0.5, *rows["mean"].dropna()])
            panel.set(xlim=(low - 0.05, 1.03), ylim=(len(entries) - 0.5, -0.5), title=label)
            panel.set_yticks(range(len(entries)), [])
            for place in range(1, len(entries)):
                if entries[place][0] != entries[place - 1][0]:
                    panel.axhline(place - 0.5, color="#999999", lw=0.8)
        axes[0, 0].set_yticks(range(len(entries)), [f"{v}: {m}" for v, m in entries])
        handles = [
            axes[0, 0].scatter([], [], color=COLOURS[d], label=d)
            for d in DOMAINS
            if (table["domain"] == d).any()
        ]
        if len(schemes) > 1:
            handles += [
                axes[0, 0].scatter([], [], color="#777777", marker=marker, label=scheme)
                for scheme, marker in zip(schemes, _MARKERS, strict=False)
            ]
        if leaking:
            handles.append(_hollow(axes[0, 0], "o", "groups shared between splits", "#777777"))
        if "method" in marks:
            handles.append(_hollow(axes[0, 0], "D", f"{WORKS[task]} published", "black"))
        if "variant" in marks:
            label = f"{WORKS[task]} published, of a variant"
            handles += axes[0, 0].plot([], [], color="black", ls="--", lw=1, label=label)
        figure.legend(handles=handles, loc="outside lower center", ncols=6)


def _hollow(panel: Any, marker: str, label: str, colour: str) -> Any:
    """Make the legend's entry of an open mark."""
    return panel.scatter([], [], facecolors="none", edgecolors=colour, marker=marker, label=label)


def _published_marks(
    panel: Any, published: pd.DataFrame, entries: Sequence[tuple[str, str]]
) -> set[str]:
    """Draw published figures and return what they belong to: "method", "variant"."""
    drawn = set()
    for place, (variant, method) in enumerate(entries):
        ran = [v for v, m in entries if m == method]
        for value in beside(published, variant, method, ran)["value"]:
            panel.scatter(
                value, place, marker="D", s=34, facecolors="none", edgecolors="black", zorder=3
            )
            drawn.add("method")
    for variant in dict.fromkeys(v for v, _ in entries):
        places = [k for k, (v, _) in enumerate(entries) if v == variant]
        for value in beside(published, variant, "", [])["value"]:
            low, high = places[0] - 0.5, places[-1] + 0.5
            panel.vlines(value, low, high, color="black", ls="--", lw=1, zorder=1)
            drawn.add("variant")
    return drawn


def errors_by_class(detail: Path, output: Path) -> None:
    """Draw the share of wrong answers per class (before any grouping) and method.

    One panel per domain and set of classes that networks predict, grey where a method predicts
    others or no test stamp has the class; below ours the published ones.
    """
    wanted = {"task", "variant", "method", "domain", "classes", "kind", "class", "metric", "mean"}
    table = read_columns(detail, wanted)
    table = table[(table["kind"] == "original") & (table["metric"] == "error")]
    if table.empty:
        raise DataError(f"{detail}: holds no error of a class; rerun 'compare'")
    table = table.assign(**{"class": table["class"].astype(str)})
    task = str(table["task"].iloc[0])
    known = published_classes(task)
    known = known[(known["metric"] == "error") & (known["method"] == "")]
    classes = sorted(set(table["class"]))
    if set(classes) <= set(known["class"]):
        classes = sorted(known["class"])
    else:
        known = known[:0]
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    names = [f"{variant}: {method}" for variant, method in entries]
    names += [f"{WORKS[task]} published"] * (len(known) > 0)
    panels = list(dict.fromkeys(zip(table["domain"], table["classes"], strict=True)))
    one_scheme = len({scheme for _, scheme in panels}) == 1
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    # Wide enough for the title above it.
    size = (max(4.8 / across, 1.6 + 0.55 * len(classes)), 1.0 + 0.27 * len(names))
    title = "Wrong answers per class [%], mean over seeds"
    with drawing(output, down, across, size, title) as (_, axes):
        for panel in axes.flat[len(panels) :]:
            panel.remove()
        for k, (panel, (domain, scheme)) in enumerate(zip(axes.flat, panels, strict=False)):
            grid = np.full((len(names), len(classes)), np.nan)
            here = table[(table["domain"] == domain) & (table["classes"] == scheme)]
            for row in here.to_dict("records"):
                place = entries.index((row["variant"], row["method"]))
                grid[place, classes.index(row["class"])] = row["mean"]
            for row in known.to_dict("records"):
                grid[-1, classes.index(row["class"])] = row["value"]
            texts = [["" if np.isnan(x) else f"{100 * x:.3g}" for x in line] for line in grid]
            heat_map(panel, grid, texts, names if k % across == 0 else [""] * len(names), classes)
            panel.set(title=domain if one_scheme else f"{domain}: {scheme}", xlabel="class")
