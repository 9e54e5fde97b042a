"""Profiles and their derivatives, against another renderer and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sersic_galaxies import GALAXIES, PSF, SIDE, drawn, theta_of

from galadapt.fitting.profiles import TAPS, Window, inner_of, outer_of


def halved(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, 1, mode="edge")
    rows = sum(tap * padded[k : k + SIDE : 2] for k, tap in enumerate(TAPS))
    return sum(tap * rows[:, k : k + SIDE : 2] for k, tap in enumerate(TAPS))


def inside(window: Window, theta: np.ndarray) -> np.ndarray:
    inner, factor = inner_of(theta), window.factor
    first = (SIDE // factor - window.side) // 2 * factor
    inner[:, 1] -= math.log(factor)
    inner[:, 5:7] = (inner[:, 5:7] + (SIDE - 1) / 2 - first - (factor - 1) / 2) / factor
    return inner


@pytest.fixture(scope="module")
def windows() -> dict[int, Window]:
    return {factor: Window(PSF, 64, factor) for factor in (1, 2)}


@pytest.mark.parametrize("galaxy", GALAXIES)
def test_the_image_is_that_of_other_renderers(windows, galaxy):
    factor = 1 if galaxy[1] < 5 else 2
    image = windows[factor].draw(inside(windows[factor], theta_of(*galaxy)))[0, 0]
    expected = drawn(*galaxy)
    expected = halved(expected) if factor == 2 else expected[32:96, 32:96]
    # At the stamp's edge the filter of the decimation has no neighbours.
    inner = np.s_[1:-1, 1:-1]
    assert np.abs(image - expected)[inner].max() < 3e-4 * expected.max()
    assert abs((image - expected)[inner].sum()) * factor**2 < 3e-3 * galaxy[0]


@pytest.mark.parametrize("galaxy", GALAXIES)
def test_derivatives_are_those_of_finite_differences(windows, galaxy):
    window = windows[1 if galaxy[1] < 5 else 2]
    inner = inside(window, theta_of(*galaxy))
    slopes = window.draw(inner)[0]
    for number in range(7):
        step = np.zeros((2, 7))
        step[:, number] = 1e-3, -1e-3
        up, down = window.draw(inner + step)[:, 0].astype(float)
        numeric = (up - down) / 2e-3
        assert np.abs(slopes[number] - numeric).max() < 2e-3 * np.abs(numeric).max()


def test_a_round_galaxy_is_no_special_case(windows):
    inner = inside(windows[1], theta_of(100.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    slopes = windows[1].draw(inner)[0]
    step = np.zeros((2, 7))
    step[:, 3] = 1e-2, -1e-2
    up, down = windows[1].draw(inner + step)[:, 0].astype(float)
    assert np.abs(slopes[3] - (up - down) / 2e-2).max() < 2e-3 * np.abs(slopes[3]).max()


def test_parameters_turn_into_inner_ones_and_back():
    theta = np.concatenate([theta_of(*galaxy) for galaxy in GALAXIES])
    back, slopes = outer_of(inner_of(theta))
    np.testing.assert_allclose(back, theta, atol=1e-12)
    for number in range(7):
        step = np.zeros(7)
        step[number] = 1e-6
        numeric = (outer_of(inner_of(theta) + step)[0] - outer_of(inner_of(theta) - step)[0]) / 2e-6
        np.testing.assert_allclose(slopes[:, :, number], numeric, atol=1e-6)
