"""Choosing a method without survey labels, and what the choice costs.

Each criterion of `galadapt.evaluation.candidates` chooses one candidate; survey labels, where there
are any, are used only to evaluate the choices. Where candidates learned from several simulations,
the simulation is chosen first, as the one that is hardest to tell from the survey (`domain_auc`)
for networks that have seen nothing of the survey: alignment makes features alike whatever the
stamps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from galadapt.answers.best import Cell, number
from galadapt.core.errors import DataError
from galadapt.core.files import write_csv, write_text
from galadapt.core.quantity import label_of
from galadapt.evaluation.candidates import (
    CRITERIA,
    FEWEST,
    WITHIN_SIMULATION,
    Figures,
    measure_candidates,
)
from galadapt.evaluation.tables import render_html

#: In order of preference; the first that exists is recommended.
RECOMMENDED = ("expected_error", "weighted_validation", "validation")

#: Why, by what each criterion can detect.
REASONS = (
    "weighted_validation measures errors on simulated objects that resemble the survey's, but does "
    "not use the survey's images. seed_disagreement is measured on these images: networks that "
    "differ only in their random numbers disagree where they extrapolate, but networks that "
    "predict the same value for every object never disagree. expected_error is the sum of these "
    "two errors, which have the same unit. domain_auc measures whether features look alike, not "
    "whether measurements are right: it is smallest for features without any information, and "
    "cannot compare methods that use different features. No criterion detects an error on the "
    "survey that all seeds share."
)


def choose(runs: Sequence[Path], survey_kind: str, choice: Path, html: Path) -> None:
    """Write which candidate each criterion chooses, and the regret of that choice.

    Args:
        runs: Evaluated run folders (run.json, metrics.json, predictions.parquet), in the order
            that tables shall have.
        survey_kind: What the survey is, for the sentence that evaluates the choices; "": unnamed.
        choice: CSV with one row per criterion and candidate: `criterion`, `variant`, `method`, the
            `simulation` learned from (empty: the experiment's), the criterion's `value` (smaller is
            better; empty where it cannot be measured, as disagreement with one seed), `chosen`
            (true once per criterion at most), the figure that ranks methods (`Judging.RANKING`, R²
            of numbers) of each item on the survey's test objects as mean over seeds, `r2_mean` of
            all items, `r2_std` of that between seeds, `regret` (by how much the best `r2_mean` of
            all candidates is better) and the `rank_correlation` (Spearman) of the criterion with
            `r2_mean` over all candidates it compares, 1: the criterion orders them as labels
            would. Empty without survey labels.
        html: Fragment to inline: both tables and sentences on them.

    Raises:
        DataError: an input is missing or broken, or a start is not among the runs.
    """
    if not runs:
        raise DataError("no run to choose from; name at least one run folder")
    found, figures = measure_candidates(runs)
    table = _table(found, figures)
    write_text(html, _html(found, table, figures, survey_kind))
    write_csv(choice, table)


def _simulations(candidates: pd.DataFrame) -> pd.Series:
    """Order the simulations by how well survey-free networks separate them from the survey."""
    found = {}
    for simulation, own in candidates.groupby("simulation", sort=False):
        judges = own[own["survey_free"]] if own["survey_free"].any() else own
        found[simulation] = np.mean(judges["domain_auc"].to_numpy())
    return pd.Series(found, dtype=float).sort_values(kind="stable")


def _table(candidates: pd.DataFrame, figures: Figures) -> pd.DataFrame:
    """Order the candidates by each criterion: a row per criterion and candidate."""
    quality = figures.sign * candidates[figures.mean]
    simulation = next(iter(_simulations(candidates).index), "")
    parts = []
    for criterion in CRITERIA:
        compared = candidates
        if criterion in WITHIN_SIMULATION:
            compared = candidates[candidates["simulation"] == simulation]
        value = compared[criterion].dropna()
        if criterion == "domain_auc":
            # Below what chance gives, nothing is found either.
            value = value.clip(lower=0.5)
        parts.append(
            candidates.assign(
                criterion=criterion,
                value=candidates[criterion],
                chosen=candidates.index == (value.idxmin() if len(value) else -1),
                regret=quality.max() - quality,
                rank_correlation=_rank_correlation(compared[criterion], quality),
            )
        )
    columns = ["criterion", "variant", "method", "simulation", "value", "chosen"]
    columns += [*figures.columns, "regret", "rank_correlation"]
    return pd.concat(parts, ignore_index=True)[columns]


def _rank_correlation(criterion: pd.Series, quality: pd.Series) -> float:
    known = pd.concat([criterion, quality], axis=1, join="inner").dropna().to_numpy()
    if len(known) < 3 or (np.ptp(known, axis=0) == 0).any():
        return math.nan
    return float(spearmanr(-known[:, 0], known[:, 1]).statistic)


def _html(candidates: pd.DataFrame, table: pd.DataFrame, figures: Figures, survey_kind: str) -> str:
    judged = candidates.dropna(subset=figures.mean).sort_values(
        figures.mean, ascending=figures.ranking.smallest, kind="stable"
    )

    def shown(row: Mapping[str, float]) -> list[str]:
        """Figures of a row: the mean of the items, then each where there are several."""
        mean = Cell(row[figures.mean], row[figures.std]).text
        return [mean, *(number(row[name]) for name in figures.items[1:] and figures.items)]

    title = figures.ranking.title
    return render_html(
        "choice.html",
        criteria=CRITERIA,
        heads=[
            figures.title,
            *(f"{title} {label_of(name)}" for name in figures.items[1:] and figures.items),
        ],
        title=figures.title,
        candidates=candidates.to_dict("records"),
        choices=table[table["chosen"]].to_dict("records"),
        oracles=judged.head(1).to_dict("records"),
        sentences=list(_sentences(candidates, table, figures, survey_kind)),
        number=number,
        shown=shown,
        value=lambda value: "n/a" if math.isnan(value) else f"{value:.4f}",
    )


def _sentences(
    candidates: pd.DataFrame, table: pd.DataFrame, figures: Figures, survey_kind: str
) -> Iterator[str]:
    if len(candidates) < 2:
        count = "One variant and method has" if len(candidates) else "No variant and method has"
        yield f"{count} seen no survey label: there is no choice."
        return
    chosen = {row["criterion"]: row for row in table[table["chosen"]].to_dict("records")}
    advice = next((name for name in RECOMMENDED if name in chosen), None)
    if advice is None:
        yield f"No criterion could be measured: fewer than {FEWEST} validation objects."
        return
    row = chosen[advice]
    simulations = _simulations(candidates)
    if len(simulations) > 1:
        listed = ", ".join(
            f"{name or 'that of the experiment'} {number(auc)}" for name, auc in simulations.items()
        )
        yield (
            "The candidates were trained on different simulations, and errors on simulated objects "
            "can be compared only within one simulation. So the simulation is chosen first: the "
            "one that is hardest to separate from the survey by the features of networks trained "
            f"without the survey (AUC): {listed}."
        )
    yield f"Recommended where there are no survey labels: {advice}. {REASONS}"
    if advice != RECOMMENDED[0]:
        yield (
            f"{RECOMMENDED[0]} needs two training seeds and {FEWEST} survey validation objects; "
            f"without them, {advice} is next."
        )
    if math.isnan(row["regret"]):
        yield (
            f"{advice} chooses {row['method']} on {row['variant']}. The survey has no labels to "
            "test the choice with."
        )
        return
    smallest = min(other["regret"] for other in chosen.values())
    best = [name for name, other in chosen.items() if other["regret"] == smallest]
    named = f" ({survey_kind})" if survey_kind else ""
    yield (
        f"On this survey{named}, with {len(candidates)} candidates, {advice} chooses "
        f"{row['method']} on {row['variant']}, with a regret of {number(row['regret'])} in "
        f"{figures.title}; the smallest regret of a criterion is {number(smallest)} "
        f"({', '.join(best)}). Regrets below the scatter between seeds are not "
        "significant, and one survey with few candidates proves no criterion."
    )
