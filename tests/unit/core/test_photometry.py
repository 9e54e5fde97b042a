"""Magnitudes, fluxes and zero points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galadapt.core import photometry
from galadapt.core.errors import DataError

IMAGE = Path("image.fits")


def test_magnitudes_and_fluxes_are_inverse():
    magnitude = np.array([18.0, 25.9463, 31.0])
    flux = photometry.flux_of(magnitude, 25.9463)
    assert flux[1] == 1
    np.testing.assert_allclose(photometry.magnitude_of(flux, 25.9463), magnitude)
    assert photometry.fainter(20.0, 0.01) == pytest.approx(25.0)


def test_every_difference_of_zero_points_is_converted():
    assert photometry.rescaling(25.0, 27.5) == pytest.approx(10)
    assert photometry.rescaling(25.0, 25.001) == pytest.approx(1.000921, abs=1e-6)
    assert photometry.rescaling(25.9463, 25.9463) == 1
    with pytest.raises(DataError, match="no header card; give --zero-point, the AB magnitude"):
        photometry.known_rescaling(None, 25.0, IMAGE, "--zero-point")


def test_of_header_and_option_the_option_counts():
    said: list[str] = []

    def choose(option, header):
        return photometry.choose_zero_point(option, header, "ABZP", IMAGE, said.append)

    assert choose(None, None) is None
    assert choose(None, 25.9) == 25.9
    assert choose(25.9, None) == 25.9
    assert choose(25.901, 25.9) == 25.901
    assert not said
    assert choose(25.8, 25.9) == 25.8
    assert said == [
        "image.fits: the zero point by ABZP is 25.9000, --zero-point is 25.8000, which is used"
    ]
    for option, header in ((None, 99.0), (-99.0, 25.9), (np.nan, 25.9)):
        with pytest.raises(DataError, match="no AB magnitude of one unit"):
            choose(option, header)


def test_magnitudes_follow_the_number_counts():
    drawn = photometry.draw_magnitude(np.random.default_rng(1), 18.0, 24.0, 0.3, 20000)
    assert (drawn > 18).all()
    assert (drawn < 24).all()
    # A magnitude brighter there are 10^-0.3 as many.
    assert (drawn < 23).mean() == pytest.approx(10**-0.3, abs=0.01)
