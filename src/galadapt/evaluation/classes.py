"""Evaluate one finished run of a classification task: its predictions become metrics on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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
from galadapt.answers.classes.votes_of_groups import group_answers
from galadapt.config.base import DOMAINS
from galadapt.config.classes import ClassEvaluation
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_json
from galadapt.core.log import log
from galadapt.evaluation.features import domain_separability
from galadapt.evaluation.runs import read_identity


@dataclass(frozen=True)
class Judged:
    """Labelled predictions in one set of classes.

    Attributes:
        names: The k classes.
        true: Class numbers, shape (n,).
        probabilities: Shape (n, k).
        group: What must not be split, shape (n,).
        original: Classes before any grouping, shape (n,).
    """

    names: list[str]
    true: np.ndarray
    probabilities: np.ndarray
    group: np.ndarray
    original: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> Judged:
        """Take the rows of a predictions table, all labelled."""
        group = table["group"].to_numpy(object)
        # A stamp that belongs to nothing stands for itself.
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
        return Judged(
            coarse,
            place[self.true],
            merged(self.probabilities, numbers),
            self.group,
            self.original,
        )

    def metrics(self, evaluation: ClassEvaluation, seed: int | None) -> dict[str, Any]:
        """Return all figures, with intervals where a seed for them is given."""
        found = class_metrics(self.true, self.probabilities, self.names)
        for k, values in enumerate(found["classes"].values()):
            values["groups"] = len(np.unique(self.group[self.true == k]))
        found |= {
            "class_names": self.names,
            "groups": len(np.unique(self.group)),
            "vote": group_vote(self.true, self.probabilities, self.group, evaluation.vote),
            "original": self._errors(),
        }
        if seed is not None:
            found |= class_intervals(
                self.true, self.probabilities, self.group, evaluation.bootstrap, seed
            )
        return found

    def _errors(self) -> dict[str, dict[str, Any]]:
        """Share of wrong answers per original class, in the order of `names`, others after."""
        good = answered(self.probabilities)
        wrong = np.zeros(len(self.true), bool)
        wrong[good] = answers(self.probabilities[good]) != self.true[good]
        present = set(self.original.tolist())
        order = [name for name in self.names if name in present]
        order += sorted(present - set(order))
        errors = {}
        for name in order:
            here = self.original == name
            judged = here & good
            error = float(wrong[judged].mean()) if judged.any() else float("nan")
            groups = len(np.unique(self.group[here]))
            errors[name] = {"n": int(here.sum()), "groups": groups, "error": error}
        return errors


def evaluate_run_classes(
    predictions: Path,
    embeddings: Path,
    run: Path,
    history: Path,
    evaluation: ClassEvaluation,
    metrics: Path,
    by_class: Path,
    answers: Path,
) -> None:
    """Write the metrics of one run of a classification task.

    Args:
        predictions: Parquet table of `galadapt.answers.classes.predictions`. Unlabelled rows
            count nowhere, and a domain without any label has no metrics.
        embeddings: Parquet table of `id`, `domain`, `split` and one float column per feature.
        run: The run's ``run.json``; its task, variant, method and seed name the metrics.
        history: The run's ``history.csv``, for the seconds per epoch.
        evaluation: Bootstrap, vote, coarser classes.
        metrics: JSON to write. ``domains.<domain>.<split>`` holds what `class_metrics` gives,
            ``unlabelled`` (rows left out), ``class_names``, ``groups``, ``vote`` (`group_vote`, or
            null), ``original`` (n, groups and share of wrong answers per class before grouping);
            for the test split also `class_intervals` and ``shared_groups`` (groups that occur in
            another split too: above 0 the figures do not hold for new groups); and, where
            ``evaluation.grouping`` divides the classes, ``grouped`` with the same in those.
            Beside them ``seconds_per_epoch`` (median) and ``separability`` of the domains.
        by_class: CSV to write, of the test split: domain, classes (``a/b/c``), kind (predicted or
            original), class, n, groups, recall, precision, f1, auc, error.
        answers: CSV to write: `galadapt.answers.classes.votes_of_groups.group_answers`.

    Raises:
        DataError: an input is missing or is not what its name promises, or no test stamp has a
            label.
    """
    identity = read_identity(run)
    table = read_class_predictions(predictions)
    domains: dict[str, Any] = {}
    details: list[dict[str, Any]] = []
    for domain in DOMAINS:
        here = table[table["domain"] == domain]
        for split, rows in here.groupby("split", sort=False):
            labelled = rows[rows["label_true"] != ""]
            if labelled.empty:
                continue
            judged = Judged.of(labelled)
            seed = identity["seed"] if split == "test" else None
            found = judged.metrics(evaluation, seed)
            found["unlabelled"] = len(rows) - len(labelled)
            coarse = judged.grouped(evaluation.grouping)
            if coarse:
                found["grouped"] = coarse.metrics(evaluation, seed)
            if split == "test":
                elsewhere = here.loc[here["split"] != "test", "group"]
                shared = (set(rows["group"]) & set(elsewhere)) - {""}
                found["shared_groups"] = len(shared)
                details += _by_class(domain, found)
                if coarse:
                    details += _by_class(domain, found["grouped"])
            domains.setdefault(domain, {})[str(split)] = found
    if not any("test" in splits for splits in domains.values()):
        raise DataError(
            f"{predictions}: holds no labelled row of split 'test'; give labels to test stamps or "
            "rerun the prediction"
        )
    content = {
        **identity,
        "class_names": class_names(table),
        "domains": domains,
        "seconds_per_epoch": _seconds_per_epoch(history),
        "separability": domain_separability(embeddings),
    }
    write_csv(answers, group_answers(table))
    write_csv(by_class, pd.DataFrame(details))
    write_json(metrics, content)
    for domain, splits in domains.items():
        test = splits.get("test", {})
        if test.get("failed"):
            log.info(
                f"{predictions}: {test['failed']} {domain} test stamps have no finite prediction"
            )
        if test.get("shared_groups"):
            log.info(
                f"{predictions}: {test['shared_groups']} of {test['groups']} {domain} test groups "
                "also occur in other splits: these figures do not hold for new ones"
            )


def _by_class(domain: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = {"domain": domain, "classes": "/".join(found["class_names"])}
    rows = [
        {
            **place,
            "kind": "predicted",
            "class": name,
            "n": values["n"],
            "groups": values["groups"],
            **{key: values[key] for key in ("recall", "precision", "f1", "auc")},
            "error": 1 - values["recall"],
        }
        for name, values in found["classes"].items()
    ]
    return rows + [
        {**place, "kind": "original", "class": name, **values}
        for name, values in found["original"].items()
    ]


def _seconds_per_epoch(history: Path) -> float:
    table = read_table(history)
    return float(table["seconds"].median()) if "seconds" in table else float("nan")
