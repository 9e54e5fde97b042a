"""Figures of one run of a classification task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from galadapt.answers.classes.predictions import (
    class_names,
    class_numbers,
    probabilities,
    read_class_predictions,
)
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.plots.class_style import class_colours, heat_map
from galadapt.plots.learning import learning
from galadapt.plots.named import draw_named, run_title
from galadapt.plots.style import COLOURS, drawing, empty


def class_run_figures(
    predictions: Path, history: Path, metrics: Path, outputs: Sequence[Path]
) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        predictions: Predictions table of the run.
        history: Its history.csv.
        metrics: Its metrics.json.
        outputs: PNG files called confusion, roc, scores or learning.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    title = run_title(metrics)
    draw_named(
        outputs,
        {
            "confusion": lambda output: confusion(metrics, output, title),
            "roc": lambda output: roc(predictions, output, title),
            "scores": lambda output: scores(predictions, output, title),
            "learning": lambda output: learning(history, output, title),
        },
    )


def confusion(metrics: Path, output: Path, title: str = "") -> None:
    """Draw the confusion matrix of each domain's test set: counts, and shares of each true class.

    Raises:
        DataError: no domain has a test set.
    """
    domains = read_json(metrics).get("domains", {})
    found = {name: splits["test"] for name, splits in domains.items() if "test" in splits}
    if not found:
        raise DataError(f"{metrics}: holds no test set; rerun the evaluation")
    side = 1.5 + 0.48 * max(len(test["class_names"]) for test in found.values())
    with drawing(output, 1, len(found), (side + 0.6, side), title) as (_, axes):
        for panel, domain in zip(axes[0], (d for d in DOMAINS if d in found), strict=True):
            names = found[domain]["class_names"]
            counts = np.array(found[domain]["confusion"], float)
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
            panel.set(title=f"{domain} (n = {total.sum():.0f})", xlabel="answered", ylabel="true")


def roc(predictions: Path, output: Path, title: str = "") -> None:
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


def scores(predictions: Path, output: Path, title: str = "") -> None:
    """Draw how the scores of each class before any grouping are distributed, on the test sets.

    Of two classes the score is the probability of the last one, above 0.5 its answer; of more,
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
