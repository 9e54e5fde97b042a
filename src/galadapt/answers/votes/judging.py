"""How predicted votes are evaluated and compared (`galadapt.answers.view.Judging`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.best import best
from galadapt.answers.judgement import Judgement, sets
from galadapt.answers.view import Column, Estimates, Place, Ranking, Table, View
from galadapt.answers.votes.distribution import temperatures
from galadapt.answers.votes.metrics import Predicted
from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.answers.votes.tree import Tree
from galadapt.config.base import DOMAINS
from galadapt.core.files import read_table

NOTE = (
    "Mean ± standard deviation over training seeds, on the test sets. RMSE: over the shares of all "
    "answers, as in the Galaxy Challenge; floor: RMSE of the true shares, because the volunteers "
    "are few (of real galaxies a lower limit, as if volunteers were independent); RMSE of the "
    "mean: of the same shares for every galaxy. NLL: negative log-likelihood of the votes per "
    "question that was asked. Coverage: share of the votes inside their 68 % and 90 % intervals, "
    "of answers that some but not all are expected to give. ECE: expected calibration error of "
    "conditional shares; if calibrated: that of votes drawn from the predictions. AUSE: area under "
    "the sparsification error, 0 where the predicted errors order the galaxies as the true ones "
    "do. Published figures were measured on other galaxies and are for orientation."
)

ITEM_PER_ROW = False
COUNTED = "n"
SMALL = 300
GROUPED = ("nll", "coverage68", "coverage90", "ece", "ause")
RANKING = Ranking("rmse", "RMSE", smallest=True)

#: Item of the figures of all questions together.
ALL = "votes"

_QUESTION = "question"


def read(path: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Read the predictions table of a run.

    Raises:
        DataError: it is missing or lacks a column.
    """
    names = Tree.from_list(record["tree"]).names
    columns = [f"{name}_{end}" for name in names for end in ("votes", "alpha")]
    return read_table(path, ["id", "domain", "split", *columns])


def arrays(table: pd.DataFrame, tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Return votes and alphas, (n, K) each."""
    votes, alphas = (
        table[[f"{name}_{end}" for name in tree.names]].to_numpy(np.float64)
        for end in ("votes", "alpha")
    )
    return votes, alphas


def usable(table: pd.DataFrame, tree: Tree) -> np.ndarray:
    """Tell which rows have votes and a finite prediction, (n,) bool."""
    votes, alphas = arrays(table, tree)
    good = np.isfinite(votes).all(axis=1) & np.isfinite(alphas).all(axis=1)
    return good & (tree.asked(np.nan_to_num(votes))[:, 0] > 0)


def calibration(
    table: pd.DataFrame, record: Mapping[str, Any], settings: VoteEvaluation
) -> dict[str, np.ndarray]:
    """Return the temperature of each question for each domain, (questions,).

    Votes of the survey set them only where the method learned from such votes.
    """
    tree = Tree.from_list(record["tree"])
    ones = np.ones(len(tree.questions))
    if not settings.calibrate:
        return dict.fromkeys(DOMAINS, ones)
    rows = table[(table["split"] == "validation") & usable(table, tree)]
    found = {
        domain: temperatures(*arrays(part, tree), tree)
        for domain, part in rows.groupby("domain", sort=False)
    }
    home = found.get("simulated", ones)
    return {
        "simulated": home,
        "survey": found.get("survey", home) if record.get("survey_labels") else home,
    }


def predicted(table: pd.DataFrame, record: Mapping[str, Any], temperature: np.ndarray) -> Predicted:
    """Return calibrated predictions of rows that are `usable`."""
    tree = Tree.from_list(record["tree"])
    votes, alphas = arrays(table, tree)
    names = [f"{name}_true" for name in tree.names]
    true = table[names].to_numpy(np.float64) if set(names) <= set(table) else None
    if true is not None and not np.isfinite(true).all():
        true = None
    return Predicted(tree, votes, alphas * temperature[tree.question_of], true)


def evaluate(
    table: pd.DataFrame, record: Mapping[str, Any], settings: VoteEvaluation, seed: int
) -> Judgement:
    """Compute the metrics of `Predicted`, for the test sets with intervals and per question.

    Objects without votes are left out. ``temperatures.csv`` holds the temperature of each question.
    """
    tree = Tree.from_list(record["tree"])
    factors = calibration(table, record, settings)
    names = [question.name for question in tree.questions]
    judgement = Judgement(files={"temperatures.csv": pd.DataFrame({"question": names, **factors})})
    votes, alphas = arrays(table, tree)
    failed = table[np.isfinite(votes).all(axis=1) & ~np.isfinite(alphas).all(axis=1)]
    for domain, split, rows in sets(table[usable(table, tree)]):
        found = predicted(rows, record, factors[domain])
        lost = int(((failed["domain"] == domain) & (failed["split"] == split)).sum())
        figures = {**found.metrics(settings.bins), "failed": lost}
        if split == "test":
            if lost:
                judgement.notes.append(f"{lost} {domain} test objects have no finite prediction")
            figures |= found.intervals(settings.bootstrap, seed)
            for number, name in enumerate(names):
                values = found.part_metrics(number, settings.bins)
                values["temperature"] = float(factors[domain][number])
                judgement.add_part(domain, ALL, _QUESTION, name, values)
        judgement.add(domain, split, ALL, figures)
    return judgement


def estimates(table: pd.DataFrame, record: Mapping[str, Any]) -> Estimates:
    """Return the shares of all answers; populations are matched in those that lead to a question.

    Groups are the most frequent answers to the first question. Temperatures change no share.
    """
    tree = Tree.from_list(record["tree"])
    votes, alphas = arrays(table, tree)
    predicted, given = (tree.shares(tree.conditional(values)) for values in (alphas, votes))
    first = given[:, tree.parts[0]]
    groups = np.where(np.isfinite(first).all(axis=1), np.nan_to_num(first).argmax(axis=1), -1)
    return Estimates(predicted, given, groups, matched=tree.leading, one_unit=True)


def columns(items: Sequence[str]) -> list[Column]:
    """Show errors, likelihood and calibration."""
    return [
        Column("rmse", "RMSE", ALL, headline=True, interval=True),
        Column("nll", "NLL", ALL, headline=True, interval=True),
        Column("coverage68", "68 % coverage", ALL),
        Column("coverage90", "90 % coverage", ALL),
        Column("ece", "ECE", ALL),
        Column("ece_calibrated", "ECE if calibrated", ALL),
        Column("ause", "AUSE", ALL),
        Column("floor", "floor", ALL, digits=3),
        Column("rmse_of_mean", "RMSE of the mean", ALL, digits=3),
        Column("n", "galaxies", ALL, digits=0),
        Column("seconds_per_epoch", "s / epoch", digits=1, of_run=True),
        Column("separability_auc", "domain AUC", of_run=True),
    ]


def verdicts(view: View, places: Sequence[Place]) -> Iterator[str]:
    """State which method leads, whether all keep to the tree, and which ones lack an answer."""
    for domain in dict.fromkeys(place.domain for place in places):
        here = [place for place in places if place.domain == domain]
        figures = [
            (name, [(place.method, view.cell(place, Column(metric, name, ALL))) for place in here])
            for metric, name in (("rmse", "RMSE"), ("nll", "NLL"))
        ]
        yield from best(domain.capitalize(), "", figures, smallest=True)
    for place in places:
        never = view.cell(place, Column("never", "", ALL)).mean
        if never > 0:
            yield (
                f"{place.method} predicts hardly any vote for {never:.3g} of the answers that "
                f"volunteers give to {place.domain} galaxies (mean over seeds): if an output has "
                "died in training, a smaller learning_rate helps."
            )
    worst = max(view.cell(place, Column("violation", "", ALL)).mean for place in places)
    yield (
        "Largest deviation of any predicted share from the tree (sums of a question from the share "
        f"of its parent): {worst:.1e}."
    )


def tables(view: View, places: Sequence[Place]) -> list[Table]:
    """Arrange the RMSE of each question."""
    parts = view.parts(_QUESTION, "rmse")
    questions = list(dict.fromkeys(name for cells in parts.values() for name in cells))
    lines = view.part_lines(places, _QUESTION, "rmse", questions)
    return [Table(["method", "test set", *questions], lines, "RMSE per question")]
