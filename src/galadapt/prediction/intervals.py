"""Errors of predictions: local split-conformal intervals.

The reference are galaxies the network was not trained on and whose parameters are known. For an
object with predictions p the k reference objects nearest in standardised predictions (magnitude
above all, the radius by its logarithm) show the network's errors for galaxies with similar
predictions. Per parameter,

    u(p, s) = sqrt(Q(p)^2 + max(0, s^2 - S(p)^2)),    error = c u

Q is the wanted quantile (68 %) of their |residual|, S the 90th percentile of their spread between
the members of the ensemble, and s the object's own spread: a disagreement that is unusual for such
galaxies enlarges the error, and none makes it smaller. c is the quantile of |residual| / u over the
reference, each object left out of its own neighbours, so that the intervals cover the wanted share
of the reference's population (split conformal prediction with a local scale: Lei et al. 2018, J.
Am. Stat. Assoc. 113, 1094, section 5.2; local quantiles as in Guan 2023, Biometrika 110, 33).
This coverage holds only for objects drawn like the reference, and on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from galadapt.core.quantity import QUANTITIES

#: What a reference table holds of each parameter, in columns ``<parameter>_<kind>``.
KINDS = ("predicted", "true", "spread")

#: Fewest labelled galaxies of a further domain that errors are taken from.
ENOUGH = 50

#: Share of the reference that is one object's neighbourhood, and its bounds.
_SHARE, _FEWEST, _MOST = 1 / 8, 30, 200

#: Weight of the magnitude in the distance: errors change with it far faster than with the rest.
#: With equal weights the faintest fifth of the demo's simulated galaxies was covered to 40-55 %
#: instead of 68 %.
_WEIGHTS = {"magnitude": 8.0}

#: Percentile of the neighbours' spread beyond which disagreement counts.
_USUAL = 90


def arrays(table: pd.DataFrame, parameters: Sequence[str]) -> list[np.ndarray]:
    """Predictions, truths and spreads of a reference table's rows, each (n, p) float64."""
    return [table[[f"{name}_{kind}" for name in parameters]].to_numpy(np.float64) for kind in KINDS]


class Intervals:
    """Errors from a reference sample."""

    def __init__(
        self,
        parameters: Sequence[str],
        predicted: np.ndarray,
        truth: np.ndarray,
        spread: np.ndarray,
    ) -> None:
        """Prepare from the reference's predictions, truths and spreads between members (n, p).

        Residuals and spreads of quantities with relative errors are relative to the prediction.
        """
        self._relative = [QUANTITIES[name].error == "relative" for name in parameters]
        unit = self._unit(predicted)
        self._residuals, self._spread = np.abs(predicted - truth) / unit, spread / unit
        places = self._logarithmic(predicted)
        weights = [_WEIGHTS.get(name, 1.0) for name in parameters]
        self._centre = places.mean(axis=0)
        self._width = np.maximum(places.std(axis=0), 1e-9) / weights
        count = len(predicted)
        neighbours = int(np.clip(_SHARE * count, min(_FEWEST, count - 1), _MOST))
        self._tree = NearestNeighbors(n_neighbors=neighbours, algorithm="kd_tree").fit(
            (places - self._centre) / self._width
        )

    def errors(self, predicted: np.ndarray, spread: np.ndarray, level: float) -> np.ndarray:
        """Half-widths of the intervals that hold the truth with probability `level`.

        Args:
            predicted: Predictions (n, p); NaN where there is none.
            spread: Standard deviation between members (n, p).
            level: Wanted coverage, 0.05 to 0.95.

        Returns:
            (n, p) in the parameters' units; NaN where the prediction is.
        """
        unit = self._unit(predicted)
        errors = np.full(predicted.shape, np.nan)
        usable = np.isfinite(predicted).all(axis=1) & np.isfinite(spread).all(axis=1)
        if usable.any():
            places = (self._logarithmic(predicted[usable]) - self._centre) / self._width
            rows = self._tree.kneighbors(places, return_distance=False)
            scale = self._scale(rows, (spread / unit)[usable], level)
            errors[usable] = self._factor(level) * scale * unit[usable]
        return errors

    def _scale(self, rows: np.ndarray, spread: np.ndarray, level: float) -> np.ndarray:
        local = conformal_quantile(self._residuals[rows], level)
        usual = np.percentile(self._spread[rows], _USUAL, axis=1)
        return np.sqrt(local**2 + np.maximum(0, spread**2 - usual**2))

    @cached_property
    def _others(self) -> np.ndarray:
        # Without points given, the tree leaves each object out of its own neighbours.
        return self._tree.kneighbors(return_distance=False)

    def _factor(self, level: float) -> np.ndarray:
        scale = np.maximum(self._scale(self._others, self._spread, level), 1e-12)
        return conformal_quantile(self._residuals / scale, level)

    def _unit(self, predicted: np.ndarray) -> np.ndarray:
        return np.where(self._relative, np.maximum(np.abs(predicted), 1e-3), 1.0)

    def _logarithmic(self, predicted: np.ndarray) -> np.ndarray:
        return np.where(self._relative, np.log(np.maximum(predicted, 1e-3)), predicted)


class WidestIntervals:
    """The widest of the errors that several reference samples give for an object.

    An object's own population is not known: errors from the galaxies of one domain are too small
    for those of another on which the networks do worse.
    """

    def __init__(
        self, reference: pd.DataFrame, domains: Sequence[str], parameters: Sequence[str]
    ) -> None:
        """Take the labelled galaxies of each of some domains of a reference table."""
        self.parameters = tuple(parameters)
        tables = [labelled(reference, domain, parameters) for domain in domains]
        self._each = [Intervals(parameters, *arrays(table, parameters)) for table in tables]

    def errors(self, predicted: np.ndarray, spread: np.ndarray, level: float) -> np.ndarray:
        """Half-widths of the intervals; see `Intervals.errors`."""
        found = [one.errors(predicted, spread, level) for one in self._each]
        return np.max(found, axis=0)


def conformal_quantile(values: np.ndarray, level: float) -> np.ndarray:
    """The ceil((k + 1) level)-th smallest of (..., k, p) along k: conformal, never optimistic."""
    count = values.shape[-2]
    rank = min(int(np.ceil((count + 1) * level)), count) - 1
    return np.partition(values, rank, axis=-2)[..., rank, :]


def labelled(reference: pd.DataFrame, domain: str, parameters: Sequence[str]) -> pd.DataFrame:
    """Rows of one domain whose truths are all known."""
    truths = reference[[f"{name}_true" for name in parameters]].to_numpy(np.float64)
    known = np.isfinite(truths).all(axis=1)
    return reference.loc[known & (reference["domain"] == domain).to_numpy()]


def coverage(errors: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of truths inside prediction +- error, per parameter (p,); NaN truths do not count."""
    known = np.isfinite(truth) & np.isfinite(errors)
    inside = (np.abs(predicted - truth) <= errors) & known
    with np.errstate(invalid="ignore"):
        share: np.ndarray = inside.sum(axis=0) / known.sum(axis=0)
    return share
