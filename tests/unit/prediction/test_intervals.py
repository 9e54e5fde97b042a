"""Errors cover what they promise, follow the neighbourhood, and disagreement only enlarges them."""

from __future__ import annotations

import numpy as np
import pytest
from crepes import ConformalRegressor

from galadapt.prediction.intervals import Intervals, coverage

NAMES = ("magnitude", "effective_radius")


def sample(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths and predictions whose scatter grows tenfold towards the faint end."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.uniform(18, 24, count), rng.uniform(2, 10, count)], axis=1)
    scatter = 0.03 * 10 ** ((truth[:, 0] - 18) / 6)
    noise = rng.standard_normal((count, 2)) * scatter[:, None]
    return truth, np.stack([truth[:, 0], truth[:, 1]], axis=1) + noise * [1, 2]


@pytest.fixture(scope="module")
def intervals() -> Intervals:
    truth, predicted = sample(1500, 1)
    return Intervals(NAMES, predicted, truth, np.full(predicted.shape, 0.01))


@pytest.mark.parametrize("level", [0.5, 0.68, 0.95])
def test_intervals_cover_what_they_promise(intervals, level):
    truth, predicted = sample(4000, 2)
    errors = intervals.errors(predicted, np.zeros(predicted.shape), level)
    assert coverage(errors, predicted, truth) == pytest.approx([level, level], abs=0.03)


def test_bright_and_faint_are_covered_alike(intervals):
    truth, predicted = sample(4000, 3)
    errors = intervals.errors(predicted, np.zeros(predicted.shape), 0.68)
    for faint in (False, True):
        here = (predicted[:, 0] > 22) == faint
        share = coverage(errors[here], predicted[here], truth[here])[0]
        assert share == pytest.approx(0.68, abs=0.06)
    assert np.median(errors[predicted[:, 0] > 23]) > 3 * np.median(errors[predicted[:, 0] < 19])


def test_disagreement_only_enlarges(intervals):
    _, predicted = sample(100, 4)
    quiet, usual, loud = (
        intervals.errors(predicted, np.full(predicted.shape, spread), 0.68)
        for spread in (0.0, 0.01, 2.0)
    )
    assert np.array_equal(quiet[:, 0], usual[:, 0])
    assert (usual >= quiet).all()
    assert (loud > quiet).all()
    assert np.median(loud[:, 0]) == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize("level", [0.5, 0.68, 0.95])
def test_crepes_calibrates_the_same_scales_alike(intervals, level):
    """Its normalised conformal regressor is given our scale u and finds our c u."""
    own = intervals._scale(intervals._others, intervals._spread, level)
    _, predicted = sample(50, 7)
    unit = intervals._unit(predicted)
    errors = intervals.errors(predicted, np.zeros(predicted.shape), level) / unit
    for column in range(len(NAMES)):
        regressor = ConformalRegressor().fit(intervals._residuals[:, column], own[:, column])
        scale = errors[:, column] / intervals._factor(level)[column]
        found = regressor.predict_int(predicted[:, column], scale, confidence=level)
        assert np.ptp(found, axis=1) / 2 == pytest.approx(errors[:, column])


def test_rows_without_a_prediction_have_no_error(intervals):
    _, predicted = sample(3, 5)
    predicted[1] = np.nan
    errors = intervals.errors(predicted, np.zeros(predicted.shape), 0.68)
    assert np.isnan(errors[1]).all()
    assert np.isfinite(errors[[0, 2]]).all()


def test_an_object_does_not_depend_on_its_company(intervals):
    _, predicted = sample(50, 6)
    nothing = np.zeros(predicted.shape)
    together = intervals.errors(predicted, nothing, 0.68)
    alone = intervals.errors(predicted[7:8], nothing[:1], 0.68)
    assert np.array_equal(together[7:8], alone)
