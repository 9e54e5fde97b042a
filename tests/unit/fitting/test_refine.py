"""The refinement recovers galaxies, with errors that are those of the noise."""

from __future__ import annotations

import math

import galsim
import numpy as np
import pytest
from sersic_galaxies import PSF, drawn, theta_of

from galadapt.core.errors import DataError
from galadapt.fitting.refine import Refiner
from galadapt.simulation.noise import NoiseLevels, add_noise, correlation

RMS = 0.01
DROP = 1.7
#: Scatter of a network's answers in ln flux, ln radius, ln n, e1, e2, x, y.
SCATTER = np.array([0.12, 0.2, 0.25, 0.06, 0.06, 0.2, 0.2])
WIDE = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 2.0, 2.0])
GALAXY = (60.0, 4.0, 2.0, 0.4, 35.0, 0.2, -0.3)


def noisy(galaxy, count: int, drop: float = 0.0, exposure: float = math.inf) -> np.ndarray:
    levels = NoiseLevels(RMS, exposure, drop, math.isfinite(exposure))
    image, rng = drawn(*galaxy), np.random.default_rng(7)
    return np.stack([add_noise(image, levels, rng) for _ in range(count)])


def refined(stamps, galaxy, scatter=SCATTER, prior=WIDE, refiner=None, **options):
    rng = np.random.default_rng(8)
    start = theta_of(*galaxy) + scatter * rng.standard_normal((len(stamps), 7))
    covariance = np.broadcast_to(np.diag(prior**2), (len(stamps), 7, 7))
    noise = np.full(len(stamps), RMS)
    refiner = refiner or Refiner(PSF, stamps.shape[1])
    return refiner(stamps, noise, start, covariance, **options)


def normalised(found, galaxy) -> np.ndarray:
    errors = np.sqrt(np.einsum("nii->ni", found.covariance))
    return (found.theta - theta_of(*galaxy)) / errors


@pytest.fixture(scope="module")
def white():
    return refined(noisy(GALAXY, 60), GALAXY)


def test_it_converges_from_starts_scattered_like_a_networks(white):
    assert white.converged.all()
    assert np.median(white.evaluations) <= 5
    assert abs(np.median(white.chi2) - 1) < 0.03


def test_errors_are_those_of_the_scatter_over_noise(white):
    scatter = normalised(white, GALAXY).std(axis=0)
    # 60 realisations know a standard deviation to 9 %.
    assert ((scatter > 0.72) & (scatter < 1.3)).all()


def test_nothing_is_biased_the_index_included(white):
    mean = normalised(white, GALAXY).mean(axis=0)
    assert np.abs(mean).max() < 4 / math.sqrt(60)


def test_errors_are_the_cramer_rao_bound():
    # Fisher's matrix from finite differences of GalSim's images; the sky is known.
    slopes = []
    for number, step in enumerate([0.01] * 5 + [0.02] * 2):
        pair = []
        for sign in (1, -1):
            theta = theta_of(*GALAXY)[0]
            theta[number] += sign * step
            e, angle = math.hypot(*theta[3:5]), math.degrees(math.atan2(theta[4], theta[3])) / 2
            pair.append(drawn(*np.exp(theta[:3]), e, angle, *theta[5:]))
        slopes.append((pair[0] - pair[1]).ravel() / (2 * step) / RMS)
    expected = np.sqrt(np.diag(np.linalg.inv(np.array(slopes) @ np.array(slopes).T)))
    known = refined(noisy(GALAXY, 8), GALAXY, sky_error=0.0)
    found = np.sqrt(np.einsum("nii->ni", known.covariance)).mean(axis=0)
    # The window of 64 of 128 px lacks a little of the wings.
    assert np.abs(found / expected - 1).max() < 0.03


@pytest.mark.parametrize("galaxy", [GALAXY, (250.0, 16.0, 3.0, 0.5, 60.0, 0.1, 0.2)])
def test_drizzled_noise_has_errors_as_large_as_its_scatter(galaxy):
    refiner = Refiner(PSF, 128, correlation(DROP, np.arange(4)))
    found = refined(noisy(galaxy, 48, DROP), galaxy, refiner=refiner)
    scatter = normalised(found, galaxy).std(axis=0)
    assert found.converged.all()
    assert ((scatter > 0.7) & (scatter < 1.35)).all()
    assert abs(np.median(found.chi2) - 1) < 0.05


def test_photons_of_a_bright_galaxy_are_part_of_its_noise():
    galaxy = (900.0, *GALAXY[1:])
    stamps = noisy(galaxy, 40, exposure=400.0)
    found = refined(stamps, galaxy, exposure_time=400.0)
    scatter = normalised(found, galaxy).std(axis=0)
    assert ((scatter > 0.7) & (scatter < 1.35)).all()
    assert abs(np.median(found.chi2) - 1) < 0.05
    unknown = refined(stamps, galaxy)
    assert np.median(unknown.misfit) > 3 > 1.2 > np.median(found.misfit)
    assert abs(np.median(unknown.coherence)) < 1 > abs(np.median(found.coherence))
    # Unknown photons are seen in the residuals: errors stay honest.
    scatter = normalised(unknown, galaxy).std(axis=0)
    assert ((scatter > 0.7) & (scatter < 1.35)).all()


def test_light_that_no_sersic_profile_describes_is_coherent():
    ring = drawn(60.0, 6.0, 0.4, 0.4, 35.0, 0.2, -0.3)
    found = refined(noisy(GALAXY, 8) + ring, GALAXY)
    assert np.median(found.coherence) > 3


def test_a_galaxy_wider_than_its_stamp_keeps_its_index():
    galaxy = (2000.0, 26.0, 4.0, 0.3, 80.0, 0.0, 0.1)
    found = refined(noisy(galaxy, 24), galaxy, scatter=SCATTER / 2, sky_error=0.0)
    assert found.converged.all()
    # Copies of its wings, folded into the stamp, would make it several per cent smaller.
    assert abs(np.median(found.theta[:, 2]) - math.log(4)) < 0.01
    assert abs(np.median(found.theta[:, 0]) - math.log(2000)) < 0.01


def test_a_masked_neighbour_leaves_no_trace():
    stamps = noisy(GALAXY, 12)
    valid = np.ones(stamps.shape, bool)
    valid[:, 74:90, 58:80] = False
    crowded = np.where(valid, stamps, 50.0)
    refiner = Refiner(PSF, 128, correlation(0.8, np.arange(3)))
    found = refined(crowded, GALAXY, refiner=refiner, valid=valid)
    other = refined(np.where(valid, stamps, np.nan), GALAXY, refiner=refiner)
    assert found.converged.all()
    assert np.abs(normalised(found, GALAXY)).max() < 5
    np.testing.assert_allclose(found.theta, other.theta, atol=1e-6)


def test_a_masked_centre_is_not_refined():
    stamps = noisy(GALAXY, 2)
    valid = np.ones(stamps.shape, bool)
    valid[0, 50:78, 50:78] = False
    found = refined(stamps, GALAXY, scatter=0 * SCATTER, prior=SCATTER, valid=valid)
    assert found.converged.tolist() == [False, True]
    assert found.seen[0] < 0.3 < found.seen[1]
    np.testing.assert_array_equal(found.theta[0], theta_of(*GALAXY)[0])


def test_without_light_the_network_stands():
    stamps = RMS * np.random.default_rng(3).standard_normal((8, 64, 64))
    faint = (0.05, *GALAXY[1:])
    found = refined(stamps, faint, scatter=0 * SCATTER, prior=SCATTER)
    assert found.converged.all()
    errors = np.sqrt(np.einsum("nii->ni", found.covariance))
    assert (errors <= SCATTER * 1.0001).all()
    assert np.abs(found.theta - theta_of(*faint))[:, 1:].max() < 0.4


def test_pixels_that_contradict_the_network_show():
    stamps = noisy(GALAXY, 4)
    sure = SCATTER / 10
    agreeing = refined(stamps, GALAXY, scatter=sure, prior=sure)
    away = (60.0, 6.0, 1.0, 0.4, 35.0, 0.2, -0.3)
    contradicting = refined(stamps, away, scatter=sure, prior=sure)
    assert (agreeing.tension < 4).all()
    # What the prior forbids to fit counts as noise, which must not hide it.
    assert (contradicting.tension > 2).all()
    assert (contradicting.misfit > 1.5).all()
    assert (agreeing.misfit < 1.3).all()


def test_one_bad_galaxy_does_not_touch_the_others():
    stamps = noisy(GALAXY, 5)
    alone = refined(stamps, GALAXY)
    stamps[2] = np.nan
    found = refined(stamps, GALAXY)
    assert found.converged.tolist() == [True, True, False, True, True]
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(found.theta[others], alone.theta[others], rtol=1e-4, atol=1e-4)
    start = np.tile(theta_of(*GALAXY), (3, 1))
    covariance = np.tile(np.diag(WIDE**2), (3, 1, 1))
    noise = np.array([RMS, 0.0, np.nan])
    covariance[0, 0, 0] = -1
    broken = Refiner(PSF, 128)(stamps[[0, 1, 3]], noise, start, covariance)
    assert not broken.converged.any()
    np.testing.assert_array_equal(broken.theta, start)


def test_sides_odd_and_even_give_the_same():
    stamps = noisy(GALAXY, 3)
    whole = refined(stamps, GALAXY).theta
    odd = stamps[:, :127, :127]
    moved = theta_of(*GALAXY)[0]
    moved[5:] += 0.5
    start = np.tile(moved, (3, 1))
    covariance = np.tile(np.diag(WIDE**2), (3, 1, 1))
    found = Refiner(PSF, 127)(odd, np.full(3, RMS), start, covariance)
    np.testing.assert_allclose(found.theta - [0, 0, 0, 0, 0, 0.5, 0.5], whole, atol=0.06)


def test_shapes_that_do_not_fit_are_refused():
    refiner = Refiner(galsim.Gaussian(fwhm=3.0), 64)
    stamps, start = np.zeros((2, 64, 64)), np.zeros((2, 7))
    covariance = np.tile(np.eye(7), (2, 1, 1))
    with pytest.raises(DataError, match="one value per stamp"):
        refiner(stamps, np.ones(3), start, covariance)
    with pytest.raises(DataError, match="starts of shape"):
        refiner(stamps, np.ones(2), start[:, :6], covariance)
    with pytest.raises(DataError, match="white noise"):
        Refiner(galsim.Gaussian(fwhm=3.0), 64, np.array([0.5, 0.1]))


def test_results_do_not_depend_on_how_galaxies_are_grouped():
    galaxies = [GALAXY, (400.0, 14.0, 1.0, 0.5, 10.0, 0.3, 0.3), (80.0, 2.0, 4.0, 0.1, 90.0, 0, 0)]
    rng = np.random.default_rng(5)
    stamps = np.stack([drawn(*one) for one in galaxies * 4])
    stamps += RMS * rng.standard_normal(stamps.shape)
    start = np.concatenate([theta_of(*one) for one in galaxies * 4])
    start += SCATTER / 2 * rng.standard_normal(start.shape)
    covariance = np.tile(np.diag(SCATTER**2), (len(start), 1, 1))
    refiner = Refiner(PSF, 128, correlation(0.8, np.arange(3)))
    noise = np.full(len(start), RMS)
    whole = refiner(stamps, noise, start, covariance)
    for row in (0, 4, 11):
        some = slice(row, row + 1)
        alone = refiner(stamps[some], noise[some], start[some], covariance[some])
        np.testing.assert_array_equal(alone.theta[0], whole.theta[row])
        np.testing.assert_array_equal(alone.covariance[0], whole.covariance[row])
