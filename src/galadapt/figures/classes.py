"""Figures of classification tasks: of one run, of the comparison, of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from astropy.visualization import AsinhStretch, ImageNormalize, PercentileInterval
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from galadapt.config import DOMAINS
from galadapt.errors import ConfigError, DataError
from galadapt.evaluation.class_predictions import (
    class_names,
    class_numbers,
    probabilities,
    read_class_predictions,
)
from galadapt.evaluation.published_classes import WORKS, beside, published_classes
from galadapt.figures.learning import learning
from galadapt.figures.reading import read_columns
from galadapt.figures.style import COLOURS, colours, drawing, empty, opacity
from galadapt.files import read_json
from galadapt.randomness import generator
from galadapt.stamps import SPLITS, StampSet

#: Random stream purpose.
_STAMPS = 1

_UNLABELLED = "unlabelled"

#: Moments of an image that tell its class, if any do: column of a stamp set and axis label.
_MOMENTS = {"std": "standard deviation", "skewness": "skewness", "kurtosis": "kurtosis"}

#: Figures that the comparison shows, one panel each.
_QUALITY = {"balanced_accuracy": "balanced accuracy", "auc": "AUC", "accuracy": "accuracy"}

_MARKERS = "osv^P"


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
    content = read_json(metrics)
    title = " / ".join(str(content.get(key, "?")) for key in ("task", "variant", "method", "seed"))
    for output in map(Path, outputs):
        match output.stem:
            case "confusion":
                confusion(metrics, output, title)
            case "roc":
                roc(predictions, output, title)
            case "scores":
                scores(predictions, output, title)
            case "learning":
                learning(history, output, title)
            case other:
                raise _unknown(output, other, "confusion, roc, scores, learning")


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
    for output in map(Path, outputs):
        match output.stem:
            case "quality":
                quality(comparison, output)
            case "errors":
                errors_by_class(detail, output)
            case other:
                raise _unknown(output, other, "quality, errors")


def class_data_figures(stamps: Mapping[str, Sequence[Path]], outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        stamps: {domain: its stamp set, one file or shards}, each with the column `label`.
        outputs: PNG files called counts, moments (stamp sets with the columns std, skewness and
            kurtosis) or contact_sheet.

    Raises:
        ConfigError: an output has another name.
        DataError: a stamp set is broken or lacks a column.
    """
    for output in map(Path, outputs):
        match output.stem:
            case "counts":
                class_counts(stamps, output)
            case "moments":
                moments(stamps, output)
            case "contact_sheet":
                class_contact_sheet(stamps, output)
            case other:
                raise _unknown(output, other, "counts, moments, contact_sheet")


def _unknown(output: Path, name: str, known: str) -> ConfigError:
    return ConfigError(f"{output}: no figure is called '{name}'; known: {known}")


# --- one run ----------------------------------------------------------------------------------


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
            _heat_map(panel, shares, texts, names, names)
            panel.set(title=f"{domain} (n = {total.sum():.0f})", xlabel="answered", ylabel="true")


def _heat_map(
    panel: Any,
    shares: np.ndarray,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Draw shares from 0 to 1 as blues with a text in each cell; NaN is grey."""
    colour_map = mpl.colormaps["Blues"].with_extremes(bad="#eeeeee")
    panel.imshow(shares, cmap=colour_map, vmin=0, vmax=1, aspect="auto")
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            dark = shares[i, j] > 0.55
            ink = "white" if dark else "black"
            panel.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.grid(False)


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
    with drawing(output, each * len(found), across, (2.9, 1.9), title) as (figure, axes):
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
                panel.set_xlabel(
                    f"score: probability of {shown[0]}" if len(shown) == 1 else "score"
                )
            for panel in line[::across][:each]:
                panel.set_ylabel("share of stamps")
        for panel, _ in drawn:
            panel.set(xlim=(0, 1), ylim=(0, 1.08 * max(top for _, top in drawn)))
        if len(shown) > 1:
            handles = [axes[0, 0].plot([], [], color=shade[n], label=n)[0] for n in shown]
            figure.legend(
                handles=handles, loc="outside lower center", ncols=6, title="probability of"
            )


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """Give each class its colour: distinct ones, or a scale where the classes are numbers."""
    if all(name.isdigit() for name in names):
        scale = mpl.colormaps["viridis"]
        places = np.linspace(0, 0.92, max(len(names), 2))
        return {
            name: mpl.colors.to_hex(scale(place))
            for name, place in zip(names, places, strict=False)
        }
    return colours(names)


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


# --- the comparison ---------------------------------------------------------------------------


def quality(comparison: Path, output: Path) -> None:
    """Draw balanced accuracy, AUC and accuracy per variant and method with their seed scatter.

    Open diamonds: published figures of the same method; dashed lines: those of a variant. White
    inside: test groups that occur in other splits too flatter this method.
    """
    wanted = {"task", "variant", "method", "domain", "classes", "metric", "mean", "std"}
    table = read_columns(comparison, wanted)
    shared = table[(table["metric"] == "shared_groups") & (table["mean"] > 0)]
    flattered = set(zip(shared["variant"], shared["method"], shared["domain"], strict=True))
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
                leaks = (row["variant"], row["method"], row["domain"]) in flattered
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
        if flattered:
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
    size = (1.6 + 0.55 * len(classes), 1.0 + 0.27 * len(names))
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
            _heat_map(panel, grid, texts, names if k % across == 0 else [""] * len(names), classes)
            panel.set(title=domain if one_scheme else f"{domain}: {scheme}", xlabel="class")


# --- the data ---------------------------------------------------------------------------------


def class_counts(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw the number of stamps per class and split, one panel per domain."""
    found = _tables(stamps, ())
    width = 1.2 + 0.65 * max(len(names) for _, names in found.values())
    shade = colours(SPLITS)
    with drawing(output, 1, len(found), (max(width, 3.0), 2.8)) as (figure, axes):
        for panel, (domain, (table, names)) in zip(axes[0], found.items(), strict=True):
            for k, split in enumerate(SPLITS):
                counts = [
                    int(((table["label"] == name) & (table["split"] == split)).sum())
                    for name in names
                ]
                places = np.arange(len(names)) + 0.27 * (k - 1)
                panel.bar(places, counts, 0.25, color=shade[split], label=split)
                for place, count in zip(places, counts, strict=True):
                    panel.text(
                        place, max(count, 0.6), count, ha="center", va="bottom", fontsize=6.5
                    )
            panel.set_yscale("log")
            panel.set_ylim(0.5, 3 * len(table))
            panel.set_xticks(range(len(names)), names)
            panel.grid(False, axis="x")
            panel.set_title(f"{domain} (n = {len(table)})")
        axes[0, 0].set_ylabel("stamps")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


def moments(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw standard deviation, skewness and kurtosis of each image in logarithmic axes."""
    found = _tables(stamps, _MOMENTS)
    with drawing(output, 1, len(found), (4.6, 4.6), "", "3d") as (_, axes):
        for panel, (domain, (table, names)) in zip(axes[0], found.items(), strict=True):
            values = table[list(_MOMENTS)].to_numpy(np.float64)
            # A logarithm of what is not positive would be a point nowhere.
            good = np.isfinite(values).all(axis=1) & (values > 0).all(axis=1)
            shade = class_colours([name for name in names if name != _UNLABELLED])
            for name in names:
                here = good & (table["label"] == name).to_numpy()
                colour = "#999999" if name == _UNLABELLED else shade[name]
                panel.scatter(
                    *np.log10(values[here]).T,
                    s=9,
                    color=colour,
                    alpha=max(opacity(int(good.sum())), 0.5),
                    linewidths=0,
                    depthshade=False,
                )
                panel.scatter([], [], [], s=22, color=colour, label=f"{name} ({here.sum()})")
            missing = int((~good).sum())
            more = f", {missing} not positive" if missing else ""
            panel.set_title(f"{domain} (n = {len(table)}{more})")
            for axis, label in zip("xyz", _MOMENTS.values(), strict=True):
                getattr(panel, f"set_{axis}label")(f"log10 {label}")
                getattr(panel, f"{axis}axis").set_major_locator(MaxNLocator(5))
            panel.set_box_aspect(None, zoom=0.88)
            panel.legend(loc="upper left", fontsize=7.5, ncols=2)


def class_contact_sheet(stamps: Mapping[str, Sequence[Path]], output: Path, count: int = 8) -> None:
    """Draw stamps of each class, drawn at random, one row per domain and class.

    Each stamp has its own arcsinh scale, over 99.5 % of its pixels: shapes can be compared, not
    brightness.

    Args:
        stamps: {domain: its stamp set, one file or shards}.
        output: PNG to write.
        count: Stamps per class.
    """
    found = _tables(stamps, ())
    rows = [
        (domain, name)
        for domain, (table, names) in found.items()
        for name in names
        if (table["label"] == name).any()
    ]
    with drawing(output, len(rows), count, (1.15, 1.3)) as (_, axes):
        for panel in axes.flat:
            panel.set_axis_off()
        for line, (domain, name) in zip(axes, rows, strict=True):
            table, names = found[domain]
            members = np.flatnonzero((table["label"] == name).to_numpy())
            drawn = generator(0, _STAMPS, names.index(name)).permutation(len(members))[:count]
            with StampSet(list(stamps[domain])) as opened:
                images = opened.images(members[np.sort(drawn)])
            for panel, row, image in zip(line, members[np.sort(drawn)], images, strict=False):
                scale = ImageNormalize(
                    image, interval=PercentileInterval(99.5), stretch=AsinhStretch(0.1), clip=True
                )
                panel.imshow(
                    image, origin="lower", cmap="gray_r", norm=scale, interpolation="nearest"
                )
                text = f"{name}\nid {table['id'].iloc[row]}"
                panel.set_title(text, fontsize=6.5, color=COLOURS[domain])


def _tables(
    stamps: Mapping[str, Sequence[Path]], wanted: Sequence[str] | Mapping[str, str]
) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Table of each domain with its classes in order; stamps without label form the last one.

    Raises:
        DataError: nothing to draw, or a stamp set lacks a column.
    """
    if not stamps:
        raise DataError("no stamp set to draw; name at least one domain's")
    found = {}
    for domain, paths in stamps.items():
        with StampSet(list(paths)) as opened:
            table, metadata = opened.table, opened.metadata
        missing = [name for name in ("label", *wanted) if name not in table]
        if missing:
            raise DataError(
                f"{paths[0]}: lacks the column(s) {', '.join(missing)}; rerun its stage"
            )
        table["label"] = table["label"].replace("", _UNLABELLED)
        names = [str(name) for name in metadata.get("classes", sorted(set(table["label"])))]
        names += sorted(set(table["label"]) - set(names))
        found[domain] = (table, names)
    return found
