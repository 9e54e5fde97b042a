from __future__ import annotations

import numpy as np
import pytest

from galadapt.evaluation.features import separability


def test_separability_is_half_for_one_population_and_one_for_two():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((400, 5))
    survey = np.arange(400) % 2 == 0
    assert separability(features, survey)[0] == pytest.approx(0.5, abs=0.1)
    features[survey, 3] += 6
    assert separability(features, survey)[0] > 0.99


def test_separability_of_one_galaxy_is_undefined():
    assert np.isnan(separability(np.zeros((5, 2)), np.arange(5) == 0)[0])
