"""Moments of images against known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.tasks.screening.moments import MOMENTS, moments


def test_moments_of_an_exponential() -> None:
    found = moments(3.0 * np.random.default_rng(1).exponential(size=(500, 500)))
    assert tuple(found) == MOMENTS
    # An exponential of scale 3 has 3, 2 and (Fisher's) 6.
    assert found["std"] == pytest.approx(3.0, rel=0.02)
    assert found["skewness"] == pytest.approx(2.0, rel=0.05)
    assert found["kurtosis"] == pytest.approx(6.0, rel=0.15)


def test_a_constant_image_has_no_shape() -> None:
    image = np.full((8, 8), 0.1)
    assert list(moments(image).values()) == pytest.approx([0, 0, 0], abs=1e-12)
    assert moments(np.eye(8))["skewness"] > 0
    # The caller's image is not touched.
    assert image[0, 0] == 0.1
