"""PSF jitter, depth jitter and sky residuals."""

import galsim
import numpy as np
import pytest
from single_profiles import fixed, rng

from galadapt.config.realism import PsfJitter, SkyResidual, Strength
from galadapt.config.simulation import Noise
from galadapt.simulation.noise import resolve
from galadapt.simulation.realism import instrument

SIDE, SCALE, SIGMA = 64, 0.06, 1.4


def point(sigma=SIGMA):
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    image = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * sigma**2))
    return image / image.sum()


def moments(image):
    y, x = np.indices(image.shape) - (SIDE - 1) / 2
    total = image.sum()
    return [(a * b * image).sum() / total for a, b in ((x, x), (y, y), (x, y))]


def jitter(images, blur=0.0, ellipticity=0.0, seed=1):
    settings = PsfJitter(blur=fixed(blur), ellipticity=fixed(ellipticity))
    return instrument.jitter_psf(images, settings, SIGMA, SCALE, rng(seed))


def test_blur_adds_in_quadrature_and_keeps_flux_and_centre():
    blurred = jitter(point()[None], blur=0.06)[0]
    assert blurred.sum() == pytest.approx(1, abs=1e-6)
    xx, yy, xy = moments(blurred)
    assert xx == pytest.approx(SIGMA**2 + 1.0, rel=1e-3)
    assert yy == pytest.approx(xx, rel=1e-6)
    assert xy == pytest.approx(0, abs=1e-6)


def test_nothing_drawn_nothing_changed():
    np.testing.assert_allclose(jitter(point()[None])[0], point(), atol=1e-8)


def test_ellipticity_is_that_of_the_psf_in_random_directions():
    angles = []
    for seed in range(12):
        xx, yy, xy = moments(jitter(point()[None], blur=0.03, ellipticity=0.1, seed=seed)[0])
        assert np.hypot(xx - yy, 2 * xy) / (xx + yy) == pytest.approx(0.1, rel=0.01)
        angles.append(np.arctan2(2 * xy, xx - yy))
    assert np.ptp(angles) > 3


def test_agrees_with_galsim():
    galaxy = galsim.Exponential(half_light_radius=5.0).shear(q=0.5, beta=20 * galsim.degrees)
    psf = galsim.Gaussian(sigma=SIGMA)

    def draw(psf):
        return galsim.Convolve(galaxy, psf).drawImage(
            nx=SIDE, ny=SIDE, scale=1, method="no_pixel", dtype=float
        )

    wider = galsim.Convolve(psf, galsim.Gaussian(sigma=1.0))
    ours = jitter(draw(psf).array[None], blur=0.06)[0]
    np.testing.assert_allclose(ours, draw(wider).array, atol=2e-3 * ours.max())


def test_a_flat_image_stays_flat_up_to_its_edge():
    np.testing.assert_allclose(jitter(np.ones((2, SIDE, SIDE)), blur=0.1), 1.0, atol=1e-9)


def test_depth_scales_noise_and_exposure_together():
    levels = resolve(Noise())
    deeper = instrument.jitter_depth(levels, fixed(0.5), rng())
    assert deeper.pixel_rms == pytest.approx(0.5 * levels.pixel_rms)
    assert deeper.exposure_time == pytest.approx(4 * levels.exposure_time)
    drawn = [
        instrument.jitter_depth(levels, Strength(low=0.8, high=1.2), rng(seed)).pixel_rms
        for seed in range(200)
    ]
    factors = np.array(drawn) / levels.pixel_rms
    assert 0.8 <= factors.min() < 0.82 < 1.18 < factors.max() <= 1.2


def test_sky_residual_is_a_level_and_a_gradient():
    settings = SkyResidual(level=fixed(-0.4), gradient=fixed(0.0))
    np.testing.assert_allclose(instrument.sky_residual(32, settings, 0.01, rng()), -0.004)
    sloped = SkyResidual(level=fixed(0.1), gradient=fixed(2.0))
    plane = instrument.sky_residual(32, sloped, 0.01, rng())
    assert plane.mean() == pytest.approx(0.001, rel=1e-6)
    steps = [np.diff(plane, axis=axis).mean() for axis in (0, 1)]
    # From side to side, two pixel rms.
    assert np.hypot(*steps) * 32 == pytest.approx(0.02, rel=1e-6)
