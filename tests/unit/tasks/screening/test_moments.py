"""R3's moments against known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.tasks.screening.moments import MOMENTS, moments, moments_of


def test_moments_of_an_exponential() -> None:
    rng = np.random.default_rng(1)
    images = 3.0 * rng.exponential(size=(2, 500, 500))
    found = moments(images)
    assert tuple(found.columns) == MOMENTS
    # An exponential of scale 3 has 3, 2 and (Fisher's) 6.
    assert found["std"].to_numpy() == pytest.approx(3.0, rel=0.02)
    assert found["skewness"].to_numpy() == pytest.approx(2.0, rel=0.05)
    assert found["kurtosis"].to_numpy() == pytest.approx(6.0, rel=0.15)


def test_a_constant_image_has_no_shape() -> None:
    images = np.stack([np.full((8, 8), 0.1), np.eye(8)])
    found = moments(images)
    assert found.iloc[0].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.iloc[1, 1] > 0
    assert moments_of(images[1]) == pytest.approx(found.iloc[1].to_dict())
    # The caller's images are not touched.
    assert images[0, 0, 0] == 0.1
