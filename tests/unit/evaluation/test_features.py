from __future__ import annotations

import numpy as np
import pytest

from galadapt.evaluation.features import domain_rand, reconstruction_auc, separability


def test_separability_is_half_for_one_population_and_one_for_two():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((400, 5))
    survey = np.arange(400) % 2 == 0
    assert separability(features, survey, 1)[0] == pytest.approx(0.5, abs=0.1)
    features[survey, 3] += 6
    assert separability(features, survey, 1)[0] > 0.99


def test_separability_of_one_galaxy_is_undefined():
    assert np.isnan(separability(np.zeros((5, 2)), np.arange(5) == 0, 1)[0])


def test_errors_of_rebuilding_and_clusters_tell_domains_apart_too():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 20))
    features += 0.1 * rng.standard_normal(features.shape)
    survey = np.arange(400) % 2 == 0
    assert reconstruction_auc(features, survey) == pytest.approx(0.5, abs=0.08)
    assert domain_rand(features, survey) == pytest.approx(0, abs=0.05)
    # Out of the plane in which all simulated stamps lie.
    odd = features + survey[:, None] * rng.standard_normal(features.shape)
    assert reconstruction_auc(odd, survey) > 0.95
    apart = features + 30 * survey[:, None]
    assert domain_rand(apart, survey) > 0.3
    assert np.isnan(domain_rand(features[:30], survey[:30]))
    assert np.isnan(reconstruction_auc(features[:30], survey[:30]))
