"""Prior shift: measurements re-weighted to their own population."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError
from galadapt.prediction.population import combined, estimated, reweighted


def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Galaxies whose errors grow with magnitude: truth, measurements, errors, magnitude."""
    rng = np.random.default_rng(4)
    magnitude = rng.uniform(20, 25, count)
    scatter = np.array([[0.16, 0.05], [0.05, 0.25]])
    truth = np.array([5.0, 2.0]) + np.array([-0.15, -0.05]) * magnitude[:, None]
    truth = truth + rng.multivariate_normal([0, 0], scatter, count)
    sigma = 0.05 * np.exp(0.7 * (magnitude - 20))
    errors = sigma[:, None, None] ** 2 * np.array([[1.0, 0.5], [0.5, 2.0]])
    noise = np.stack([rng.multivariate_normal([0, 0], one) for one in errors])
    return truth, truth + noise, errors, magnitude


def test_errors_do_not_widen_the_population() -> None:
    _, values, errors, magnitude = drawn(2000)
    found = estimated(values, errors, magnitude)
    assert np.allclose(found.covariance, [[0.16, 0.05], [0.05, 0.25]], atol=0.04)
    assert np.allclose(found.slope, [-0.15, -0.05], atol=0.03)
    assert np.cov(values.T)[1, 1] > 1.0


def test_faint_galaxies_gain_and_errors_stay_honest() -> None:
    truth, values, errors, magnitude = drawn(2000)
    population = estimated(values, errors, magnitude)
    found, left = combined(values, errors, magnitude, population)
    faint = magnitude > 23.5
    before, after = (np.std((one - truth)[faint], axis=0) for one in (values, found))
    assert (after < 0.7 * before).all()
    pull = (found - truth) / np.sqrt(np.diagonal(left, axis1=1, axis2=2))
    inside = (np.abs(pull) < 1).mean(axis=0)
    assert np.abs(inside - 0.683).max() < 0.04


def test_a_galaxy_of_another_population_stays_as_it_was_measured() -> None:
    _, values, errors, magnitude = drawn(500)
    population = estimated(values, errors, magnitude)
    strange = population.at(magnitude[:1]) + 5.0
    tiny = np.array([0.01 * np.eye(2)])
    found, left = combined(strange, tiny, magnitude[:1], population)
    assert np.array_equal(found, strange)
    assert np.array_equal(left, tiny)


def test_a_table_keeps_what_was_not_measured() -> None:
    truth, values, errors, magnitude = drawn(200)
    sigma = np.sqrt(np.diagonal(errors, axis1=1, axis2=2))
    table = pd.DataFrame(
        {
            "magnitude_predicted": magnitude,
            "effective_radius_predicted": np.exp(values[:, 0]),
            "effective_radius_spread": np.exp(values[:, 0]) * sigma[:, 0],
            "sersic_index_predicted": np.exp(values[:, 1]),
            "sersic_index_spread": np.exp(values[:, 1]) * sigma[:, 1],
            "corr_ln_radius_ln_index": errors[:, 0, 1] / sigma.prod(axis=1),
        }
    )
    table.loc[0] = np.nan
    trusted = np.ones(200, bool)
    found, said = reweighted(table, trusted)
    assert np.isnan(found["effective_radius_predicted"][0])
    relative = [
        (one["effective_radius_spread"] / one["effective_radius_predicted"])[1:]
        for one in (found, table)
    ]
    assert (relative[0] <= relative[1] * (1 + 1e-9)).all()
    assert "population of 199 galaxies" in said
    error = np.log(found["sersic_index_predicted"][1:]) - truth[1:, 1]
    assert np.std(error) < 0.8 * np.std(values[1:, 1] - truth[1:, 1])
    with pytest.raises(DataError, match="show no population"):
        reweighted(table, np.arange(200) < 20)
