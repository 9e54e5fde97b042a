"""Metrics of predicted quantities.

A predictions table has one row per object with the columns `id`, `domain`, `split` and, for each
quantity, ``<name>_true`` and ``<name>_predicted``. `galadapt.core.quantity` defines the errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import median_abs_deviation
from sklearn.metrics import r2_score

from galadapt.answers.bootstrap import central_interval, resamples
from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.core.quantity import SERSIC, Quantity


def quantities_of(record: Mapping[str, Any]) -> tuple[Quantity, ...]:
    """Return the quantities that a run predicts, from its record."""
    return tuple(map(Quantity.from_dict, record["quantities"]))


def nmad(values: np.ndarray) -> float:
    """Normalised median absolute deviation: the standard deviation of a Gaussian core."""
    return float(1.4826 * median_abs_deviation(values)) if len(values) else float("nan")


def r2(true: np.ndarray, predicted: np.ndarray) -> float:
    """Coefficient of determination over finite predictions; NaN where it is not defined.

    It is not defined for fewer than two objects or for objects that all share one true value.
    """
    good = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[good], predicted[good]
    if len(true) < 2 or np.ptp(true) == 0:
        return float("nan")
    return float(r2_score(true, predicted))


def r2_interval(
    true: np.ndarray, predicted: np.ndarray, number: int, seed: int
) -> tuple[float, float]:
    """Return the central 68 % interval of `r2` over `number` bootstrap samples of the objects."""
    good = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[good], predicted[good]
    count = len(true)
    if count < 2 or np.ptp(true) == 0:
        return float("nan"), float("nan")
    # Centring first keeps the variance from cancelling.
    centred = true - true.mean()
    terms = np.stack([(true - predicted) ** 2, centred**2, centred], axis=1)
    draws = []
    for weights in resamples(count, number, seed):
        residual, square, linear = (weights @ terms).T
        total = square - linear**2 / count
        # A resample of copies of one object has no variance to explain.
        draws.append(1 - residual[total > 0] / total[total > 0])
    return central_interval(np.concatenate(draws))


def quantity_metrics(
    quantity: Quantity,
    true: np.ndarray,
    predicted: np.ndarray,
    outlier: float,
    valid: tuple[float, float],
) -> dict[str, float]:
    """Metrics of one quantity on one set of objects.

    Args:
        quantity: What is measured.
        true: Reference values, shape (n,).
        predicted: Predictions, shape (n,); NaN marks an object without one.
        outlier: Largest |error| that is not an outlier, in the quantity's error convention.
        valid: Closed range outside which a prediction is impossible.

    Returns:
        ``n`` (objects), ``failed`` (predictions that are not finite), ``completeness`` (share of
        objects with a finite prediction inside `valid`), and over the finite predictions ``r2``,
        ``bias`` (median error), ``scatter`` (NMAD of the errors) and ``outlier_fraction``.
    """
    finite = np.isfinite(predicted)
    inside = finite & (predicted >= valid[0]) & (predicted <= valid[1])
    return {
        "n": len(true),
        "failed": int(len(true) - finite.sum()),
        "completeness": float(inside.mean()) if len(true) else float("nan"),
        "r2": r2(true, predicted),
        **error_metrics(quantity.errors(true[finite], predicted[finite]), outlier),
    }


def error_metrics(error: np.ndarray, outlier: float) -> dict[str, float]:
    """Median, scatter and outliers of finite errors, shape (n,); NaN where there is none.

    Args:
        error: Errors in a quantity's convention.
        outlier: Largest |error| that is not an outlier.
    """
    return {
        "bias": float(np.median(error)) if len(error) else float("nan"),
        "scatter": nmad(error),
        "outlier_fraction": float((np.abs(error) > outlier).mean()) if len(error) else float("nan"),
    }


def columns(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (true, predicted) of one quantity as float64 arrays of shape (n,)."""
    return (
        table[f"{name}_true"].to_numpy(np.float64),
        table[f"{name}_predicted"].to_numpy(np.float64),
    )


def read_predictions(path: Path, quantities: Sequence[Quantity] = SERSIC) -> pd.DataFrame:
    """Read a predictions table.

    A reference value may be NaN: the object is unlabelled (see `labelled`).

    Raises:
        DataError: the table is missing, lacks a column or has no row, or a reference value is
            infinite or (where only positive ones have an error) not positive.
    """
    wanted = [
        f"{quantity.name}_{kind}" for quantity in quantities for kind in ("true", "predicted")
    ]
    table = read_table(path, ["id", "domain", "split", *wanted])
    if table.empty:
        raise DataError(f"{path}: holds no prediction; rerun the prediction")
    for quantity in quantities:
        true = table[f"{quantity.name}_true"].to_numpy(np.float64)
        bad = np.isinf(true) | (quantity.positive & (true <= 0))
        if bad.any():
            first = table["id"].iloc[int(np.argmax(bad))]
            raise DataError(
                f"{path}: {quantity.name}_true of id {first} is {true[bad][0]:g}, which is no "
                "reference value; remove the object from the stamp set"
            )
    return table


def labelled(table: pd.DataFrame, quantities: Sequence[Quantity] = SERSIC) -> pd.DataFrame:
    """Return the rows of a predictions table that have a reference value of every quantity."""
    return table.dropna(subset=[f"{quantity.name}_true" for quantity in quantities])


def bins(values: np.ndarray, edges: Sequence[float]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the level ("16 to 20") and the rows of each bin; the last one has its upper edge."""
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & (values < high)
        if high == edges[-1]:
            inside |= values == high
        yield f"{low:g} to {high:g}", np.flatnonzero(inside)


def level_edges(level: str) -> tuple[float, float]:
    """Return the edges of a bin from its level."""
    low, high = level.split(" to ")
    return float(low), float(high)
