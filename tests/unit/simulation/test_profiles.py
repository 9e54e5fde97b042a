"""The one-dimensional fit against astropy's full two-dimensional one."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Sersic2D, custom_model
from scipy.signal import fftconvolve
from scipy.special import gamma, gammaincinv

from galadapt.simulation import profiles

SIDE, OVERSAMPLING, PSF_SIGMA, RMS, EXPOSURE = 121, 3, 1.5, 0.0051, 3300.0


def _amplitude(flux: float, radius: float, index: float, ratio: float) -> float:
    b = gammaincinv(2 * index, 0.5)
    area = 2 * np.pi * index * ratio * radius**2
    return flux / (area * np.exp(b) * b ** (-2 * index) * gamma(2 * index))


def _image(flux: float, radius: float, index: float, ratio: float) -> np.ndarray:
    """A Sersic profile from astropy, oversampled, through a Gaussian PSF."""
    grid = (np.arange(SIDE * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5 - (SIDE - 1) / 2
    x, y = np.meshgrid(grid, grid)
    amplitude = _amplitude(flux, radius, index, ratio)
    model = Sersic2D(amplitude, radius, index, 0.13, -0.21, 1 - ratio, 0.4)(x, y)
    binned = model.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING).mean((1, 3))
    reach = np.arange(-9, 10)
    psf = np.exp(-0.5 * (np.hypot(*np.meshgrid(reach, reach)) / PSF_SIGMA) ** 2)
    return fftconvolve(binned, psf / psf.sum(), mode="same")


@pytest.mark.parametrize(
    ("magnitude", "bulge", "bulge_radius", "disc_radius", "bulge_index", "ratio"),
    [
        (20.5, 0.2, 1.5, 6.0, 2.0, 0.6),
        (22.0, 0.1, 2.0, 6.0, 1.5, 0.9),
        (21.0, 0.8, 8.0, 12.0, 4.0, 0.8),
        (22.5, 0.4, 2.0, 7.0, 3.0, 0.5),
    ],
)
def test_agrees_with_a_two_dimensional_fit(
    magnitude, bulge, bulge_radius, disc_radius, bulge_index, ratio
):
    flux = 10 ** (-0.4 * (magnitude - 25.9463))
    image = _image(flux * bulge, bulge_radius, bulge_index, ratio)
    image += _image(flux * (1 - bulge), disc_radius, 1.0, ratio)
    sigma = np.sqrt(RMS**2 + image / EXPOSURE)

    @custom_model
    def single(x, y, log_flux=0.0, log_radius=0.0, log_index=0.3, q=ratio):
        return _image(np.exp(log_flux), np.exp(log_radius), np.exp(log_index), q)

    y, x = np.mgrid[:SIDE, :SIDE]
    start = single(
        np.log(flux), np.log(disc_radius), bounds={"q": (0.1, 1.0), "log_index": (-1.5, 2.0)}
    )
    fitted = TRFLSQFitter()(start, x, y, image, weights=1 / sigma, maxiter=60)
    got = profiles.fit_single_sersic(
        np.array([flux]),
        np.array([ratio]),
        np.array([[bulge, 1 - bulge]]),
        np.array([[bulge_radius, disc_radius]]),
        np.array([[bulge_index, 1.0]]),
        RMS,
        EXPOSURE,
        PSF_SIGMA,
    )
    expected = np.exp(fitted.parameters[:3])
    # The fit of the whole image has freedom this one has not (the axis ratio, the inner ellipses).
    assert 2.5 * abs(np.log10(got[0][0] / expected[0])) < 0.02
    assert got[1][0] == pytest.approx(expected[1], rel=0.025)
    assert got[2][0] == pytest.approx(expected[2], rel=0.04)


def test_a_single_sersic_is_recovered_exactly():
    radius, index = np.array([[4.0], [9.0], [2.5]]), np.array([[1.0], [4.0], [0.5]])
    flux = np.array([20.0, 300.0, 8.0])
    got = profiles.fit_single_sersic(
        flux, np.array([0.5, 0.9, 1.0]), np.ones((3, 1)), radius, index, RMS, EXPOSURE
    )
    np.testing.assert_allclose(got, [flux, radius[:, 0], index[:, 0]], rtol=1e-4)


def test_half_light_radius_encloses_half():
    fractions, radii = np.array([[0.3, 0.7]]), np.array([[2.0, 8.0]])
    indices = np.array([[3.0, 1.0]])
    half = profiles.half_light_radius(fractions, radii, indices)
    inside = (fractions * profiles.enclosed(half[:, None], radii, indices)).sum()
    assert inside == pytest.approx(0.5, abs=1e-6)
    assert 2 < half[0] < 8


def test_surface_brightness_integrates_to_one():
    radius = np.linspace(0, 400, 400_001)
    light = profiles.surface_brightness(radius, np.array(5.0), np.array(1.5), np.array(0.4))
    total = np.trapezoid(light * 2 * np.pi * 0.4 * radius, radius)
    assert total == pytest.approx(1, abs=1e-4)
