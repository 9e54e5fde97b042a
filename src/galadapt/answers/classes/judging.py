"""How predicted classes are evaluated and compared (`galadapt.answers.view.Judging`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.best import best
from galadapt.answers.classes.groups import group_predictions
from galadapt.answers.classes.metrics import (
    answered,
    answers,
    class_intervals,
    class_metrics,
    group_vote,
    merged,
)
from galadapt.answers.classes.predictions import (
    class_names,
    class_numbers,
    probabilities,
    read_class_predictions,
)
from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.answers.judgement import Judgement, sets
from galadapt.answers.view import Column, Estimates, Line, Place, Ranking, Table, View, quoted

NOTE = (
    "Mean ± standard deviation over training seeds, on the test sets. Balanced accuracy: mean "
    "recall of the classes that occur. AUC: of the last of two classes, or the mean of each class "
    "against the rest. Vote: class of a frame from all its stamps. Seconds depend on the machine. "
    "Published figures were measured on other data and are for orientation."
)

ITEM_PER_ROW = True
COUNTED = "groups"
SMALL = 0
GROUPED = ("loss", "vote_balanced_accuracy", "vote_accuracy")
RANKING = Ranking("balanced_accuracy", "balanced accuracy")

#: Figures by which methods are ranked: {metric: its name in sentences}.
_RANKED = {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}

#: Below this many test groups of a class, its error bars are unreliable.
_FEW_GROUPS = 5

#: Parts of a test set: the predicted classes, and the labels before any grouping.
_BY_CLASS, _BY_LABEL = "class", "label"


@dataclass(frozen=True)
class Judged:
    """Labelled predictions in one set of classes."""

    names: list[str]  #: the k classes
    true: np.ndarray  #: class numbers, shape (n,)
    probabilities: np.ndarray  #: shape (n, k)
    group: np.ndarray  #: what must not be split, shape (n,)
    original: np.ndarray  #: classes before any grouping, shape (n,)

    @classmethod
    def of(cls, table: pd.DataFrame) -> Judged:
        """Take the rows of a predictions table, all labelled."""
        group = table["group"].to_numpy(object)
        # A stamp without a group is a group of its own.
        own = np.array([f"id {number}" for number in table["id"]], object)
        original = table["label_original"].where(table["label_original"] != "", table["label_true"])
        return cls(
            class_names(table),
            class_numbers(table),
            probabilities(table),
            np.where(group == "", own, group).astype(str),
            original.to_numpy(str),
        )

    def grouped(self, grouping: Mapping[str, Sequence[str]]) -> Judged | None:
        """Return the same in coarser classes; None where these do not divide ours."""
        if {name for of in grouping.values() for name in of} != set(self.names):
            return None
        # In the order of their first classes: settings pass through JSON, which has no order.
        coarse = sorted(grouping, key=lambda name: min(map(self.names.index, grouping[name])))
        home = {name: k for k, key in enumerate(coarse) for name in grouping[key]}
        place = np.array([home[name] for name in self.names])
        numbers = [np.flatnonzero(place == k) for k in range(len(coarse))]
        probabilities = merged(self.probabilities, numbers)
        return Judged(coarse, place[self.true], probabilities, self.group, self.original)

    def metrics(self, settings: ClassEvaluation, seed: int | None) -> dict[str, Any]:
        """Return the figures of all stamps, with intervals where a seed for them is given."""
        found = class_metrics(self.true, self.probabilities, self.names)
        vote = group_vote(self.true, self.probabilities, self.group, settings.vote) or {}
        figures = {name: found[name] for name in found if name != "classes"}
        figures["groups"] = len(np.unique(self.group))
        figures |= {f"vote_{name}": value for name, value in vote.items()}
        if seed is not None:
            figures |= class_intervals(
                self.true, self.probabilities, self.group, settings.bootstrap, seed
            )
        return figures

    def parts(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield the figures of each class, and the errors of each label before any grouping."""
        found = class_metrics(self.true, self.probabilities, self.names)["classes"]
        for k, (name, values) in enumerate(found.items()):
            groups = len(np.unique(self.group[self.true == k]))
            yield _BY_CLASS, name, {**values, "groups": groups, "error": 1 - values["recall"]}
        good = answered(self.probabilities)
        wrong = np.zeros(len(self.true), bool)
        wrong[good] = answers(self.probabilities[good]) != self.true[good]
        present = set(self.original.tolist())
        # In the order of `names`, others after.
        for name in [n for n in self.names if n in present] + sorted(present - set(self.names)):
            here = self.original == name
            judged = here & good
            error = float(wrong[judged].mean()) if judged.any() else float("nan")
            groups = len(np.unique(self.group[here]))
            yield _BY_LABEL, name, {"n": int(here.sum()), "groups": groups, "error": error}


def read(path: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Read the predictions table of a run."""
    return read_class_predictions(path)


def evaluate(
    table: pd.DataFrame, record: Mapping[str, Any], settings: ClassEvaluation, seed: int
) -> Judgement:
    """Compute the metrics of `class_metrics`, `group_vote` and, for test sets, `class_intervals`.

    The item is the set of classes ("a/b/c"); where ``settings.grouping`` divides them, the coarser
    ones are another item. Unlabelled rows are left out, and a domain without any label has no
    metrics. ``shared_groups`` counts groups of the test set that occur in another split too: above
    0 the figures do not hold for new groups. ``groups.csv`` holds the prediction of each group.
    """
    judgement = Judgement(files={"groups.csv": group_predictions(table)})
    for domain, split, rows in sets(table):
        labelled = rows[rows["label_true"] != ""]
        if labelled.empty:
            continue
        own = Judged.of(labelled)
        coarse = own.grouped(settings.grouping)
        shared: dict[str, Any] = {}
        if split == "test":
            other = (table["domain"] == domain) & (table["split"] != "test")
            shared = {"shared_groups": len(set(rows["group"]) & set(table["group"][other]) - {""})}
        for judged in (own, coarse) if coarse else (own,):
            item = "/".join(judged.names)
            found = judged.metrics(settings, seed if split == "test" else None)
            found |= {**shared, "unlabelled": len(rows) - len(labelled)}
            judgement.add(domain, split, item, found)
            if split == "test":
                for by, level, values in judged.parts():
                    judgement.add_part(domain, item, by, level, values)
        if split == "test":
            judgement.notes += _notes(domain, found)
    return judgement


def _notes(domain: str, found: Mapping[str, Any]) -> Iterator[str]:
    if found["failed"]:
        yield f"{found['failed']} {domain} test stamps have no finite prediction"
    if found["shared_groups"]:
        yield (
            f"{found['shared_groups']} of {found['groups']} {domain} test groups also occur in "
            "other splits: these figures do not hold for new ones"
        )


def estimates(table: pd.DataFrame, record: Mapping[str, Any]) -> Estimates:
    """Return the probabilities of the classes, and 1 for the true one."""
    predicted = probabilities(table)
    numbers = {name: number for number, name in enumerate(class_names(table))}
    groups = np.array([numbers.get(label, -1) for label in table["label_true"]], int)
    true = np.eye(predicted.shape[1])[groups]
    true[groups < 0] = np.nan
    # The probabilities add up to 1: the last one says nothing of the population.
    matched = [*range(predicted.shape[1] - 1)]
    return Estimates(predicted, true, groups, classes=True, matched=matched, one_unit=True)


def columns(items: Sequence[str]) -> list[Column]:
    """Show accuracies, AUC, votes and costs."""
    return [
        Column("accuracy", "accuracy", headline=True, interval=True),
        Column("balanced_accuracy", "balanced accuracy", headline=True, interval=True),
        Column("auc", "AUC", headline=True, interval=True),
        Column("loss", "loss"),
        Column("vote_accuracy", "vote: accuracy"),
        Column("vote_balanced_accuracy", "vote: balanced"),
        Column("n", "stamps", digits=0),
        Column("seconds_per_epoch", "s / epoch", digits=1, of_run=True),
        Column("separability_auc", "domain AUC", of_run=True),
    ]


def verdicts(view: View, places: Sequence[Place]) -> Iterator[str]:
    """State which method leads, which ones cannot be ranked, and what rests on few groups."""
    for test_set in dict.fromkeys(view.test_set(place) for place in places):
        here = [place for place in places if view.test_set(place) == test_set]
        leaking = [place for place in here if view.cell(place, "shared_groups").mean > 0]
        ranked = [place for place in here if place not in leaking]
        title = test_set.capitalize()
        if len(ranked) > 1:
            yield from best(
                title,
                "",
                [
                    (name, [(place.method, view.cell(place, metric)) for place in ranked])
                    for metric, name in _RANKED.items()
                ],
            )
        for place in leaking:
            yield (
                f"{title}: {place.method} is not ranked: "
                f"{view.cell(place, 'shared_groups').mean:.0f} of its {view.counted(place):.0f} "
                "test groups also occur in its other splits, so that its figures do not hold for "
                "new ones."
            )
        few = dict(item for place in ranked for item in _few_groups(view, place))
        if few:
            counts = ", ".join(f"{name} {count}" for name, count in few.items())
            yield (
                f"{title}: few test groups ({counts}). The figures of these classes are uncertain, "
                "by more than the error bars."
            )


def _few_groups(view: View, place: Place) -> Iterator[tuple[str, int]]:
    for name, cell in view.parts(_BY_CLASS, "groups").get(place, {}).items():
        if 0 < cell.mean < _FEW_GROUPS:
            yield name, round(cell.mean)


def tables(view: View, places: Sequence[Place]) -> list[Table]:
    """Arrange the share of wrong predictions per label before any grouping."""
    parts = view.parts(_BY_LABEL, "error")
    classes = sorted({name for place in places for name in parts.get(place, {})})
    known = view.published
    known = known[(known["metric"] == "error") & (known["method"] == "") & (known["class"] != "")]
    values = dict(zip(known["class"], known["value"], strict=True))
    # Classes that only others have had stamps of get their column too.
    extra = sorted(set(values) - set(classes)) if set(classes) <= set(values) else []
    lines = view.part_lines(places, _BY_LABEL, "error", [*classes, *extra])
    if values and set(classes) <= set(values):
        published = [quoted(values[name]) for name in (*classes, *extra)]
        lines.append(Line(["", f"{view.work} published", *published]))
        view.used |= set(known.index)
    head = ["method", "test set", *classes, *extra]
    return [Table(head, lines, "Share of wrong predictions per class")]
