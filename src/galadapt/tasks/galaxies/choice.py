"""Choosing a method without survey labels, and what the choice costs.

Without survey labels R² on the survey is unknown. Criteria order the candidates by what is
known: predictions for simulated galaxies, whose truth is known, and predictions and
features of survey galaxies, whose truth is not. Candidates are the variants and methods that have
seen no survey label, neither themselves nor in what they start from. Survey labels, where there
are any, are used only to evaluate the choices.

Errors on simulated galaxies compare methods that learned from one simulation: the plainer another
simulation is, the smaller are the errors on it. Where candidates learned from several, the
simulation is chosen first, as the one that is hardest to tell from the survey (`domain_auc`) for
networks that have seen nothing of the survey: alignment makes features alike whatever the stamps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from galadapt.answers.numbers.metrics import read_predictions
from galadapt.answers.view import Cell, number
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, write_csv, write_text
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.labels import label_free, simulation_of, survey_free
from galadapt.evaluation.runs import Metrics, read_identity
from galadapt.evaluation.tables import render_html
from galadapt.learners.matching import matching_weights

#: What each criterion measures; the smallest value is chosen.
CRITERIA = {
    "validation": "mean squared error of simulated validation galaxies",
    "weighted_validation": (
        "the same, weighted to the survey's predicted population (importance weighting: Sugiyama "
        "et al. 2007; You et al. 2019)"
    ),
    "domain_auc": "how well a linear classifier separates the domains by the features",
    "seed_disagreement": "variance between training seeds of the predictions for survey galaxies",
    "expected_error": "weighted_validation plus seed_disagreement",
}

#: Those whose values compare candidates of one simulation: errors on its galaxies, or in units of
#: their variance.
WITHIN_SIMULATION = ("validation", "weighted_validation", "seed_disagreement", "expected_error")

#: In order of preference; the first that exists is recommended.
RECOMMENDED = ("expected_error", "weighted_validation", "validation")

#: Why, by what each can see.
REASONS = (
    "weighted_validation measures errors on simulated galaxies like the survey's, and does not use "
    "the survey's images; seed_disagreement is measured on these, where "
    "networks that were taught the same answer differently as soon as they extrapolate, but a "
    "network that collapsed to one answer agrees with itself. expected_error adds the two errors, "
    "which have one unit, so that each covers what the other cannot see. domain_auc says whether "
    "features look alike, not whether measurements are right; it is smallest where nothing is "
    "left of an image. No criterion sees an error on the survey that all seeds share."
)

COLUMNS = [
    *("criterion", "variant", "method", "simulation", "value", "chosen"),
    *PARAMETERS,
    *("r2_mean", "r2_std", "regret", "rank_correlation"),
]

#: Split that the criteria read: training has seen none of it, and evaluation uses another one.
_SPLIT = "validation"

#: Fewest galaxies that a criterion is measured with.
_FEWEST = 10

#: Settings that determine what a method has seen; `simulation` is one more, of galaxies alone.
_SETTINGS = ("survey_labels", "starts_from", "alignment", "domains")

#: Squared error of a failed prediction, in the variance of the truth: that of knowing nothing.
_FAILED = 1.0


def choose(runs: Sequence[Path], survey_kind: str, choice: Path, html: Path) -> None:
    """Write which candidate each criterion chooses, and the regret of that choice.

    Squared errors and variances are in units of the variance of the simulated validation galaxies'
    true values, averaged over the parameters and seeds, and taken over the galaxies that every
    candidate of a simulation was run on. A failed prediction counts as an error of one such
    variance.

    Args:
        runs: Evaluated run folders (run.json, metrics.json, predictions.parquet), in the order
            that tables shall have.
        survey_kind: What the survey is, for the sentence that evaluates the choices.
        choice: CSV with `COLUMNS`, one row per criterion and candidate: the `simulation` learned
            from (empty: the experiment's), the criterion's `value` (smaller is better; empty where
            it cannot be measured, as disagreement with one seed), `chosen` (true once per criterion
            at most), R² of each parameter on the survey's test galaxies as mean over seeds,
            `r2_mean` of the four, `r2_std` of that between seeds, `regret` (largest `r2_mean` of
            all candidates minus this one) and the `rank_correlation` (Spearman) of the criterion
            with `r2_mean` over all candidates it compares, 1: the criterion orders them as labels
            would. Empty without survey labels.
        html: Fragment to inline: both tables and sentences on them.

    Raises:
        DataError: an input is missing or broken, or a start is not among the runs.
    """
    if not runs:
        raise DataError("no run to choose from; name at least one run folder")
    candidates = _measured(_label_free([_read(Path(run)) for run in runs]))
    table = pd.DataFrame(_rows(candidates), columns=COLUMNS)
    write_text(html, _html(candidates, table, survey_kind))
    write_csv(choice, table)


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    variant: str
    method: str
    folder: Path
    settings: Mapping[str, Any]
    auc: float
    r2: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    """One variant and method: criteria (NaN: not measured) and R² per seed and parameter."""

    variant: str
    method: str
    simulation: str
    survey_free: bool
    criteria: Mapping[str, float]
    r2: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.r2.mean())

    @property
    def std(self) -> float:
        return float(self.r2.mean(axis=1).std(ddof=1)) if len(self.r2) > 1 else math.nan

    @property
    def texts(self) -> list[str]:
        """R² as the page shows it: the mean of the parameters, then each."""
        each = [number(float(value)) for value in self.r2.mean(axis=0)]
        return [Cell(self.mean, self.std).text, *each]


def _read(folder: Path) -> _Run:
    identity = read_identity(folder / "run.json")
    metrics = Metrics(folder / "metrics.json")
    try:
        settings = read_json(folder / "run.json")["settings"]
        seen = {key: settings[key] for key in _SETTINGS}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: run.json lacks {error}; rerun training and evaluation"
        ) from None
    return _Run(
        str(identity["variant"]),
        str(identity["method"]),
        folder,
        {**seen, "simulation": settings.get("simulation")},
        metrics.separability,
        np.array([metrics.value("survey", name, "r2") for name in PARAMETERS]),
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
    """Read the validation galaxies of both domains, without any truth of the survey's."""
    table = read_predictions(run.folder / "predictions.parquet")
    table = table[table["split"] == _SPLIT].set_index(["domain", "id"]).sort_index()
    table.loc[table.index.get_level_values("domain") == "survey", _names("true")] = np.nan
    return table


def _names(kind: str) -> list[str]:
    return [f"{name}_{kind}" for name in PARAMETERS]


# --- criteria ---------------------------------------------------------------------------------


def _measured(groups: Mapping[tuple[str, str], Sequence[_Run]]) -> list[_Candidate]:
    settings = {run.method: run.settings for runs in groups.values() for run in runs}
    tables = {key: [_predictions(run) for run in runs] for key, runs in groups.items()}
    simulations = {key: simulation_of(key[1], settings) for key in groups}
    common = _common(tables, simulations)
    found = []
    for (variant, method), runs in groups.items():
        simulation = simulations[variant, method]
        values = _criteria([table.loc[common[simulation]] for table in tables[variant, method]])
        values["domain_auc"] = float(np.mean([run.auc for run in runs]))
        found.append(
            _Candidate(
                variant=variant,
                method=method,
                simulation=simulation,
                survey_free=survey_free(method, settings),
                criteria=values,
                r2=np.stack([run.r2 for run in runs]),
            )
        )
    return found


def _common(
    tables: Mapping[tuple[str, str], Sequence[pd.DataFrame]],
    simulations: Mapping[tuple[str, str], str],
) -> dict[str, pd.Index]:
    """Return, per simulation, the galaxies that all compared candidates were run on.

    A method that leaves out faint galaxies would look better than the others by that alone. Survey
    galaxies are those of all candidates; simulated ones of one simulation have nothing to do with
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


def _criteria(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Measure one candidate by its seeds' predictions for the same galaxies."""
    domain = tables[0].index.get_level_values("domain")
    simulated, survey = domain == "simulated", domain == "survey"
    values = dict.fromkeys(CRITERIA, math.nan)
    if simulated.sum() < _FEWEST:
        return values
    truth = tables[0].loc[simulated, _names("true")].to_numpy(np.float64)
    centre, width = truth.mean(axis=0), truth.std(axis=0)
    predicted = (
        np.stack([table[_names("predicted")].to_numpy(np.float64) for table in tables]) - centre
    ) / width
    squares = (predicted[:, simulated] - (truth - centre) / width) ** 2
    squares = np.where(np.isfinite(squares), squares, _FAILED).mean(axis=2)
    values["validation"] = float(squares.mean())
    if survey.sum() < _FEWEST:
        return values
    weights = np.stack([_weights(one[simulated], one[survey]) for one in predicted])
    values["weighted_validation"] = float((weights * squares).mean())
    if len(tables) > 1:
        variances = predicted[:, survey].var(axis=0, ddof=1)
        values["seed_disagreement"] = float(
            np.where(np.isfinite(variances), variances, _FAILED).mean()
        )
    values["expected_error"] = values["weighted_validation"] + values["seed_disagreement"]
    return values


def _weights(simulated: np.ndarray, survey: np.ndarray) -> np.ndarray:
    """Weights of simulated galaxies; failed predictions have no place and weigh 1."""
    there, here = np.isfinite(simulated).all(axis=1), np.isfinite(survey).all(axis=1)
    weights = np.ones(len(simulated))
    if min(there.sum(), here.sum()) < _FEWEST:
        return np.full(len(simulated), math.nan)
    weights[there] = matching_weights(simulated[there], survey[here])
    return weights


# --- tables -----------------------------------------------------------------------------------


def _simulations(candidates: Sequence[_Candidate]) -> dict[str, float]:
    """Order the simulations by how well survey-free networks tell them from the survey."""
    found: dict[str, float] = {}
    for simulation in dict.fromkeys(c.simulation for c in candidates):
        own = [c for c in candidates if c.simulation == simulation]
        judges = [c for c in own if c.survey_free] or own
        found[simulation] = float(np.mean([c.criteria["domain_auc"] for c in judges]))
    return dict(sorted(found.items(), key=lambda pair: (math.isnan(pair[1]), pair[1])))


def _compared(candidates: Sequence[_Candidate], criterion: str) -> list[_Candidate]:
    """Return the candidates that a criterion can compare."""
    if criterion not in WITHIN_SIMULATION:
        return list(candidates)
    simulation = next(iter(_simulations(candidates)), "")
    return [c for c in candidates if c.simulation == simulation]


def _ranked(candidates: Sequence[_Candidate], criterion: str) -> list[_Candidate]:
    """Order the candidates that have a value, the best first; equal ones as they came."""

    def place(candidate: _Candidate) -> float:
        value = candidate.criteria[criterion]
        # Below one half a classifier finds nothing, by chance.
        return max(value, 0.5) if criterion == "domain_auc" else value

    compared = _compared(candidates, criterion)
    measured = [c for c in compared if not math.isnan(c.criteria[criterion])]
    return sorted(measured, key=place)


def _rank_correlation(candidates: Sequence[_Candidate], criterion: str) -> float:
    pairs = [(-c.criteria[criterion], c.mean) for c in _compared(candidates, criterion)]
    known = np.array([pair for pair in pairs if not any(map(math.isnan, pair))])
    if len(known) < 3 or (np.ptp(known, axis=0) == 0).any():
        return math.nan
    return float(spearmanr(known[:, 0], known[:, 1]).statistic)


def _rows(candidates: Sequence[_Candidate]) -> Iterator[dict[str, Any]]:
    means = [c.mean for c in candidates if not math.isnan(c.mean)]
    best = max(means, default=math.nan)
    for criterion in CRITERIA:
        chosen = next(iter(_ranked(candidates, criterion)), None)
        correlation = _rank_correlation(candidates, criterion)
        for candidate in candidates:
            yield {
                "criterion": criterion,
                "variant": candidate.variant,
                "method": candidate.method,
                "simulation": candidate.simulation,
                "value": candidate.criteria[criterion],
                "chosen": candidate is chosen,
                **dict(zip(PARAMETERS, candidate.r2.mean(axis=0), strict=True)),
                "r2_mean": candidate.mean,
                "r2_std": candidate.std,
                "regret": best - candidate.mean,
                "rank_correlation": correlation,
            }


def _html(candidates: Sequence[_Candidate], table: pd.DataFrame, survey_kind: str) -> str:
    by_name = {(c.variant, c.method): c for c in candidates}
    chosen = table[table["chosen"]].to_dict("records")
    judged = [c for c in candidates if not math.isnan(c.mean)]
    return render_html(
        "choice.html",
        "galadapt.tasks.galaxies",
        criteria=CRITERIA,
        parameters=PARAMETERS,
        candidates=candidates,
        choices=[(row, by_name[row["variant"], row["method"]]) for row in chosen],
        oracle=max(judged, key=lambda c: c.mean, default=None),
        sentences=list(_sentences(candidates, table, survey_kind)),
        number=number,
        value=lambda value: "n/a" if math.isnan(value) else f"{value:.4f}",
    )


def _sentences(
    candidates: Sequence[_Candidate], table: pd.DataFrame, survey_kind: str
) -> Iterator[str]:
    if len(candidates) < 2:
        count = "One variant and method has" if candidates else "No variant and method has"
        yield f"{count} seen no survey label: there is nothing to choose from."
        return
    chosen = {row["criterion"]: row for row in table[table["chosen"]].to_dict("records")}
    advice = next((name for name in RECOMMENDED if name in chosen), None)
    if advice is None:
        yield f"No criterion could be measured: fewer than {_FEWEST} validation galaxies."
        return
    row = chosen[advice]
    simulations = _simulations(candidates)
    if len(simulations) > 1:
        listed = ", ".join(
            f"{name or 'that of the experiment'} {number(auc)}" for name, auc in simulations.items()
        )
        yield (
            "Candidates learned from different simulations, and errors on simulated galaxies "
            "compare within one. The simulation is chosen first, as the one that networks which "
            f"have not seen the survey tell from it worst (AUC): {listed}."
        )
    yield f"Recommended where there are no survey labels: {advice}. By principle: {REASONS}"
    if advice != RECOMMENDED[0]:
        yield (
            f"{RECOMMENDED[0]} needs two training seeds and {_FEWEST} survey validation galaxies; "
            f"without them, {advice} is next."
        )
    if math.isnan(row["regret"]):
        yield (
            f"It chooses {row['method']} on {row['variant']}. The survey has no labels to judge "
            "the choice by."
        )
        return
    smallest = min(other["regret"] for other in chosen.values())
    best = [name for name, other in chosen.items() if other["regret"] == smallest]
    yield (
        f"Seen on this survey ({survey_kind}), with {len(candidates)} candidates: it chooses "
        f"{row['method']} on {row['variant']}, at a regret of {number(row['regret'])} in mean R²; "
        f"the smallest regret of a criterion is {number(smallest)} ({', '.join(best)}). Regrets "
        "below the scatter between seeds say nothing, and one survey with few candidates proves no "
        "criterion."
    )
