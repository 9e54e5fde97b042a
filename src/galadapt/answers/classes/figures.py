"""Figures of predicted classes (`galadapt.answers.figures`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, roc_curve

from galadapt.answers.classes.metrics import answers
from galadapt.answers.classes.predictions import (
    class_names,
    class_numbers,
    probabilities,
    read_class_predictions,
)
from galadapt.answers.figures import Compared
from galadapt.answers.published import beside
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.plots.style import (
    COLOURS,
    class_colours,
    drawing,
    empty,
    heat_map,
    legend_below,
    mark,
    open_mark,
)


def confusion(predictions: Path, record: Mapping[str, Any], output: Path, title: str = "") -> None:
    """Draw the confusion matrix of each domain's test set: counts, and shares of each true class.

    Raises:
        DataError: no domain has a test set.
    """
    found = _test_rows(predictions)
    side = 1.5 + 0.48 * max(len(class_names(table)) for table in found.values())
    with drawing(output, 1, len(found), (side + 0.6, side), title) as (_, axes):
        for panel, (domain, table) in zip(axes[0], found.items(), strict=True):
            names, true, values = class_names(table), class_numbers(table), probabilities(table)
            counts = confusion_matrix(true, answers(values), labels=np.arange(len(names)))
            counts = counts.astype(float)
            total = counts.sum(axis=1, keepdims=True)
            shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
            texts = [
                [
                    f"{count:.0f}" + ("" if np.isnan(share) else f"\n{100 * share:.0f} %")
                    for count, share in zip(*line, strict=True)
                ]
                for line in zip(counts, shares, strict=True)
            ]
            heat_map(panel, shares, texts, names, names)
            panel.set(title=f"{domain} (n = {total.sum():.0f})", xlabel="predicted", ylabel="true")


def roc(predictions: Path, record: Mapping[str, Any], output: Path, title: str = "") -> None:
    """Draw the ROC curve of each domain's test set: of the last of two classes, or of each."""
    found = _test_rows(predictions)
    with drawing(output, 1, len(found), (3.6, 3.6), title) as (_, axes):
        for panel, (domain, table) in zip(axes[0], found.items(), strict=True):
            names, true, values = class_names(table), class_numbers(table), probabilities(table)
            shade = class_colours(names)
            wanted = [1] if len(names) == 2 else range(len(names))
            for k in wanted:
                positive = true == k
                if positive.all() or not positive.any():
                    continue
                false_rate, true_rate, _ = roc_curve(positive, values[:, k])
                area = np.trapezoid(true_rate, false_rate)
                colour = COLOURS[domain] if len(names) == 2 else shade[names[k]]
                label = f"{names[k]}: AUC {area:.3f} (n = {positive.sum()})"
                panel.plot(false_rate, true_rate, lw=1.6, color=colour, label=label)
            panel.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
            panel.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=domain)
            panel.set(xlabel="false positive rate", ylabel="true positive rate")
            panel.legend(loc="lower right", fontsize=7.5)


def scores(predictions: Path, record: Mapping[str, Any], output: Path, title: str = "") -> None:
    """Draw how the scores of each class before any grouping are distributed, on the test sets.

    With two classes the score is the probability of the last one, predicted above 0.5; with more,
    each has its own line.
    """
    found = _test_rows(predictions)
    originals = sorted({name for table in found.values() for name in table["label_original"]})
    names = class_names(next(iter(found.values())))
    shown = names[-1:] if len(names) == 2 else names
    shade = class_colours(names)
    edges = np.linspace(0, 1, 21)
    across = min(3, len(originals))
    each = -(-len(originals) // across)
    label = f"score: probability of {shown[0]}" if len(shown) == 1 else "probability of each class"
    height = 1.9 if len(shown) == 1 else 2.3
    with drawing(output, each * len(found), across, (2.9, height), title) as (figure, axes):
        panels = axes.reshape(len(found), -1)
        drawn = []
        for line, (domain, table) in zip(panels, found.items(), strict=True):
            for panel in line[len(originals) :]:
                panel.remove()
            for panel, original in zip(line, originals, strict=False):
                here = table[table["label_original"] == original]
                panel.set_title(f"{domain}: {original} (n = {len(here)})")
                if here.empty:
                    empty(panel, "no test stamp")
                    continue
                for name in shown:
                    share = np.histogram(here[f"p_{name}"], edges)[0] / len(here)
                    colour = COLOURS[domain] if len(names) == 2 else shade[name]
                    panel.stairs(share, edges, color=colour, lw=1.5, fill=len(shown) == 1)
                    drawn.append((panel, float(share.max())))
                if len(shown) == 1:
                    panel.axvline(0.5, color="black", lw=0.8, ls="--")
                panel.set_xlabel(label)
            for panel in line[::across][:each]:
                panel.set_ylabel("share")
        for panel, _ in drawn:
            panel.set(xlim=(0, 1), ylim=(0, 1.08 * max(top for _, top in drawn)))
        if len(shown) > 1:
            handles = [axes[0, 0].plot([], [], color=shade[n], label=n)[0] for n in shown]
            figure.legend(handles=handles, loc="outside lower center", ncols=6)


def _test_rows(predictions: Path) -> dict[str, pd.DataFrame]:
    """Labelled test rows with a finite prediction, per domain that has any.

    Raises:
        DataError: no domain has any.
    """
    table = read_class_predictions(predictions)
    table = table[(table["split"] == "test") & (table["label_true"] != "")]
    table = table[np.isfinite(probabilities(table)).all(axis=1)]
    found = {domain: table[table["domain"] == domain] for domain in DOMAINS}
    found = {domain: rows for domain, rows in found.items() if len(rows)}
    if not found:
        raise DataError(f"{predictions}: holds no labelled test row; rerun the prediction")
    return found


# --- all runs ---------------------------------------------------------------------------------

#: Figures that the comparison shows, one panel each.
_QUALITY = {"balanced_accuracy": "balanced accuracy", "auc": "AUC", "accuracy": "accuracy"}

_MARKERS = "osv^P"


def quality(compared: Compared, output: Path) -> None:
    """Draw balanced accuracy, AUC and accuracy per variant and method with their seed scatter.

    Open diamonds: published figures of the same method; dashed lines: those of a variant. White
    inside: test groups of this method occur in other splits too.
    """
    wanted = ("variant", "method", "domain", "item", "metric", "mean", "std")
    table = read_table(compared.comparison, wanted)
    shared = table[(table["metric"] == "shared_groups") & (table["mean"] > 0)]
    leaking = set(zip(shared["variant"], shared["method"], shared["domain"], strict=True))
    table = table[table["metric"].isin(_QUALITY)]
    if table.empty:
        raise DataError(
            f"{compared.comparison}: holds no figure of a test set; rerun the comparison"
        )
    published = compared.published
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    schemes = list(table["item"].unique())
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
                colour = COLOURS[row["domain"]]
                look: dict[str, Any] = {
                    "fmt": _MARKERS[schemes.index(row["item"]) % len(_MARKERS)],
                    "mfc": "white" if leaks else colour,
                }
                mark(panel, row["mean"], row["std"], place + shift, colour, **look)
            marks |= _published_marks(panel, published[published["metric"] == metric], entries)
            low = min([0.5, *rows["mean"].dropna()])
            panel.set(xlim=(low - 0.05, 1.03), ylim=(len(entries) - 0.5, -0.5), title=label)
            panel.set_yticks(range(len(entries)), [])
            for place in range(1, len(entries)):
                if entries[place][0] != entries[place - 1][0]:
                    panel.axhline(place - 0.5, color="#999999", lw=0.8)
        axes[0, 0].set_yticks(range(len(entries)), [f"{v}: {m}" for v, m in entries])
        first = axes[0, 0]
        for domain in DOMAINS:
            if (table["domain"] == domain).any():
                first.scatter([], [], color=COLOURS[domain], label=domain)
        if len(schemes) > 1:
            for scheme, marker in zip(schemes, _MARKERS, strict=False):
                first.scatter([], [], color="#777777", marker=marker, label=scheme)
        if leaking:
            open_mark(first, [], [], "#777777", "o", label="groups shared between splits")
        if "method" in marks:
            open_mark(first, [], [], "black", label=f"{compared.work} published")
        if "variant" in marks:
            label = f"{compared.work} published, of a variant"
            first.plot([], [], color="black", ls="--", lw=1, label=label)
        legend_below(figure, first, 6)


def _published_marks(
    panel: Any, published: pd.DataFrame, entries: Sequence[tuple[str, str]]
) -> set[str]:
    """Draw published figures and return what they belong to: "method", "variant"."""
    drawn = set()
    for place, (variant, method) in enumerate(entries):
        ran = [v for v, m in entries if m == method]
        for value in beside(published, variant, method, ran)["value"]:
            open_mark(panel, value, place, "black", s=34, zorder=3)
            drawn.add("method")
    for variant in dict.fromkeys(v for v, _ in entries):
        places = [k for k, (v, _) in enumerate(entries) if v == variant]
        for value in beside(published, variant, "", [])["value"]:
            low, high = places[0] - 0.5, places[-1] + 0.5
            panel.vlines(value, low, high, color="black", ls="--", lw=1, zorder=1)
            drawn.add("variant")
    return drawn


def errors_by_class(compared: Compared, output: Path) -> None:
    """Draw the share of wrong predictions per class (before any grouping) and method.

    One panel per domain and set of classes that networks predict, grey where a method predicts
    others or no test stamp has the class; below ours the published ones.
    """
    wanted = ("variant", "method", "domain", "item", "by", "level", "metric", "mean")
    table = read_table(compared.breakdown, wanted)
    table = table[(table["by"] == "label") & (table["metric"] == "error")]
    if table.empty:
        raise DataError(f"{compared.breakdown}: holds no error of a class; rerun the comparison")
    table = table.assign(level=table["level"].astype(str))
    published = compared.published
    known = published[(published["metric"] == "error") & (published["method"] == "")]
    classes = sorted(set(table["level"]))
    if set(classes) <= set(known["class"]):
        classes = sorted(known["class"])
    else:
        known = known[:0]
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    names = [f"{variant}: {method}" for variant, method in entries]
    names += [f"{compared.work} published"] * (len(known) > 0)
    panels = list(dict.fromkeys(zip(table["domain"], table["item"], strict=True)))
    one_scheme = len({scheme for _, scheme in panels}) == 1
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    # Wide enough for the title above it.
    size = (max(4.8 / across, 1.6 + 0.55 * len(classes)), 1.0 + 0.27 * len(names))
    title = "Wrong predictions per class [%], mean over seeds"
    with drawing(output, down, across, size, title) as (_, axes):
        for panel in axes.flat[len(panels) :]:
            panel.remove()
        for k, (panel, (domain, scheme)) in enumerate(zip(axes.flat, panels, strict=False)):
            grid = np.full((len(names), len(classes)), np.nan)
            here = table[(table["domain"] == domain) & (table["item"] == scheme)]
            for row in here.to_dict("records"):
                place = entries.index((row["variant"], row["method"]))
                grid[place, classes.index(row["level"])] = row["mean"]
            for row in known.to_dict("records"):
                grid[-1, classes.index(row["class"])] = row["value"]
            texts = [["" if np.isnan(x) else f"{100 * x:.3g}" for x in line] for line in grid]
            heat_map(panel, grid, texts, names, classes)
            panel.tick_params(labelleft=k % across == 0)
            panel.set(title=domain if one_scheme else f"{domain}: {scheme}", xlabel="class")


RUN_FIGURES = {"confusion": confusion, "roc": roc, "scores": scores}
COMPARISON_FIGURES = {"quality": quality, "errors": errors_by_class}
