"""Prior shift: measurements re-weighted to the population that the catalogue itself shows.

The network was trained on radii and indices that are spread evenly. Those of real galaxies are
not: where pixels constrain them badly, the distribution of galaxies of that brightness constrains
them better. This population is a normal distribution of (ln radius, ln index) whose mean is linear
in magnitude. It is estimated from all measurements and their errors together by expectation
maximisation (extreme deconvolution, Bovy et al. 2011), so that errors do not widen it. Each
measurement is then combined with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError

#: Fewest galaxies that show a population.
FEWEST = 50

#: Parameters that are re-weighted.
NAMES = ("effective_radius", "sersic_index")

_ROUNDS = 200

#: Measurements farther than this from the population [sigma] are not pulled towards it.
_FAR = 3.0


@dataclass(frozen=True)
class Population:
    """Mean (2,) at magnitude 0, its slope (2,), and covariance (2, 2) of (ln radius, ln index)."""

    mean: np.ndarray
    slope: np.ndarray
    covariance: np.ndarray

    def at(self, magnitude: np.ndarray) -> np.ndarray:
        """Means (n, 2) at magnitudes (n,)."""
        return self.mean + self.slope * magnitude[:, None]


def estimated(values: np.ndarray, errors: np.ndarray, magnitude: np.ndarray) -> Population:
    """Estimate the population from measurements (n, 2) and their covariances (n, 2, 2)."""
    design = np.stack([np.ones(len(magnitude)), magnitude], axis=1)
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    scatter = np.cov((values - design @ coefficients).T) + 1e-6 * np.eye(2)
    for _ in range(_ROUNDS):
        mean = design @ coefficients
        gain = scatter @ np.linalg.inv(errors + scatter)
        best = mean + np.einsum("nij,nj->ni", gain, values - mean)
        left = scatter - gain @ scatter
        coefficients = np.linalg.lstsq(design, best, rcond=None)[0]
        apart = best - design @ coefficients
        updated = (np.einsum("ni,nj->nij", apart, apart) + left).mean(axis=0)
        settled = np.abs(updated - scatter).max() < 1e-7
        scatter = updated
        if settled:
            break
    return Population(coefficients[0], coefficients[1], scatter)


def combined(
    values: np.ndarray, errors: np.ndarray, magnitude: np.ndarray, population: Population
) -> tuple[np.ndarray, np.ndarray]:
    """Combine measurements with the population: values (n, 2) and covariances (n, 2, 2).

    What lies far from the population stays as it was measured: it belongs to another one.
    """
    mean, scatter = population.at(magnitude), population.covariance
    inverse = np.linalg.inv(errors + scatter)
    gain = scatter @ inverse
    apart = values - mean
    found = mean + np.einsum("nij,nj->ni", gain, apart)
    left = scatter - gain @ scatter
    far = np.einsum("ni,nij,nj->n", apart, inverse, apart) > _FAR**2
    return np.where(far[:, None], values, found), np.where(far[:, None, None], errors, left)


def require_enough(count: int, what: str) -> None:
    """Refuse (DataError) a catalogue of too few galaxies."""
    if count < FEWEST:
        raise DataError(
            f"--population: {count} {what} show no population, {FEWEST} are needed; leave the "
            "option out"
        )


def reweighted(raw: pd.DataFrame, trusted: np.ndarray) -> tuple[pd.DataFrame, str]:
    """Re-weight a table of measurements of the package for any image.

    Args:
        raw: Measurements, a row each.
        trusted: (n,) bool, those that the population is estimated from.

    Returns:
        The table with other radii, indices and their spreads, and a sentence on what changed.

    Raises:
        DataError: too few galaxies without a flag show no population.
    """
    spread = [f"{name}_spread" for name in NAMES]
    predicted = [f"{name}_predicted" for name in NAMES]
    correlation = raw["corr_ln_radius_ln_index"].to_numpy(float)
    measured = raw[predicted].to_numpy(float)
    magnitude = raw["magnitude_predicted"].to_numpy(float)
    good = np.isfinite(measured).all(axis=1) & np.isfinite(magnitude) & np.isfinite(correlation)
    clean = good & trusted
    require_enough(int(clean.sum()), "galaxies without a flag")
    values = np.log(np.where(good[:, None], measured, 1.0))
    relative = np.where(good[:, None], raw[spread].to_numpy(float) / measured, 1.0)
    errors = np.einsum("ni,nj->nij", relative, relative)
    off = np.where(good, correlation, 0.0)
    errors[:, 0, 1] *= off
    errors[:, 1, 0] *= off
    population = estimated(values[clean], errors[clean], magnitude[clean])
    found, left = combined(values, errors, np.where(good, magnitude, 0.0), population)
    table = raw.copy()
    new = np.exp(found)
    sigma = np.sqrt(np.diagonal(left, axis1=1, axis2=2))
    for column, name in enumerate(NAMES):
        table[f"{name}_predicted"] = np.where(good, new[:, column], measured[:, column])
        old = raw[f"{name}_spread"].to_numpy(float)
        table[f"{name}_spread"] = np.where(good, new[:, column] * sigma[:, column], old)
    gain = np.median(sigma[clean] / relative[clean], axis=0)
    widths = np.sqrt(np.diagonal(population.covariance))
    return table, (
        f"population of {int(clean.sum())} galaxies: ln radius scatters by {widths[0]:.2f}, ln "
        f"index by {widths[1]:.2f}; errors shrink to {gain[0]:.2f} and {gain[1]:.2f} of what they "
        "were (median)"
    )
