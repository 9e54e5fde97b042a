"""The fitter finds what was drawn; moments tell it where to start and what to mask."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.survey import Extraction
from galadapt.core.errors import RunError
from galadapt.cutouts.neighbours import shape_of
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.tasks.galaxies.fitting.sersic import SersicFitter

RMS, ZERO_POINT = 0.005, 25.9463
PSF = make_psf(GaussianPsf(fwhm=0.18), 0.06)
TRUTH = {"magnitude": 20.5, "effective_radius": 4.0, "ellipticity": 0.4, "position_angle": 30.0}
TRUTH |= {"x_offset": 0.3, "y_offset": -0.2}


@pytest.fixture(scope="module")
def fitter() -> SersicFitter:
    return SersicFitter(PSF, 40, 0.06, ZERO_POINT, psf_side=41)


def drawn(**changes: float) -> np.ndarray:
    image = Image(stamp_size=40, pixel_scale=0.06, zero_point=ZERO_POINT)
    return make_renderer(image, PSF, "ktable").render({**TRUTH, "sersic_index": 1.0, **changes})


@pytest.mark.parametrize("index", [1.0, 3.5])
def test_the_fit_finds_what_was_drawn(fitter, index):
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    found = fitter.fit(drawn(sersic_index=index), RMS, {**guess, "position_angle": 20.0})
    assert found["magnitude"] == pytest.approx(20.5, abs=0.02)
    assert found["effective_radius"] == pytest.approx(4.0, rel=0.02)
    assert found["sersic_index"] == pytest.approx(index, rel=0.03)
    assert found["ellipticity"] == pytest.approx(0.4, abs=0.005)
    assert found["position_angle"] == pytest.approx(30, abs=0.5)
    assert found["x_offset"] == pytest.approx(0.3, abs=0.01)


def test_masked_pixels_do_not_count(fitter):
    pixels = drawn()
    mask = np.zeros(pixels.shape, bool)
    mask[:8, :8] = True
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    guess["position_angle"] = 20.0
    clean = fitter.fit(pixels, RMS, guess, mask)
    dirty = fitter.fit(np.where(mask, 50.0, pixels), RMS, {**guess, "magnitude": 20.6}, mask)
    assert dirty["magnitude"] == pytest.approx(clean["magnitude"], abs=1e-3)


def test_noise_is_no_galaxy(fitter):
    noise = RMS * np.random.default_rng(1).standard_normal((40, 40))
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    with pytest.raises(RunError, match=r"the profile fit .*leave"):
        fitter.fit(-np.abs(noise), RMS, {**guess, "position_angle": 0.0})


def test_moments_tell_the_orientation_and_neighbours():
    pixels = drawn() + drawn(x_offset=15.0, y_offset=15.0, effective_radius=1.5)
    shape = shape_of(pixels, RMS, (0.3, -0.2), Extraction())
    assert shape.position_angle == pytest.approx(30, abs=5)
    assert shape.neighbours[34, 34]
    assert not shape.neighbours[20, 20]
