"""Many runs as one table, and means over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.answers import registry
from galadapt.answers.view import WHOLE_RUN, Column
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table, require

#: What names a run.
IDENTITY = ("task", "variant", "method", "seed")

#: What remains of it when seeds are averaged.
EXPERIMENT = IDENTITY[:3]


def read_identity(run: Path) -> dict[str, Any]:
    """Return task, variant, method and seed of a ``run.json``.

    Raises:
        DataError: one of them is missing.
    """
    content = read_json(run)
    require(content, IDENTITY, run, "rerun the training", "key")
    return {key: content[key] for key in IDENTITY}


class Metrics:
    """The metrics of one run, as `galadapt.evaluation.evaluate` writes them."""

    def __init__(self, path: Path) -> None:
        """Read a ``metrics.json``.

        Raises:
            DataError: it is missing or lacks something.
        """
        content = read_json(path)
        require(content, (*IDENTITY, "kind", "rows"), path, "rerun the evaluation", "key")
        self.identity: dict[str, Any] = {key: content[key] for key in IDENTITY}
        self.kind: str = content["kind"]
        self.rows: list[dict[str, Any]] = content["rows"]
        self._values = {
            (row["domain"], row["split"], row["item"], row["metric"]): row["value"]
            for row in self.rows
        }

    @property
    def domains(self) -> list[str]:
        """Domains with a test set, in the order of every table."""
        tested = (row["domain"] for row in self.rows if row["split"] == "test")
        return [name for name in dict.fromkeys(tested) if name != WHOLE_RUN[0]]

    @property
    def items(self) -> list[str]:
        """What is evaluated: quantities, or sets of classes, the network's own ones first."""
        found = (row["item"] for row in self.rows if row["domain"] != WHOLE_RUN[0])
        return list(dict.fromkeys(found))

    def value(self, domain: str, item: str, metric: str, split: str = "test") -> float:
        """Return one figure; NaN where there is none."""
        found = self._values.get((domain, split, item, metric))
        return math.nan if found is None else float(found)

    @property
    def separability(self) -> float:
        """How well a linear classifier separates the domains (area under the ROC curve)."""
        return self.value(*WHOLE_RUN, "separability_auc")

    def headline(self) -> list[Column]:
        """Return the figures that stand for the run."""
        columns = registry.judging(self.kind).columns(self.items)
        return [column for column in columns if column.headline]

    def figure(self, domain: str, column: Column) -> float:
        """Return the figure of a column on a test set."""
        return self.value(domain, column.item or self.items[0], column.metric)

    def logged(self, breakdown: Path) -> dict[str, float]:
        """Name the metrics of the run for a tracker that sorts and cuts names.

        Headline figures are ungrouped (``r2_survey_magnitude``, ``auc_simulated``); everything
        else is in a group of the domain's name (``survey/bias_magnitude``). Figures per class are
        those of the run's `breakdown`.
        """
        found: dict[str, float] = {}
        grouped = registry.judging(self.kind).GROUPED
        per_class = read_table(breakdown)
        per_class = per_class[per_class["by"] == "class"]
        # The survey first: plots open with the metric logged first.
        for domain in sorted(self.domains, reverse=True):
            columns = self.headline()
            for column in columns:
                ending = f"_{column.item}" if column.item else ""
                found[f"{column.metric}_{domain}{ending}"] = self.figure(domain, column)
            items = [column.item for column in columns if column.item]
            for item in items or self.items[:1]:
                ending = f"_{item}" if items else ""
                for metric in grouped:
                    found[f"{domain}/{metric}{ending}"] = self.value(domain, item, metric)
            here = (per_class["domain"] == domain) & (per_class["item"] == self.items[0])
            for row in per_class[here].to_dict("records"):
                if row["metric"] in ("recall", "precision"):
                    found[f"{domain}/{row['metric']}_{row['level']}"] = row["value"]
        return {**found, "separability_auc": self.separability}


def read_runs(metrics: Sequence[Path], breakdowns: Sequence[Path]) -> list[Metrics]:
    """Read the ``metrics.json`` of runs that shall be compared; `breakdowns` are only counted.

    Raises:
        DataError: no run, a run twice, another number of breakdowns, or runs that cannot be
            compared.
    """
    if not metrics:
        raise DataError("no metrics to compare; name at least one run's metrics.json")
    if len(metrics) != len(breakdowns):
        raise DataError(
            f"{len(metrics)} metrics but {len(breakdowns)} breakdowns; name one of each per run"
        )
    runs: list[Metrics] = []
    seen: dict[tuple[Any, ...], Path] = {}
    for path in metrics:
        run = Metrics(path)
        key = tuple(run.identity.values())
        if key in seen:
            raise DataError(
                f"{path}: is the same run ({'/'.join(map(str, key))}) as {seen[key]}; name each "
                "run once"
            )
        seen[key] = path
        if runs and run.identity["task"] != runs[0].identity["task"]:
            raise DataError(
                f"{path}: is a run of task {run.identity['task']}, not "
                f"{runs[0].identity['task']}; leave it out"
            )
        runs.append(run)
    return runs


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Average the column `value` over all rows that share `keys`, in the order of appearance.

    Returns:
        The keys, `mean`, `std` (sample standard deviation, empty for one value) and `n_seeds`
        (values that are not NaN).
    """
    rows = rows.assign(value=rows["value"].astype("float64"))
    groups = rows.groupby(list(keys), sort=False, observed=True)["value"]
    return groups.agg(["mean", "std", "count"]).rename(columns={"count": "n_seeds"}).reset_index()
