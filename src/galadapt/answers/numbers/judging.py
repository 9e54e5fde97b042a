"""How measured numbers are evaluated and compared (`galadapt.answers.view.Judging`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.best import Cell, best, number
from galadapt.answers.judgement import Judgement, sets
from galadapt.answers.numbers.metrics import (
    bins,
    labelled,
    quantities_of,
    quantity_metrics,
    r2_interval,
    read_predictions,
)
from galadapt.answers.numbers.metrics import (
    columns as pair,
)
from galadapt.answers.numbers.settings import Evaluation
from galadapt.answers.view import Column, Estimates, Place, Ranking, Table, View
from galadapt.config.base import DOMAINS
from galadapt.core.quantity import Quantity, label_of

NOTE = (
    "Tables: mean ± standard deviation over training seeds. In sentences, ± also covers the choice "
    "of test galaxies (bootstrap). Domain AUC: how well a linear classifier separates simulated "
    "from survey objects by the network's features (0.5: not at all). Published figures were "
    "measured on other galaxies and are for orientation."
)

ITEM_PER_ROW = False
COUNTED = "n"
SMALL = 500
GROUPED = ("bias", "scatter", "outlier_fraction", "completeness")
RANKING = Ranking("r2", "R²", every_item=True)

#: Groups by the first quantity, equally frequent.
_FIFTHS = 5

#: The method trained on simulations only, to which others are compared.
_UNADAPTED = "baseline"


def read(path: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Read the predictions table of a run."""
    return read_predictions(path, quantities_of(record))


def evaluate(
    table: pd.DataFrame, record: Mapping[str, Any], settings: Evaluation, seed: int
) -> Judgement:
    """Compute the metrics of `quantity_metrics`, for the test sets with intervals and bins.

    Objects without labels are left out, and a domain without any label has no metrics. Bins are
    of the true value of the first quantity where that is the magnitude.
    """
    quantities = quantities_of(record)
    judgement = Judgement()
    known = labelled(table, quantities)
    if len(known) < len(table):
        judgement.notes.append(
            f"{len(table) - len(known)} objects without labels are left out of the metrics"
        )
    failed = 0
    for domain, split, rows in sets(known):
        for quantity in quantities:
            true, predicted = pair(rows, quantity.name)
            found = quantity_metrics(quantity, true, predicted, *settings.limits(quantity))
            if split == "test":
                low, high = r2_interval(true, predicted, settings.bootstrap, seed)
                found |= {"r2_low": low, "r2_high": high}
                failed = max(failed, int(found["failed"]))
            judgement.add(domain, split, quantity.name, found)
        if split == "test" and quantities[0].name == "magnitude":
            _bins(judgement, domain, rows, quantities, settings)
    if failed:
        judgement.notes.append(
            f"{failed} test objects have no finite prediction (counted as failed)"
        )
    return judgement


def _bins(
    judgement: Judgement,
    domain: str,
    rows: pd.DataFrame,
    quantities: Sequence[Quantity],
    settings: Evaluation,
) -> None:
    by = quantities[0].name
    true = pair(rows, by)[0]
    counted = 0
    for level, inside in bins(true, settings.magnitude_bins):
        counted += len(inside)
        for quantity in quantities:
            values = pair(rows.iloc[inside], quantity.name)
            found = quantity_metrics(quantity, *values, *settings.limits(quantity))
            judgement.add_part(domain, quantity.name, by, level, found)
    if counted < len(rows):
        judgement.notes.append(
            f"{len(rows) - counted} of {len(rows)} {domain} test objects lie outside "
            "evaluation.magnitude_bins and are in no bin"
        )


def estimates(table: pd.DataFrame, record: Mapping[str, Any]) -> Estimates:
    """Return the measured values, in their own units; groups are fifths of the first quantity."""
    predicted, true = (
        table[[f"{quantity.name}_{end}" for quantity in quantities_of(record)]].to_numpy(np.float64)
        for end in ("predicted", "true")
    )
    known = np.isfinite(true).all(axis=1)
    groups = np.full(len(true), -1)
    if known.any():
        edges = np.quantile(true[known, 0], np.linspace(0, 1, _FIFTHS + 1)[1:-1])
        groups[known] = np.searchsorted(edges, true[known, 0])
    return Estimates(predicted, true, groups)


def columns(items: Sequence[str]) -> list[Column]:
    """Show R² of each quantity."""
    return [
        *(
            Column("r2", f"R² {label_of(name)}", name, headline=True, interval=True)
            for name in items
        ),
        Column("n", "objects", next(iter(items), None), digits=0),
        Column("separability_auc", "domain AUC", of_run=True),
    ]


def _headline(view: View) -> list[Column]:
    return [column for column in view.columns if column.headline]


def verdicts(view: View, places: Sequence[Place]) -> Iterator[str]:
    """State which method is best, the loss from simulated to survey, and how much is recovered."""
    survey = [place for place in places if place.domain == "survey"]
    if len(survey) > 1:
        yield from _best(view, survey)
    by_place = {(place.method, place.domain): place for place in places}
    home, away = (by_place.get((_UNADAPTED, domain)) for domain in DOMAINS)
    if home and away:
        yield from _loss_and_recovery(view, home, away, places)


def _best(view: View, survey: Sequence[Place]) -> Iterator[str]:
    named = {
        column: [(place.method, view.cell(place, column)) for place in survey]
        for column in _headline(view)
    }
    figures = [(label_of(str(column.item)), cells) for column, cells in named.items()]
    if len(named) > 1:
        means = [(one.method, _mean([view.cell(one, each) for each in named])) for one in survey]
        figures.insert(0, (f"the mean of the {len(named)} quantities", means))
    yield from best("Survey", "R²", figures)


def _loss_and_recovery(
    view: View, home: Place, away: Place, places: Sequence[Place]
) -> Iterator[str]:
    pairs = [(c, view.cell(home, c), view.cell(away, c)) for c in _headline(view)]
    falls = [f"{label_of(str(c.item))} {number(a.mean)} to {number(b.mean)}" for c, a, b in pairs]
    yield f"R² of the baseline from simulated to survey: {', '.join(falls)}."
    # A share of a loss that the error bars do not establish would be noise over noise.
    lost = [
        (c, a.mean, b.mean) for c, a, b in pairs if a.mean - b.mean > math.hypot(a.error, b.error)
    ]
    if not lost:
        yield "This loss is within the error bars, so that no recovered share can be given."
        return
    for place in places:
        if place.domain != "survey" or place.method == _UNADAPTED or not view.adapts(place):
            continue
        means = [(c, a, b, view.cell(place, c).mean) for c, a, b in lost]
        shares = [
            f"{label_of(str(c.item))} {_share((mean - b) / (a - b))}"
            for c, a, b, mean in means
            if not math.isnan(mean)
        ]
        if shares:
            yield f"Share of that loss recovered by {place.method}: {', '.join(shares)}."


def _mean(cells: Sequence[Cell]) -> Cell:
    """Average over quantities. Their errors are of the same galaxies and do not cancel."""
    return Cell(*np.mean([(cell.mean, cell.error) for cell in cells], axis=0).tolist())


def _share(recovered: float) -> str:
    return f"{100 * recovered:.0f} %" if recovered >= 0 else "none (its loss is larger)"


def tables(view: View, places: Sequence[Place]) -> list[Table]:
    """Arrange no further tables."""
    return []
