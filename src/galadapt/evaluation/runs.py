"""Many runs as one table: whose metrics they are, and their means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table

#: What names a run.
IDENTITY = ("task", "variant", "method", "seed")

#: What remains of it when seeds are averaged.
EXPERIMENT = IDENTITY[:3]

#: `domain` of rows that belong to a run as a whole.
BOTH = "both"


def read_identity(run: Path) -> dict[str, Any]:
    """Return task, variant, method and seed of a ``run.json``.

    Raises:
        DataError: one of them is missing.
    """
    content = read_json(run)
    missing = [key for key in IDENTITY if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(f"{run}: lacks {', '.join(missing)}; rerun the training")
    return {key: content[key] for key in IDENTITY}


def read_runs(
    metrics: Sequence[Path], details: Sequence[Path], wanted: Sequence[str]
) -> list[dict[str, Any]]:
    """Read the metrics of runs that shall be compared.

    Args:
        metrics: ``metrics.json`` of each run.
        details: The tables that break them down, one per run in the same order; only counted.
        wanted: Keys every file must have besides `IDENTITY`.

    Raises:
        DataError: no run, a run twice, another number of details, or a file lacks a key.
    """
    if not metrics:
        raise DataError("no metrics to compare; name at least one run's metrics.json")
    if len(metrics) != len(details):
        raise DataError(
            f"{len(metrics)} metrics but {len(details)} tables of details; name one of each per run"
        )
    runs = []
    seen: dict[tuple[Any, ...], Path] = {}
    for path in metrics:
        content = read_json(path)
        missing = [key for key in (*IDENTITY, *wanted) if key not in content]
        if missing:
            raise DataError(f"{path}: lacks {', '.join(missing)}; rerun the evaluation")
        key = tuple(content[name] for name in IDENTITY)
        if key in seen:
            raise DataError(
                f"{path}: is the same run ({'/'.join(map(str, key))}) as {seen[key]}; name each "
                "run once"
            )
        seen[key] = path
        runs.append(dict(content))
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


def details_over_seeds(
    runs: Sequence[dict[str, Any]],
    details: Sequence[Path],
    places: Sequence[str],
    text: Sequence[str] = (),
) -> pd.DataFrame:
    """Average the tables that break runs down, in long form.

    Args:
        runs: As `read_runs` returns them.
        details: One table per run: the columns `places` and one column per metric.
        places: What a row of such a table is about.
        text: Those of `places` that are names even where they look like numbers.

    Returns:
        `EXPERIMENT`, `places`, `metric`, and what `over_seeds` adds.

    Raises:
        DataError: a table is missing or lacks one of `places`.
    """
    tables = []
    for run, path in zip(runs, details, strict=True):
        table = read_table(path)
        missing = [name for name in places if name not in table]
        if missing:
            raise DataError(f"{path}: lacks {', '.join(missing)}; rerun the evaluation")
        table = table.astype(dict.fromkeys(text, str))
        long = table.melt(id_vars=list(places), var_name="metric", value_name="value")
        for position, key in enumerate(EXPERIMENT):
            long.insert(position, key, run[key])
        tables.append(long)
    return over_seeds(pd.concat(tables, ignore_index=True), [*EXPERIMENT, *places, "metric"])
