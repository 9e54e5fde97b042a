"""Pure functions that say how good predictions are.

A predictions table has one row per object with the columns `id`, `domain`, `split` and, for each
quantity, ``<name>_true`` and ``<name>_predicted``. `galadapt.core.quantity` defines the errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.evaluation.bootstrap import central_interval, resamples


def nmad(values: np.ndarray) -> float:
    """Normalised median absolute deviation: the standard deviation of a Gaussian core."""
    if len(values) == 0:
        return float("nan")
    centre = np.median(values)
    if not np.isfinite(centre):
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - centre)))


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
    """Return the central 68 % interval of R2 when the test objects are drawn anew (bootstrap).

    Args:
        true: Reference values, shape (n,).
        predicted: Predictions, shape (n,); rows that are not finite are left out, as in `r2`.
        number: Number of bootstrap samples.
        seed: Seed of the resampling; equal seeds give equal intervals.
    """
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


def parameter_metrics(
    parameter: str,
    true: np.ndarray,
    predicted: np.ndarray,
    outlier: float,
    valid: tuple[float, float],
) -> dict[str, float]:
    """Metrics of one parameter on one set of galaxies.

    Args:
        parameter: Name of the quantity.
        true: Reference values, shape (n,).
        predicted: Predictions, shape (n,); NaN marks a galaxy without one.
        outlier: Largest |error| that is not an outlier, in the parameter's error convention.
        valid: Closed range outside which a prediction cannot be meant.

    Returns:
        ``n`` (galaxies), ``failed`` (predictions that are not finite), ``completeness`` (share of
        galaxies with a finite prediction inside `valid`), and over the finite predictions ``r2``,
        ``bias`` (median error), ``scatter`` (NMAD of the errors) and ``outlier_fraction``.
    """
    finite = np.isfinite(predicted)
    error = QUANTITIES[parameter].errors(true[finite], predicted[finite])
    inside = finite & (predicted >= valid[0]) & (predicted <= valid[1])
    bias = float(np.median(error)) if len(error) else float("nan")
    return {
        "n": len(true),
        "failed": int(len(true) - finite.sum()),
        "completeness": float(inside.mean()) if len(true) else float("nan"),
        "r2": r2(true, predicted),
        "bias": bias,
        "scatter": nmad(error),
        "outlier_fraction": float((np.abs(error) > outlier).mean()) if len(error) else float("nan"),
    }


def columns(table: pd.DataFrame, parameter: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (true, predicted) of one parameter as float64 arrays of shape (n,)."""
    return (
        table[f"{parameter}_true"].to_numpy(np.float64),
        table[f"{parameter}_predicted"].to_numpy(np.float64),
    )


def check_predictions(table: pd.DataFrame, where: str) -> None:
    """Refuse a table that is not a predictions table.

    A reference value may be NaN: the galaxy is unlabelled (see `labelled`).

    Raises:
        DataError: a column is missing, there is no row, or a reference value is infinite or
            (radius, index) not positive.
    """
    wanted = ["id", "domain", "split"]
    wanted += [f"{name}_{kind}" for name in PARAMETERS for kind in ("true", "predicted")]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(
            f"{where}: predictions lack the column(s) {', '.join(missing)}; rerun the prediction"
        )
    if table.empty:
        raise DataError(f"{where}: holds no prediction; rerun the prediction")
    for name in PARAMETERS:
        true = table[f"{name}_true"].to_numpy(np.float64)
        bad = np.isinf(true)
        if QUANTITIES[name].positive:
            bad |= true <= 0
        if bad.any():
            first = table["id"].iloc[int(np.argmax(bad))]
            raise DataError(
                f"{where}: {name}_true of id {first} is {true[bad][0]:g}, which is no reference "
                "value; remove the object from the stamp set"
            )


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a predictions table that have a reference value of every parameter."""
    return table.dropna(subset=[f"{name}_true" for name in PARAMETERS])


def table_metrics(
    table: pd.DataFrame,
    outlier: Mapping[str, float],
    valid: Mapping[str, tuple[float, float]],
) -> dict[str, dict[str, float]]:
    """Metrics of every parameter: {parameter: {metric: value}}."""
    return {
        name: parameter_metrics(name, *columns(table, name), outlier[name], valid[name])
        for name in PARAMETERS
    }


def magnitude_bins(
    table: pd.DataFrame, edges: Sequence[float]
) -> Iterator[tuple[float, float, pd.DataFrame]]:
    """Yield (low, high, rows) per bin of TRUE magnitude; the last bin includes its upper edge."""
    magnitude = table["magnitude_true"].to_numpy(np.float64)
    for low, high in itertools.pairwise(edges):
        inside = (magnitude >= low) & (magnitude < high)
        if high == edges[-1]:
            inside |= magnitude == high
        yield low, high, table[inside]
