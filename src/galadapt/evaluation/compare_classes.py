"""The comparison of all runs of a classification task: one tidy table, and forms of it to read.

Every readable form (Markdown, HTML, console) is drawn from the same tidy tables, so that they
cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.config import DOMAINS
from galadapt.errors import DataError
from galadapt.evaluation.class_metrics import WITH_INTERVALS
from galadapt.evaluation.published_classes import WORKS, beside, published_classes
from galadapt.evaluation.runs import (
    BOTH,
    EXPERIMENT,
    details_over_seeds,
    over_seeds,
    read_runs,
)
from galadapt.evaluation.tables import markdown_table, render_html, text_table
from galadapt.evaluation.verdicts import Cell, best
from galadapt.files import read_table, write_csv, write_json, write_text

COLUMNS = [*EXPERIMENT, "domain", "classes", "metric", "mean", "std", "n_seeds"]

#: What a row of the table of details is about.
PLACES = ["domain", "classes", "kind", "class"]

#: `classes` of rows that belong to a run as a whole.
_ALL = "all"

#: Figures of one test set, as `galadapt.evaluation.classes` writes them.
_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "loss",
    "brier",
    "n",
    "failed",
    "groups",
    *(f"{name}_{end}" for name in WITH_INTERVALS for end in ("low", "high")),
)
_VOTE = ("n", "mixed", "failed", "accuracy", "balanced_accuracy")

#: Columns of the readable tables: {metric: head}. One without any figure is left out.
_SHOWN = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "loss": "loss",
    "vote_accuracy": "vote: accuracy",
    "vote_balanced_accuracy": "vote: balanced",
    "n": "stamps",
    "seconds_per_epoch": "s / epoch",
    "separability_auc": "domain AUC",
}

#: Columns that print whole numbers, and those that print one digit after the point.
_DIGITS = {"n": 0, "seconds_per_epoch": 1}

#: Figures by which methods are ranked: {metric: how a sentence calls it}.
_RANKED = {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}

NOTE = (
    "Mean ± standard deviation over training seeds, on the test sets. Balanced accuracy: mean "
    "recall of the classes that occur. AUC: of the last of two classes, or the mean of each class "
    "against the rest. Vote: all stamps of a frame decide together. Seconds depend on the machine. "
    "Published figures were measured on other data and are for orientation."
)


def compare_classes(
    metrics: Sequence[Path],
    by_class: Sequence[Path],
    task: str,
    comparison: Path,
    detail: Path,
    markdown: Path,
    html: Path,
    plot: Path,
    metrics_folder: Path,
) -> None:
    """Write every form of the comparison of a classification task.

    Args:
        metrics: ``metrics.json`` of each run, in the order tables shall have.
        by_class: ``metrics_by_class.csv`` of the same runs in the same order.
        task: Name of the task; chooses the published figures.
        comparison: Tidy CSV with `COLUMNS`: test-split metrics (with ``vote_`` before those of
            groups), accuracies of the other splits (``accuracy_train``, ``accuracy_validation``),
            ``shared_groups``; mean, sample standard deviation over seeds (empty for one seed) and
            number of seeds with a value. `classes` names the classes judged, a network of finer
            ones has rows for the coarser too. Rows of the run as a whole (``seconds_per_epoch``,
            ``separability_auc``) have domain ``both`` and classes ``all``.
        detail: CSV of the figures per class: `EXPERIMENT`, `PLACES`, metric, mean, std, n_seeds.
        markdown: One table per variant, published figures below ours, verdicts, errors per class.
        html: The same as a fragment to inline, without style.
        plot: CSV with one row per method and test set: `run`, accuracy, balanced_accuracy, auc.
        metrics_folder: Folder of ``<variant>.<method>.json``, each {domain: {classes: {metric:
            mean}}}.

    Raises:
        DataError: no run, a run twice, a run of another task, or metrics of another shape.
    """
    runs = read_runs(metrics, by_class, ["domains", "separability", "seconds_per_epoch"])
    for run, path in zip(runs, metrics, strict=True):
        if run["task"] != task:
            raise DataError(f"{path}: is a run of task {run['task']}, not {task}; leave it out")
    tidy = over_seeds(pd.DataFrame([row for run in runs for row in _rows(run)]), COLUMNS[:6])
    details = details_over_seeds(runs, by_class, PLACES, text=["class"])
    view = View(tidy, details)
    write_csv(detail, details)
    write_text(markdown, _markdown(view))
    write_text(
        html,
        render_html(
            "comparison_classes.html",
            sections=view.sections,
            others=view.others,
            work=view.work,
            note=NOTE,
        ),
    )
    for name, values in _summary(tidy).items():
        write_json(metrics_folder / f"{name}.json", values)
    write_csv(plot, _plot(view))
    write_csv(comparison, tidy)


def console_table_classes(comparison: Path, detail: Path) -> str:
    """Render the comparison of a classification task as plain text for a terminal.

    Raises:
        DataError: a file is missing or is not the table its name promises.
    """
    tidy, details = read_table(comparison), read_table(detail)
    for path, table, wanted in ((comparison, tidy, COLUMNS), (detail, details, PLACES)):
        missing = [name for name in wanted if name not in table]
        if missing:
            raise DataError(f"{path}: lacks {', '.join(missing)}; rerun the stage 'compare'")
    details["class"] = details["class"].astype(str)
    lines = []
    for section in View(tidy, details).sections:
        lines.append(f"Test sets: {section.task}, variant {section.variant}")
        lines += text_table(section.figures.head, section.figures.body)
        lines += [f"  * {line}" for line in section.verdicts]
        lines += ["", "  Share of wrong answers per class"]
        lines += text_table(section.errors.head, section.errors.body)
        lines.append("")
    return "\n".join([*lines, NOTE])


# --- the tidy table ---------------------------------------------------------------------------


def _rows(run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    identity = {key: run[key] for key in EXPERIMENT}
    for domain in (name for name in DOMAINS if name in run["domains"]):
        splits = run["domains"][domain]
        for found in (splits.get("test"), splits.get("test", {}).get("grouped")):
            if found is None:
                continue
            place = {**identity, "domain": domain, "classes": "/".join(found["class_names"])}
            values = {name: found[name] for name in _METRICS}
            vote = found["vote"] or {}
            values |= {f"vote_{name}": vote.get(name) for name in _VOTE}
            values["shared_groups"] = splits["test"]["shared_groups"]
            for split in ("train", "validation"):
                other = splits.get(split, {})
                other = other if found is splits["test"] else other.get("grouped", {})
                values[f"accuracy_{split}"] = other.get("accuracy")
            for name, value in values.items():
                yield {**place, "metric": name, "value": value}
    whole = {**identity, "domain": BOTH, "classes": _ALL}
    yield {**whole, "metric": "seconds_per_epoch", "value": run["seconds_per_epoch"]}
    yield {**whole, "metric": "separability_auc", "value": run["separability"]["auc"]}


def _summary(tidy: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    shown = tidy["metric"].isin(["accuracy", "balanced_accuracy", "auc", "loss"])
    for row in tidy[shown].to_dict("records"):
        place = nested.setdefault(f"{row['variant']}.{row['method']}", {})
        place = place.setdefault(row["domain"], {}).setdefault(row["classes"], {})
        place[row["metric"]] = round(row["mean"], 4)
    return nested


def _plot(view: View) -> pd.DataFrame:
    names = ["accuracy", "balanced_accuracy", "auc"]
    rows = [
        {
            "run": f"{place.variant}/{place.method}, {view.test_set(place)}",
            **{name: view.cell(place, name).mean for name in names},
        }
        for place in view.places
    ]
    return pd.DataFrame(rows, columns=["run", *names])


# --- what every readable form shows -----------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One method on one test set, judged in one set of classes."""

    variant: str
    method: str
    domain: str
    classes: str


@dataclass(frozen=True)
class Line:
    """One line of a table; `domain` is empty for published figures."""

    cells: list[str]
    domain: str = ""
    first: bool = False

    @property
    def published(self) -> bool:
        """Whether it holds figures of others."""
        return not self.domain


@dataclass(frozen=True)
class Table:
    """A table as every form shows it: two columns of names, then figures."""

    head: list[str]
    lines: list[Line]

    @property
    def body(self) -> list[list[str]]:
        """The lines' cells."""
        return [line.cells for line in self.lines]


@dataclass(frozen=True)
class Section:
    """One variant."""

    task: str
    variant: str
    figures: Table
    errors: Table
    intervals: Table
    verdicts: list[str]


class View:
    """The comparison, ready to be shown."""

    def __init__(self, tidy: pd.DataFrame, details: pd.DataFrame) -> None:
        """Arrange tidy tables as `compare_classes` writes them."""
        self.task = str(tidy["task"].iloc[0])
        self.work = WORKS.get(self.task, "")
        self._published = published_classes(self.task)
        self._details = details
        self._values = {
            (Place(r["variant"], r["method"], r["domain"], r["classes"]), r["metric"]): (
                r["mean"],
                r["std"],
            )
            for r in tidy.to_dict("records")
        }
        self.places = list(dict.fromkeys(p for p, _ in self._values if p.domain != BOTH))
        self._one_scheme = len({place.classes for place in self.places}) == 1
        self._shown = [
            name
            for name in _SHOWN
            if any(not math.isnan(self.cell(place, name).mean) for place in self.places)
        ]
        self._used: set[int] = set()
        self.sections = [self._section(v) for v in dict.fromkeys(p.variant for p in self.places)]
        self.others = self._others()

    def cell(self, place: Place, metric: str) -> Cell:
        """Return one figure of one place, of its run as a whole where it has none of its own."""
        whole = Place(place.variant, place.method, BOTH, _ALL)
        missing = (math.nan, math.nan)
        mean, std = self._values.get((place, metric), self._values.get((whole, metric), missing))
        low = self._values.get((place, f"{metric}_low"), missing)[0]
        high = self._values.get((place, f"{metric}_high"), missing)[0]
        return Cell(mean, std, low, high)

    def test_set(self, place: Place) -> str:
        """Name a test set, with its classes where methods differ in them."""
        return place.domain if self._one_scheme else f"{place.domain}: {place.classes}"

    def _section(self, variant: str) -> Section:
        places = [place for place in self.places if place.variant == variant]
        return Section(
            self.task,
            variant,
            self._figures(variant, places),
            self._errors(places),
            self._intervals(places),
            list(self._verdicts(places)),
        )

    def _figures(self, variant: str, places: Sequence[Place]) -> Table:
        lines: list[Line] = []
        for method in dict.fromkeys(place.method for place in places):
            for k, place in enumerate(p for p in places if p.method == method):
                texts = [self._text(place, name, first=k == 0) for name in self._shown]
                name = method if k == 0 else ""
                lines.append(Line([name, self.test_set(place), *texts], place.domain, k == 0))
            ran = list({p.variant for p in self.places if p.method == method})
            lines += self._published_lines(beside(self._published, variant, method, ran))
        lines += self._published_lines(beside(self._published, variant, "", []))
        return Table(["method", "test set", *(_SHOWN[name] for name in self._shown)], lines)

    def _text(self, place: Place, metric: str, first: bool) -> str:
        cell = self.cell(place, metric)
        if metric in ("seconds_per_epoch", "separability_auc") and not first:
            # It belongs to the run, so it stands once.
            return ""
        if metric in _DIGITS and not math.isnan(cell.mean):
            return f"{cell.mean:.{_DIGITS[metric]}f}"
        return cell.text

    def _published_lines(self, rows: pd.DataFrame) -> list[Line]:
        self._used |= set(rows.index)
        lines = []
        for label, part in rows.groupby("label", sort=False):
            figures = dict(zip(part["metric"], part["value"], strict=True))
            cells = [_quoted(figures.pop(name)) if name in figures else "" for name in self._shown]
            more = ", ".join(f"{_words(k)} {_quoted(v)}" for k, v in figures.items())
            title = f"{self.work} published: {label}" + (f" ({more})" if more else "")
            lines.append(Line(["", title, *cells]))
        return lines

    def _errors(self, places: Sequence[Place]) -> Table:
        """Wrong answers per class before any grouping."""
        table = self._details
        table = table[(table["kind"] == "original") & (table["metric"] == "error")]
        variant = places[0].variant
        table = table[table["variant"] == variant]
        classes = list(dict.fromkeys(sorted(table["class"])))
        cells = {
            (Place(r["variant"], r["method"], r["domain"], r["classes"]), r["class"]): Cell(
                r["mean"], r["std"]
            )
            for r in table.to_dict("records")
        }
        lines: list[Line] = []
        for place in places:
            texts = [cells[place, c].text if (place, c) in cells else "n/a" for c in classes]
            first = not lines or lines[-1].cells[0] != place.method
            lines.append(Line([place.method, self.test_set(place), *texts], place.domain, first))
        known = self._published[
            (self._published["metric"] == "error") & (self._published["method"] == "")
        ]
        # Classes that only others have had stamps of get their column too.
        if set(classes) <= set(known["class"]):
            classes_known = sorted(known["class"])
            extra = [name for name in classes_known if name not in classes]
            lines = [Line([*x.cells, *["n/a"] * len(extra)], x.domain, x.first) for x in lines]
            classes += extra
            values = dict(zip(known["class"], known["value"], strict=True))
            label = f"{self.work} published"
            lines.append(Line(["", label, *(_quoted(values[name]) for name in classes)]))
            self._used |= set(known.index)
        return Table(["method", "test set", *classes], lines)

    def _intervals(self, places: Sequence[Place]) -> Table:
        names = [name for name in WITH_INTERVALS if name in self._shown]
        lines = [
            Line(
                [
                    place.method,
                    self.test_set(place),
                    f"{self.cell(place, 'groups').mean:.0f}",
                    *(self.cell(place, name).interval for name in names),
                ],
                place.domain,
            )
            for place in places
        ]
        return Table(["method", "test set", "groups", *(_SHOWN[name] for name in names)], lines)

    def _verdicts(self, places: Sequence[Place]) -> Iterator[str]:
        """Say what the table shows, and only what its error bars carry."""
        for test_set in dict.fromkeys(self.test_set(place) for place in places):
            here = [place for place in places if self.test_set(place) == test_set]
            leaking = [p for p in here if self.cell(p, "shared_groups").mean > 0]
            ranked = [p for p in here if p not in leaking]
            if len(ranked) > 1:
                for metric, name in _RANKED.items():
                    cells = [(p.method, self.cell(p, metric)) for p in ranked]
                    yield best(f"{test_set.capitalize()}, {name}", name, cells)
            for place in leaking:
                shared = self.cell(place, "shared_groups").mean
                yield (
                    f"{test_set.capitalize()}: {place.method} is not ranked: {shared:.0f} of its "
                    f"{self.cell(place, 'groups').mean:.0f} test groups also occur in its other "
                    "splits, so that its figures are flattered."
                )

    def _others(self) -> list[str]:
        """Published figures that stand beside nothing of ours."""
        rows = self._published.drop(index=list(self._used))
        lines = []
        for (label, metric), part in rows.groupby(["label", "metric"], sort=False):
            figures = ", ".join(
                f"{row['class']} {_quoted(row['value'])}".strip() for row in part.to_dict("records")
            )
            lines.append(f"{label}, {_words(metric)}: {figures}")
        return lines


def _quoted(value: float) -> str:
    """Print a published figure with the digits it was published with."""
    return f"{value:.10g}"


def _words(metric: object) -> str:
    return _SHOWN.get(str(metric), str(metric).replace("_", " "))


# --- readable forms ---------------------------------------------------------------------------


def _markdown(view: View) -> str:
    lines = ["# Comparison", "", NOTE, ""]
    for section in view.sections:
        lines += [f"## {section.task}, variant `{section.variant}`", ""]
        lines += [*markdown_table(section.figures.head, _marked(section.figures)), ""]
        if section.verdicts:
            lines += [*(f"- {line}" for line in section.verdicts), ""]
        lines += ["Share of wrong answers per class:", ""]
        lines += [*markdown_table(section.errors.head, _marked(section.errors)), ""]
        lines += ["With other test groups (bootstrap, 68 % interval):", ""]
        lines += [*markdown_table(section.intervals.head, section.intervals.body), ""]
    if view.others:
        lines += [f"## Other figures {view.work} published", ""]
        lines += [*(f"- {line}" for line in view.others), ""]
    return "\n".join(lines)


def _marked(table: Table) -> list[list[str]]:
    """Set published figures in italics."""
    return [
        [f"*{text}*" if line.published and text else text for text in line.cells]
        for line in table.lines
    ]
