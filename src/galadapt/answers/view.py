"""The comparison of methods, arranged in tables that every readable form shows.

Which figures are shown, ranked and given intervals is up to the kind of answer (`Judging`).
Published figures stand below the method they belong to, or at the end of their variant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from galadapt.answers.best import Cell
from galadapt.answers.judgement import Judgement
from galadapt.answers.published import beside

#: `domain` and `item` of rows that belong to a run as a whole.
WHOLE_RUN = ("both", "run")


@dataclass(frozen=True)
class Column:
    """One figure of a table."""

    metric: str  #: its name in the tidy table
    head: str  #: the column's head
    #: The item it belongs to; None: the one that the row of the table is about.
    item: str | None = None
    digits: int | None = None  #: digits after the point; None: as `number` prints
    #: Whether it belongs to the run and not to a test set, so that it stands once.
    of_run: bool = False
    #: Whether it stands for the run wherever there is no room for all figures.
    headline: bool = False
    interval: bool = False  #: whether the table of bootstrap intervals has it

    @property
    def name(self) -> str:
        """One word for it in plain files."""
        return self.metric if self.item is None else self.item


@dataclass(frozen=True)
class Place:
    """One method on one test set, judged in one item (a set of classes) where there are several."""

    variant: str
    method: str
    domain: str
    item: str


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
    title: str = ""


@dataclass(frozen=True)
class Section:
    """One variant."""

    task: str
    variant: str
    figures: Table
    verdicts: list[str]
    more: list[Table]
    intervals: Table
    small: bool


@dataclass(frozen=True)
class Ranking:
    """The figure by which a method is better than another one on the survey."""

    metric: str  #: its name in the tidy table
    title: str  #: how sentences name it
    smallest: bool = False  #: whether smaller is better
    every_item: bool = False  #: whether all items count, by their mean, or the first one


@dataclass(frozen=True)
class Estimates:
    """Predicted and true values of n objects, for the label-free choice and the feature space."""

    predicted: np.ndarray  #: (n, p); NaN: failed
    true: np.ndarray  #: (n, p); NaN: unknown
    #: Classes, or parts that the true values divide the objects into, (n,) int; -1: unknown.
    groups: np.ndarray
    #: Whether objects have a class each; values are then probabilities.
    classes: bool = False
    #: Which of the p values describe the population, few enough to be matched; None: all.
    matched: list[int] | None = None
    #: Whether all values have one unit, so that those that hardly vary count little.
    one_unit: bool = False


class Judging(Protocol):
    """What a kind of answer brings to the comparison; a module implements it."""

    NOTE: str  #: explanation below every table
    ITEM_PER_ROW: bool  #: whether a row of a table is about one item, or its columns about one each
    COUNTED: str  #: the column that counts what intervals are drawn from
    SMALL: int  #: below this many of them, figures depend visibly on the choice of the test set
    GROUPED: tuple[str, ...]  #: metrics that MLflow shows in a group per domain
    RANKING: Ranking  #: the figure that the label-free choice of a method should make best

    def read(self, path: Any, record: Any) -> pd.DataFrame:
        """Read and check a predictions table."""

    def evaluate(self, table: pd.DataFrame, record: Any, settings: Any, seed: int) -> Judgement:
        """Compute the metrics of one run."""

    def estimates(self, table: pd.DataFrame, record: Any) -> Estimates:
        """Return what the rows of a predictions table predict, and what is true."""

    def columns(self, items: Sequence[str]) -> list[Column]:
        """Return the figures that tables show."""

    def verdicts(self, view: View, places: Sequence[Place]) -> Iterator[str]:
        """State what a variant's figures show, as far as it is significant."""

    def tables(self, view: View, places: Sequence[Place]) -> list[Table]:
        """Arrange further tables of a variant."""


class View:
    """The comparison, ready to be shown."""

    def __init__(
        self,
        tidy: pd.DataFrame,
        breakdown: pd.DataFrame,
        judging: Judging,
        published: pd.DataFrame,
        work: str,
        simulations: Mapping[str, str] | None = None,
        adapted: Sequence[str] | None = None,
    ) -> None:
        """Arrange the tidy tables of `galadapt.evaluation.compare` and published figures.

        `simulations` names the simulation of each method whose simulated test set is another
        than the experiment's; `adapted` names the methods that adapt a network (None: all).
        """
        self._simulations, self._adapted = simulations or {}, adapted
        self.work, self.breakdown = work, breakdown
        self.published, self._judging = published, judging
        keys = ("variant", "method", "domain", "item", "metric")
        self._values = {
            tuple(row[key] for key in keys): (row["mean"], row["std"])
            for row in tidy.to_dict("records")
        }
        self.places = list(
            dict.fromkeys(
                Place(variant, method, domain, item if judging.ITEM_PER_ROW else "")
                for variant, method, domain, item, _ in self._values
                if domain != WHOLE_RUN[0]
            )
        )
        self._one_item = len({place.item for place in self.places}) == 1
        items = tidy.loc[tidy["domain"] != WHOLE_RUN[0], "item"]
        # A column without any figure is left out.
        self.columns = [
            column
            for column in judging.columns(list(dict.fromkeys(items)))
            if any(not math.isnan(self.cell(place, column).mean) for place in self.places)
        ]
        self.used: set[int] = set()
        task = str(tidy["task"].iloc[0])
        variants = dict.fromkeys(place.variant for place in self.places)
        self.sections = [self._section(task, variant) for variant in variants]
        self.others = self._others()

    def cell(self, place: Place, column: Column | str) -> Cell:
        """Return one figure of a row, or of its run as a whole where it has none of its own."""
        column = Column(column, column) if isinstance(column, str) else column
        item = place.item if column.item is None else column.item
        run = (place.variant, place.method)

        def of(metric: str) -> tuple[float, float]:
            own = self._values.get((*run, place.domain, item, metric))
            return own or self._values.get((*run, *WHOLE_RUN, metric), (math.nan, math.nan))

        ends = (of(f"{column.metric}_{end}")[0] for end in ("low", "high"))
        return Cell(*of(column.metric), *ends)

    def adapts(self, place: Place) -> bool:
        """Whether the method of a row adapts a network to the survey."""
        return self._adapted is None or place.method in self._adapted

    def test_set(self, place: Place) -> str:
        """Name a test set, with its item where rows differ in theirs."""
        name, other = place.domain, self._simulations.get(place.method)
        if place.domain == "simulated" and other:
            name = f"simulated ({other})"
        return name if self._one_item else f"{name}: {place.item}"

    def counted(self, place: Place) -> float:
        """How many objects or groups a test set holds."""
        items = [c.item for c in self.columns if c.item is not None]
        return self.cell(place, Column(self._judging.COUNTED, "", next(iter(items), None))).mean

    def parts(self, by: str, metric: str) -> dict[Place, dict[str, Cell]]:
        """Return one figure of the parts of every test set: {row: {level: figure}}."""
        table = self.breakdown
        found: dict[Place, dict[str, Cell]] = {}
        for row in table[(table["by"] == by) & (table["metric"] == metric)].to_dict("records"):
            item = row["item"] if self._judging.ITEM_PER_ROW else ""
            place = Place(row["variant"], row["method"], row["domain"], item)
            found.setdefault(place, {})[str(row["level"])] = Cell(row["mean"], row["std"])
        return found

    def part_lines(
        self, places: Sequence[Place], by: str, metric: str, levels: Sequence[str]
    ) -> list[Line]:
        """Arrange one figure of some parts, a line per test set."""
        parts = self.parts(by, metric)
        lines: list[Line] = []
        for place in places:
            cells = parts.get(place, {})
            texts = [cells[level].text if level in cells else "n/a" for level in levels]
            first = not lines or lines[-1].cells[0] != place.method
            lines.append(Line([place.method, self.test_set(place), *texts], place.domain, first))
        return lines

    def _section(self, task: str, variant: str) -> Section:
        places = [place for place in self.places if place.variant == variant]
        return Section(
            task,
            variant,
            self._figures(variant, places),
            list(self._judging.verdicts(self, places)),
            self._judging.tables(self, places),
            self._intervals(places),
            any(self.counted(place) < self._judging.SMALL for place in places),
        )

    def _figures(self, variant: str, places: Sequence[Place]) -> Table:
        lines: list[Line] = []
        for method in dict.fromkeys(place.method for place in places):
            ran = {place.variant for place in self.places if place.method == method}
            known = beside(self.published, variant, method, ran)
            for k, place in enumerate(p for p in places if p.method == method):
                texts = [self._text(place, column, k == 0) for column in self.columns]
                name = method if k == 0 else ""
                lines.append(Line([name, self.test_set(place), *texts], place.domain, k == 0))
                lines += self._published_lines(known[known["domain"] == place.domain])
            lines += self._published_lines(known[known["domain"] == ""])
        lines += self._published_lines(beside(self.published, variant, "", []))
        return Table(["method", "test set", *(column.head for column in self.columns)], lines)

    def _text(self, place: Place, column: Column, first: bool) -> str:
        cell = self.cell(place, column)
        if column.of_run and not first:
            return ""
        if column.digits is not None and not math.isnan(cell.mean):
            return f"{cell.mean:,.{column.digits}f}"
        return cell.text

    def _published_lines(self, rows: pd.DataFrame) -> list[Line]:
        self.used |= set(rows.index)
        lines = []
        for label in map(str, rows["label"].unique()):
            part = rows[rows["label"] == label]
            values = zip(part["item"], part["metric"], part["value"], strict=True)
            figures = {(item, metric): value for item, metric, value in values}
            cells = []
            for column in self.columns:
                value = figures.pop((column.item or "", column.metric), None)
                cells.append("" if value is None else quoted(value))
            more = ", ".join(
                f"{self.words(name)} {quoted(value)}" for (_, name), value in figures.items()
            )
            title = f"{self.work} published" + (f": {label}" if label else "")
            lines.append(Line(["", title + (f" ({more})" if more else ""), *cells]))
        return lines

    def _intervals(self, places: Sequence[Place]) -> Table:
        shown = [column for column in self.columns if column.interval]
        lines = [
            Line(
                [
                    place.method,
                    self.test_set(place),
                    f"{self.counted(place):,.0f}",
                    *(self.cell(place, column).interval for column in shown),
                ],
                place.domain,
            )
            for place in places
        ]
        counted = {"n": "objects"}.get(self._judging.COUNTED, self._judging.COUNTED)
        return Table(["method", "test set", counted, *(column.head for column in shown)], lines)

    def _others(self) -> list[str]:
        """Published figures that match no method of ours."""
        rows = self.published.drop(index=list(self.used))
        lines = []
        for (label, metric), part in rows.groupby(["label", "metric"], sort=False):
            figures = ", ".join(
                f"{row['class'] or row['item']} {quoted(row['value'])}".strip()
                for row in part.to_dict("records")
            )
            lines.append(f"{label}, {self.words(metric)}: {figures}")
        return lines

    def words(self, metric: object) -> str:
        """Name a metric in a sentence."""
        heads = {column.metric: column.head for column in self.columns if column.item is None}
        return heads.get(str(metric), str(metric).replace("_", " "))


def quoted(value: float) -> str:
    """Print a published figure with the digits it was published with."""
    return f"{value:.10g}"
