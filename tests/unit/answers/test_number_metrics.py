from __future__ import annotations

import numpy as np
import pytest

from galadapt.answers.numbers import metrics
from galadapt.core.quantity import QUANTITIES


def test_r2_is_one_for_truth_zero_for_the_mean_and_negative_for_worse():
    true = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.r2(true, true) == 1
    assert metrics.r2(true, np.full(4, 2.5)) == 0
    assert metrics.r2(true, true[::-1]) == pytest.approx(-3)


def test_r2_ignores_missing_predictions_and_is_undefined_without_variance():
    true = np.array([1.0, 2.0, 3.0])
    assert metrics.r2(true, np.array([1.0, np.nan, 3.0])) == 1
    assert np.isnan(metrics.r2(np.ones(3), true))
    assert np.isnan(metrics.r2(true, np.full(3, np.nan)))


def test_a_negative_sersic_index_is_an_outlier_and_does_not_poison_the_rest():
    true = np.full(5, 2.0)
    found = metrics.quantity_metrics(
        QUANTITIES["sersic_index"], true, np.array([2.0, 2.0, 2.2, 1.9, -1.0]), 0.3, (0.1, 10)
    )
    assert found["outlier_fraction"] == 0.2
    assert found["completeness"] == 0.8
    assert np.isfinite(found["bias"]) and np.isfinite(found["scatter"])


def test_nmad_is_the_standard_deviation_of_a_gaussian_and_ignores_outliers():
    values = np.random.default_rng(1).normal(5, 2, 20_000)
    assert metrics.nmad(values) == pytest.approx(2, rel=0.03)
    values[:200] = 1e9
    assert metrics.nmad(values) == pytest.approx(2, rel=0.05)
    assert np.isnan(metrics.nmad(np.array([])))


def test_metrics_by_hand():
    true = np.array([20.0, 21.0, 22.0, 23.0])
    predicted = np.array([20.1, 21.1, 23.1, np.nan])
    found = metrics.quantity_metrics(QUANTITIES["magnitude"], true, predicted, 0.5, (10, 23))
    assert found["n"] == 4
    assert found["failed"] == 1
    assert found["completeness"] == 0.5
    assert found["bias"] == pytest.approx(0.1)
    assert found["outlier_fraction"] == pytest.approx(1 / 3)


def test_bootstrap_interval_covers_the_truth_about_68_percent_of_the_time():
    rng = np.random.default_rng(3)
    population = 1 - 0.3**2  # unit variance of the truth
    inside = 0
    for trial in range(100):
        true = rng.standard_normal(150)
        predicted = true + 0.3 * rng.standard_normal(150)
        low, high = metrics.r2_interval(true, predicted, 200, trial)
        inside += low < population < high
    assert 50 < inside < 85


def test_bootstrap_is_seeded_and_narrows_with_more_objects():
    rng = np.random.default_rng(5)
    true = rng.uniform(18, 24, 2000)
    predicted = true + 0.5 * rng.standard_normal(2000)
    few = metrics.r2_interval(true[:80], predicted[:80], 300, 1)
    assert few == metrics.r2_interval(true[:80], predicted[:80], 300, 1)
    assert few != metrics.r2_interval(true[:80], predicted[:80], 300, 2)
    many = metrics.r2_interval(true, predicted, 300, 1)
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    assert many[0] < metrics.r2(true, predicted) < many[1]
