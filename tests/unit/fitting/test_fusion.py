"""The fusion follows the pixels where they are right, the network where they are not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from galadapt.core.errors import DataError
from galadapt.fitting import fusion
from galadapt.fitting.fusion import Fusion, answers, train
from galadapt.fitting.refine import Refined


def galaxies(count: int, seed: int):
    """The network scatters by 0.1; the fit by 0.01, and by 0.5 where chi2 is high."""
    rng = np.random.default_rng(seed)
    middle = np.array([6, 1.5, 0.5, 0.5, 0, 0, 0])
    truth = middle + rng.uniform(-0.4, 0.4, (count, 7))
    theta = truth + 0.1 * rng.standard_normal((count, 7))
    wrong = rng.random(count) < 0.4
    scatter = np.where(wrong, 0.5, 0.01)[:, None]
    found = Refined(
        theta=truth + scatter * rng.standard_normal((count, 7)),
        covariance=np.tile(np.eye(7) * 0.01**2, (count, 1, 1)),
        share=np.zeros(count),
        sky=np.zeros(count),
        chi2=np.where(wrong, 1.5, 1.0),
        misfit=np.where(wrong, 8.0, 1.0) * np.exp(0.1 * rng.standard_normal(count)),
        coherence=np.where(wrong, 20.0, 0.0) + rng.standard_normal(count),
        tension=np.where(wrong, 6.0, 1.0),
        seen=np.ones(count),
        evaluations=np.full(count, 4),
        converged=np.ones(count, bool),
    )
    e = np.hypot(truth[:, 3], truth[:, 4])
    own = e + 0.1 * rng.standard_normal(count)
    network = np.column_stack([theta, own])
    return (
        (network, np.full(network.shape, 0.1), found, *np.ones((3, count))),
        np.concatenate([truth, e[:, None]], axis=1),
        wrong,
    )


@pytest.fixture(scope="module")
def learner() -> Fusion:
    given, truth, _ = galaxies(1500, 1)
    unseen, unseen_truth, _ = galaxies(2500, 8)
    return train(answers(*given), truth).calibrated(answers(*unseen), unseen_truth)


def test_it_follows_the_better_answer(learner):
    given, truth, wrong = galaxies(800, 2)
    value, error, gate, _ = learner(answers(*given))
    assert np.median(gate[~wrong]) > 0.9
    assert np.median(gate[wrong]) < 0.15
    off = np.abs(value - truth)
    assert np.median(off[~wrong]) < 0.02
    assert np.median(off[wrong]) < 0.11
    assert np.median(error[~wrong]) < 0.03 < 0.06 < np.median(error[wrong])


def test_errors_cover_what_they_say(learner):
    given, truth, wrong = galaxies(4000, 3)
    value, error, _, tail = learner(answers(*given))
    for some in (wrong, ~wrong):
        for level, width in ((0.683, 1.0), (0.95, 1.96)):
            share = (np.abs(value - truth) < error * width**tail)[some].mean()
            assert abs(share - level) < 0.04


def test_heavy_tails_are_found(learner):
    given, truth, _ = galaxies(4000, 9)
    both = answers(*given)
    rng = np.random.default_rng(1)
    value, error, *_ = learner(both)
    narrow = learner.calibrated(both, value + error * rng.standard_normal(truth.shape))
    heavy = learner.calibrated(both, value + error * rng.standard_t(2, truth.shape))
    assert abs(np.median(narrow(both)[3]) - 1) < 0.1
    assert abs(np.median(heavy(both)[3]) - np.log(4.30 / 1.32) / np.log(1.96)) < 0.2


def test_without_a_refinement_the_network_stands(learner):
    given, _, _ = galaxies(20, 4)
    network, network_error, found, *rest = given
    found.converged[::2] = False
    for values in (found.theta, found.chi2, found.misfit, found.coherence, found.tension):
        values[::2] = np.nan
    found.covariance[::2] = 0.1**2 * np.eye(7)
    both = answers(network, network_error, found, *rest)
    value, error, *_ = learner(both)
    np.testing.assert_allclose(value[::2], network[::2])
    assert np.isfinite(error).all()


def test_the_covariance_has_the_fused_errors(learner):
    given, _, _ = galaxies(10, 5)
    fused = learner.fuse(answers(*given), given[2].covariance)
    sigma = np.sqrt(np.einsum("nii->ni", fused.covariance))
    _, error, *_ = learner(answers(*given))
    np.testing.assert_allclose(sigma, error[:, :7])
    assert (np.linalg.eigvalsh(fused.covariance) > 0).all()


def test_derivatives_of_the_loss():
    given, truth, _ = galaxies(50, 6)
    both = answers(*given)
    rng = np.random.default_rng(0)
    count = both.features.shape[1]
    shapes = ((count, 5), (5,), (5, 24), (24,))
    weights = tuple(0.3 * rng.standard_normal(shape) for shape in shapes)
    features = both.features / 5
    _, slopes = fusion._loss(features, weights, both, truth)
    for number, array in enumerate(weights):
        place = tuple(int(rng.integers(size)) for size in array.shape)
        values = []
        for sign in (1, -1):
            moved = [one.copy() for one in weights]
            moved[number][place] += sign * 1e-5
            values.append(fusion._loss(features, tuple(moved), both, truth)[0])
        numeric = (values[0] - values[1]) / 2e-5
        assert abs(slopes[number][place] - numeric) < 1e-5 * max(1, abs(numeric))


def test_it_is_kept_as_plain_values(learner):
    given, _, _ = galaxies(30, 7)
    both = answers(*given)
    again = Fusion.from_dict(json.loads(json.dumps(learner.to_dict())))
    for old, new in zip(learner(both), again(both), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-4)


def test_a_broken_one_is_refused_in_a_sentence(learner):
    values = learner.to_dict()
    for broken in (
        {**values, "weights": values["weights"][:3]},
        {**values, "middle": values["middle"][1:]},
        {**values, "coverage": ["x"] * 8},
        {name: value for name, value in values.items() if name != "spread"},
    ):
        with pytest.raises(DataError, match="fusion of network and fit is broken"):
            Fusion.from_dict(broken)
