"""The network for any image, refined by the pixels: values, columns, flags, --fast."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import galsim
import numpy as np
import pytest

from galadapt.core.errors import ConfigError
from galadapt.core.photometry import magnitude_of
from galadapt.cutouts.stamps import Stamp
from galadapt.fitting.fusion import Answers, Fusion, train
from galadapt.general.parameters import SIDE
from galadapt.general.refined import refine, refiner_of
from galadapt.general.run import Measured
from galadapt.prediction.any_image import AnyImagePackage, AnyImageRunner, runner_of
from galadapt.prediction.flags import Flag

PSF = galsim.Convolve(galsim.Moffat(beta=3.0, fwhm=2.6), galsim.Pixel(1.0))
RMS = 0.01
TRUTH = np.array([math.log(60.0), math.log(4.0), math.log(2.0), 0.2, 0.3, 0.2, -0.3])
SIGMA = np.array([0.1, 0.15, 0.2, 0.06, 0.06, 0.2, 0.2])


def stamps(count: int) -> np.ndarray:
    e, angle = math.hypot(*TRUTH[3:5]), math.degrees(math.atan2(TRUTH[4], TRUTH[3])) / 2
    flux, radius, index = np.exp(TRUTH[:3])
    galaxy = galsim.Sersic(n=index, half_light_radius=radius * math.sqrt(1 - e), flux=flux)
    seen = galsim.Convolve(galaxy.shear(q=1 - e, beta=(angle + 90) * galsim.degrees), PSF)
    image = seen.drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, offset=tuple(TRUTH[5:]), method="no_pixel"
    ).array
    return image + RMS * np.random.default_rng(2).standard_normal((count, SIDE, SIDE))


def answer(count: int, away: float = 1.0) -> Measured:
    """What a network might say, `away` times its errors off."""
    scatter = np.random.default_rng(1).standard_normal((count, 7))
    theta = TRUTH + away * SIGMA * scatter
    return Measured(
        theta,
        np.tile(np.diag(SIGMA**2), (count, 1, 1)),
        np.hypot(theta[:, 3], theta[:, 4]),
        np.full(count, 0.06),
        np.zeros((count, 2)),
    )


REST = ("covariance", "ellipticity", "ellipticity_err", "features")


def both_answers(count: int) -> tuple[Answers, np.ndarray]:
    """Answers to train a fusion with: the pixels' are ten times better."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.1, 0.5, (count, 8))
    scatter = (0.1, 0.01)
    values = [truth + sigma * rng.standard_normal(truth.shape) for sigma in scatter]
    errors = [np.full(truth.shape, sigma) for sigma in scatter]
    features = rng.standard_normal((count, 33)) + 1
    return Answers(values[0], errors[0], values[1], errors[1], features), truth


@pytest.fixture(scope="module")
def psf() -> np.ndarray:
    image = PSF.drawImage(nx=SIDE, ny=SIDE, scale=1.0, method="no_pixel", dtype=float).array
    return image / image.sum()


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return train(*both_answers(400))


@pytest.fixture
def package(psf: np.ndarray, fusion: Fusion) -> AnyImagePackage:
    def measure(images: np.ndarray, *rest: np.ndarray) -> Measured:
        return answer(len(images))

    record = SimpleNamespace(
        fusion=fusion.to_dict(),
        zero_point=25.0,
        name="any",
        members=(1,),
        extraction=None,
        psf_fwhm=3.0,
        pixel_scale=1.0,
    )
    general = SimpleNamespace(measure=measure, record=record, folder=Path())
    return AnyImagePackage(general, record, psf, False)  # type: ignore[arg-type]


def as_stamps(images: np.ndarray) -> list[Stamp]:
    values = dict.fromkeys(
        ("background", "neighbour_fraction", "signal_to_noise", "x_offset", "y_offset"), 0.0
    )
    return [
        Stamp(pixels=one, x=100, y=200, local_rms=RMS, empty_rms=RMS, fwhm=3.0, flags=0, **values)
        for one in images.astype(np.float32)
    ]


@pytest.fixture
def runner(package: AnyImagePackage, monkeypatch: pytest.MonkeyPatch):
    # Neighbours have tests of their own.
    def hidden(_, stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
        bad = ~(np.isfinite(stamp.pixels) & (stamp.pixels < 1e3))
        return bad, np.zeros_like(bad)

    monkeypatch.setattr(AnyImageRunner, "_hidden", hidden)
    return lambda fast: runner_of(package, fast=fast)


def test_pixels_improve_every_number(psf: np.ndarray, fusion: Fusion) -> None:
    found, images = answer(8), stamps(8)
    valid, noise = np.ones(images.shape, bool), np.full(8, RMS)
    outcome = refine(found, images, valid, noise, refiner_of(psf, None), fusion)
    before, after = (np.abs(one.theta - TRUTH) for one in (found, outcome.measured))
    assert (after.mean(axis=0) < before.mean(axis=0) / 4).all()
    assert (outcome.measured.ellipticity_err < 0.05).all()
    assert (outcome.followed > 0.8).all()


def test_the_unit_of_the_image_does_not_matter(psf: np.ndarray) -> None:
    given, truth = both_answers(200)
    fusion = train(given, truth)
    found, images = answer(4), stamps(4)
    valid, noise = np.ones(images.shape, bool), np.full(4, RMS)
    refiner = refiner_of(psf, None)
    one = refine(found, images, valid, noise, refiner, fusion)
    theta = found.theta.copy()
    theta[:, 0] += math.log(1000.0)
    moved = Measured(theta, *(getattr(found, name) for name in REST))
    two = refine(moved, 1000 * images, valid, 1000 * noise, refiner, fusion)
    shift = two.measured.theta - one.measured.theta
    np.testing.assert_allclose(shift[:, 0], math.log(1000.0), atol=1e-3)
    np.testing.assert_allclose(shift[:, 1:], 0, atol=2e-3)
    np.testing.assert_allclose(two.measured.covariance, one.measured.covariance, rtol=0.02)


def test_the_catalogue_has_the_refined_values_and_how_they_came_about(runner) -> None:
    images = stamps(4)
    refined, fast = (runner(one).measure(as_stamps(images)) for one in (False, True))
    magnitude = magnitude_of(60.0, 25.0)
    assert np.abs(refined.predicted[:, 0] - magnitude).max() < 0.05
    assert np.abs(refined.predicted[:, 1] - 4).max() < 0.2
    assert (refined.spread < fast.spread).all()
    assert np.abs(refined.extra["fit_chi2"] - 1).max() < 0.1
    assert (refined.extra["fit_flags"] == 0).all()
    assert np.abs(refined.extra["x_centre"] - 0.2).max() < 0.05
    assert np.abs(refined.extra["y_centre"] + 0.3).max() < 0.05
    assert not any(name.startswith("fit_") for name in fast.extra)
    np.testing.assert_allclose(np.log(fast.predicted[:, 1]), answer(4).theta[:, 1])


def test_light_beyond_the_image_of_the_psf_is_added(
    package: AnyImagePackage, runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = as_stamps(stamps(2))
    whole = runner(False).measure(images)
    lacking = AnyImageRunner(dataclasses.replace(package, light=0.98)).measure(images)
    brighter = whole.predicted[:, 0] - lacking.predicted[:, 0]
    np.testing.assert_allclose(brighter, -2.5 * math.log10(0.98), atol=1e-6)
    np.testing.assert_array_equal(lacking.predicted[:, 1:], whole.predicted[:, 1:])


def test_a_failed_refinement_and_a_contradiction_are_flagged(runner) -> None:
    images = stamps(3)
    images[0, 40:90, 40:90] = 1e4
    images[1] = images[1].T[::-1] * 4
    found = runner(False).measure(as_stamps(images))
    flags = found.extra["fit_flags"].astype(int)
    assert flags[0] & Flag.FIT_FAILED
    assert flags[1] & Flag.FIT_DISAGREES
    assert flags[2] == 0
    assert found.extra["fit_followed"][0] == 0
    np.testing.assert_allclose(np.log(found.predicted[0, 1]), answer(3).theta[0, 1])


def test_what_hides_a_galaxys_own_light_is_flagged(
    package: AnyImagePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it, a pixel of its core, or nothing of it: a neighbour far out."""
    masks = np.zeros((4, 2, 128, 128), bool)
    masks[0, 1, :, 64:] = True
    masks[1, 0, 63, 64] = True
    masks[2, 1, :, :20] = True
    masks[3, 0, :40] = True
    given = iter(masks)
    monkeypatch.setattr(AnyImageRunner, "_hidden", lambda *_: tuple(next(given)))
    found = AnyImageRunner(package, fast=True).measure(as_stamps(stamps(4)))
    # Its centre lies a fifth of a pixel inside that half.
    assert found.extra["masked_light"][0] == pytest.approx(0.55, abs=0.05)
    assert found.extra["masked_light"][2] < 0.01
    assert found.extra["mask_flags"].tolist() == [Flag.NEIGHBOUR, Flag.BAD_PIXELS, 0, 0]


def test_a_package_without_a_fusion_is_not_refined(package: AnyImagePackage, runner) -> None:
    package.general.record.fusion = None
    found = runner(False).measure(as_stamps(stamps(2)))
    np.testing.assert_allclose(np.log(found.predicted[:, 1]), answer(2).theta[:, 1])
    assert "fit_chi2" not in found.extra


def test_what_is_never_refined_refuses_fast() -> None:
    package = SimpleNamespace(record=SimpleNamespace(members=(1, 2), name="demo"))
    with pytest.raises(ConfigError, match="--fast: demo is never refined"):
        runner_of(package, fast=True)  # type: ignore[arg-type]
