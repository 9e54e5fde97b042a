"""Widths and flat tops of analytic cores."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from galadapt.cutouts.shapes import FWHM, flat_core, windowed_fwhm
from galadapt.cutouts.stamps import _STAR_WIDTH

SIDE = 65


def _gaussian(fwhm, x=32.0, y=32.0):
    rows, columns = np.indices((SIDE, SIDE))
    return np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / (fwhm / FWHM) ** 2)


@pytest.mark.parametrize("fwhm", [3.0, 3.5, 5.0, 8.0])
def test_the_window_is_taken_out_of_a_gaussian(fwhm):
    image = _gaussian(fwhm, 31.7, 32.4)
    assert windowed_fwhm(image, 32, 32, 3.3) == pytest.approx(fwhm, rel=0.02)


def test_a_wrong_position_is_corrected():
    assert windowed_fwhm(_gaussian(3.3), 33.5, 31.0, 3.3) == pytest.approx(3.3, rel=0.02)


def test_a_neighbour_outside_the_window_does_not_count():
    image = _gaussian(3.3) + 5 * _gaussian(3.3, 50, 50)
    assert windowed_fwhm(image, 32, 32, 3.3) == pytest.approx(3.3, rel=0.01)


def test_a_flat_image_is_infinitely_wide_and_an_empty_one_has_no_width():
    # In pixels the window's own moment is a little below its square: wide, or infinite.
    assert windowed_fwhm(np.ones((SIDE, SIDE)), 32, 32, 3.3) > 30
    assert np.isnan(windowed_fwhm(np.zeros((SIDE, SIDE)), 32, 32, 3.3))


def test_the_limit_of_a_star_lies_between_the_psf_and_galaxies():
    psf = galsim.OpticalPSF(lam_over_diam=0.138, obscuration=0.33)
    psf = galsim.Convolve(psf, galsim.Pixel(0.128))

    def width(profile):
        image = profile.drawImage(nx=SIDE, ny=SIDE, scale=0.06, method="no_pixel").array
        return windowed_fwhm(image, 32, 32, 0.2 / 0.06) / (0.2 / 0.06)

    assert width(psf) < _STAR_WIDTH - 0.05
    for index in (1.0, 4.0):
        galaxy = galsim.Sersic(index, half_light_radius=0.1)
        assert width(galsim.Convolve(galaxy, psf)) > _STAR_WIDTH + 0.03


def test_a_clipped_core_is_flat_and_a_whole_one_is_not():
    image = 100 * _gaussian(8.0)
    assert not flat_core(image, 32, 32, 0.01)
    assert flat_core(np.minimum(image, 60), 32, 32, 0.01)


def test_the_flattest_sersic_profile_is_not_saturated():
    radius = np.hypot(*(np.indices((SIDE, SIDE)) - 32.0)) / 6
    assert not flat_core(100 * np.exp(-0.28 * radius ** (1 / 0.3)), 32, 32, 0.01)


def test_noise_is_no_flat_core():
    image = np.minimum(100 * _gaussian(8.0), 60)
    assert not flat_core(image, 32, 32, rms=2.0)
