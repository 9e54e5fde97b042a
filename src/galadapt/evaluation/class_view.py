"""The comparison of a classification task, arranged in tables that every readable form shows.

Published figures stand below the method they belong to, or at the end of their variant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from galadapt.answers.classes.metrics import WITH_INTERVALS
from galadapt.evaluation.published_classes import WORKS, beside, published_classes
from galadapt.evaluation.runs import BOTH
from galadapt.evaluation.verdicts import Cell, best

#: `classes` of rows that belong to a run as a whole.
ALL = "all"

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

#: Below this many test groups, a class is judged on too few witnesses for its error bars to hold.
FEW_GROUPS = 5


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
        whole = Place(place.variant, place.method, BOTH, ALL)
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
                    "splits, so that its figures do not hold for new ones."
                )
            few = dict(item for place in ranked for item in self._few_groups(place))
            if few:
                counts = ", ".join(f"{name} {count}" for name, count in few.items())
                yield (
                    f"{test_set.capitalize()}: few test groups ({counts}): what is said of these "
                    "classes rests on them, and error bars understate it."
                )

    def _few_groups(self, place: Place) -> Iterator[tuple[str, int]]:
        """Classes that few test groups hold, with their number."""
        table = self._details
        table = table[(table["kind"] == "predicted") & (table["metric"] == "groups")]
        for row in table.to_dict("records"):
            here = Place(row["variant"], row["method"], row["domain"], row["classes"])
            if here == place and 0 < row["mean"] < FEW_GROUPS:
                yield row["class"], round(row["mean"])

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
