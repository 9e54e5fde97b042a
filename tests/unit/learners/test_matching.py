"""Density-ratio weights against a case whose ratio is known."""

from __future__ import annotations

import numpy as np

from galadapt.learners.matching import matching_weights


def test_weighted_simulations_have_the_surveys_population() -> None:
    rng = np.random.default_rng(1)
    simulated = rng.uniform(-2, 2, (20_000, 2))
    survey = rng.normal([0.8, -0.3], 0.4, (2_000, 2))
    weights = matching_weights(simulated, survey)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)
    mean = np.average(simulated, axis=0, weights=weights)
    spread = np.sqrt(np.average((simulated - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(mean, survey.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(spread, survey.std(axis=0), atol=0.08)


def test_equal_populations_weigh_alike() -> None:
    rng = np.random.default_rng(2)
    weights = matching_weights(rng.uniform(-2, 2, (5_000, 4)), rng.uniform(-2, 2, (5_000, 4)))
    assert weights.min() > 0.7 and weights.max() < 1.5


def test_wild_predictions_bend_nothing() -> None:
    rng = np.random.default_rng(3)
    simulated = rng.uniform(-2, 2, (2_000, 1))
    survey = np.append(rng.normal(0, 0.3, 300), 1e6)[:, None]
    weights = matching_weights(simulated, survey)
    centre = np.abs(simulated[:, 0]) < 0.3
    assert weights[centre].mean() > 4 * weights[np.abs(simulated[:, 0]) > 1.5].mean()
