"""Candidates for a choice without survey labels, and the criteria that order them.

Without survey labels the errors on the survey are unknown. Criteria order the candidates by what is
known: predictions for simulated objects, whose truth is known, and predictions and
features of survey objects, whose truth is not. Candidates are the variants and methods that have
seen no survey label, neither themselves nor in what they start from.

Errors on simulated objects compare methods that learned from one simulation: the plainer another
simulation is, the smaller are the errors on it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers import registry
from galadapt.answers.view import Estimates, Judging, Ranking
from galadapt.core.files import read_json, require
from galadapt.evaluation.labels import label_free, simulation_of, survey_free
from galadapt.evaluation.runs import Metrics, read_identity
from galadapt.learners.matching import matching_weights

#: What each criterion measures; the smallest value is chosen.
CRITERIA = {
    "validation": "mean squared error of simulated validation objects",
    "weighted_validation": (
        "the same, weighted to the survey's predicted population (importance weighting: Sugiyama "
        "et al. 2007; You et al. 2019)"
    ),
    "domain_auc": "how well a linear classifier separates the domains by the features",
    "seed_disagreement": "variance between training seeds of the predictions for survey objects",
    "expected_error": "weighted_validation plus seed_disagreement",
}

#: Those whose values compare candidates of one simulation: errors on its objects, or in units of
#: their variance.
WITHIN_SIMULATION = ("validation", "weighted_validation", "seed_disagreement", "expected_error")

#: Split that the criteria read: training has seen none of it, and evaluation uses another one.
_SPLIT = "validation"

#: Fewest objects that a criterion is measured with.
FEWEST = 10

#: Settings that determine what a method has seen.
_SETTINGS = ("survey_labels", "starts_from", "alignment", "domains")

#: Squared error of a failed prediction, in the variance of the truth: that of knowing nothing.
_FAILED = 1.0


def measure_candidates(runs: Sequence[Path]) -> tuple[pd.DataFrame, Figures]:
    """Measure every variant and method that has seen no survey label.

    Squared errors and variances are in units of the variance of the simulated validation objects'
    true values, averaged over the items and seeds, and taken over the objects that every
    candidate of a simulation was run on. A failed prediction counts as an error of one such
    variance.

    Args:
        runs: Evaluated run folders, at least one.

    Returns:
        A row per candidate: `variant`, `method`, `simulation`, `survey_free`, the `CRITERIA` (NaN:
        not measured) and the columns of the figures (NaN without survey labels); and these figures.

    Raises:
        DataError: an input is missing or broken, or a start is not among the runs.
    """
    read = [_read(Path(run)) for run in runs]
    ranking, items = read[0].judging.RANKING, read[0].metrics.items
    # Of several sets of classes, those that the method predicts come first.
    figures = Figures(ranking, tuple(items if ranking.every_item else items[:1]))
    return _measured(_label_free(read), figures), figures


@dataclass(frozen=True)
class _Run:
    folder: Path
    variant: str
    method: str
    settings: Mapping[str, Any]
    record: Mapping[str, Any]
    metrics: Metrics

    @property
    def judging(self) -> Judging:
        return registry.judging(self.metrics.kind)


@dataclass(frozen=True)
class Figures:
    """The figure that ranks methods, of each item."""

    ranking: Ranking
    items: tuple[str, ...]

    @property
    def mean(self) -> str:
        """Column of the mean over items."""
        return f"{self.ranking.metric}_mean"

    @property
    def std(self) -> str:
        """Column of the scatter of that mean between seeds."""
        return f"{self.ranking.metric}_std"

    @property
    def columns(self) -> list[str]:
        """All columns, an item's under its name."""
        return [*self.items, self.mean, self.std]

    @property
    def title(self) -> str:
        """How sentences name the mean over items."""
        return f"mean {self.ranking.title}" if len(self.items) > 1 else self.ranking.title

    @property
    def sign(self) -> int:
        """1: larger is better; -1: smaller."""
        return -1 if self.ranking.smallest else 1


def _read(folder: Path) -> _Run:
    path = folder / "run.json"
    identity, content = read_identity(path), read_json(path)
    settings = content.get("settings", {})
    require(settings, _SETTINGS, path, "rerun training and evaluation", "setting")
    return _Run(
        folder,
        str(identity["variant"]),
        str(identity["method"]),
        settings,
        registry.record_of(content, path),
        Metrics(folder / "metrics.json"),
    )


def _label_free(runs: Sequence[_Run]) -> dict[tuple[str, str], list[_Run]]:
    """Group the runs that have seen no survey label by variant and method."""
    settings = {run.method: run.settings for run in runs}
    groups: dict[tuple[str, str], list[_Run]] = {}
    for run in runs:
        if label_free(run.method, settings):
            groups.setdefault((run.variant, run.method), []).append(run)
    return groups


def _predictions(run: _Run) -> pd.DataFrame:
    """Read the validation objects of both domains."""
    table = run.judging.read(run.folder / "predictions.parquet", run.record)
    return table[table["split"] == _SPLIT].set_index(["domain", "id"]).sort_index()


def _measured(groups: Mapping[tuple[str, str], Sequence[_Run]], figures: Figures) -> pd.DataFrame:
    """Measure every variant and method: a row each; criteria that were not measured are NaN."""
    settings = {run.method: run.settings for runs in groups.values() for run in runs}
    tables = {key: [_predictions(run) for run in runs] for key, runs in groups.items()}
    simulations = {key: simulation_of(key[1], settings) for key in groups}
    common = _common(tables, simulations)
    found = []
    for (variant, method), runs in groups.items():
        simulation = simulations[variant, method]
        shared = [table.loc[common[simulation]] for table in tables[variant, method]]
        estimates = [
            run.judging.estimates(table, run.record)
            for run, table in zip(runs, shared, strict=True)
        ]
        survey = shared[0].index.get_level_values("domain") == "survey"
        values = _criteria(estimates, survey)
        values["domain_auc"] = float(np.mean([run.metrics.separability for run in runs]))
        metric = figures.ranking.metric
        found_figures = np.array(
            [[run.metrics.value("survey", item, metric) for item in figures.items] for run in runs]
        )
        means = found_figures.mean(axis=1)
        found.append(
            {
                "variant": variant,
                "method": method,
                "simulation": simulation,
                "survey_free": survey_free(method, settings),
                **values,
                **dict(zip(figures.items, found_figures.mean(axis=0), strict=True)),
                figures.mean: found_figures.mean(),
                figures.std: means.std(ddof=1) if len(means) > 1 else math.nan,
            }
        )
    identity = ["variant", "method", "simulation", "survey_free"]
    return pd.DataFrame(found, columns=[*identity, *CRITERIA, *figures.columns])


def _common(
    tables: Mapping[tuple[str, str], Sequence[pd.DataFrame]],
    simulations: Mapping[tuple[str, str], str],
) -> dict[str, pd.Index]:
    """Return, per simulation, the objects that all compared candidates were run on.

    A method that leaves out faint galaxies would look better than the others by that alone. Survey
    objects are those of all candidates; simulated ones of one simulation have nothing to do with
    those of another, not even their number.
    """

    def shared(domain: str, among: Iterable[str]) -> pd.Index:
        found = [
            table.index[table.index.get_level_values("domain") == domain]
            for key, seeds in tables.items()
            if simulations[key] in among
            for table in seeds
        ]
        return functools.reduce(pd.Index.intersection, found)

    every = set(simulations.values())
    return {
        name: shared("simulated", [name]).append(shared("survey", every))
        for name in dict.fromkeys(simulations.values())
    }


def _criteria(seeds: Sequence[Estimates], survey: np.ndarray) -> dict[str, float]:
    """Measure one candidate by its seeds' predictions for the same objects.

    Args:
        seeds: Predictions of each seed for n objects; the truth of the survey's is not looked at.
        survey: Which objects are the survey's, (n,) bool.
    """
    values = dict.fromkeys(CRITERIA, math.nan)
    # Some simulated objects have no known truth either: nobody was asked about them.
    simulated = ~survey & np.isfinite(seeds[0].true).all(axis=1)
    if simulated.sum() < FEWEST:
        return values
    truth = seeds[0].true[simulated]
    centre, width = truth.mean(axis=0), truth.std(axis=0)
    if seeds[0].one_unit:
        width = np.sqrt(np.mean(width**2))
    predicted = (np.stack([one.predicted for one in seeds]) - centre) / width
    squares = (predicted[:, simulated] - (truth - centre) / width) ** 2
    squares = np.where(np.isfinite(squares), squares, _FAILED).mean(axis=2)
    values["validation"] = float(squares.mean())
    if survey.sum() < FEWEST:
        return values
    matched = predicted if seeds[0].matched is None else predicted[:, :, seeds[0].matched]
    weights = np.stack([_weights(one[simulated], one[survey]) for one in matched])
    values["weighted_validation"] = float((weights * squares).mean())
    if len(seeds) > 1:
        variances = predicted[:, survey].var(axis=0, ddof=1)
        values["seed_disagreement"] = float(
            np.where(np.isfinite(variances), variances, _FAILED).mean()
        )
    values["expected_error"] = values["weighted_validation"] + values["seed_disagreement"]
    return values


def _weights(simulated: np.ndarray, survey: np.ndarray) -> np.ndarray:
    """Weights of simulated objects; failed predictions have no place and weigh 1."""
    there, here = np.isfinite(simulated).all(axis=1), np.isfinite(survey).all(axis=1)
    weights = np.ones(len(simulated))
    if min(there.sum(), here.sum()) < FEWEST:
        return np.full(len(simulated), math.nan)
    weights[there] = matching_weights(simulated[there], survey[here])
    return weights
