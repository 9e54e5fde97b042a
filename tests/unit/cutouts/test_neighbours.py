"""Whose light is whose, and what stamps look like without neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from galadapt.cutouts import neighbours as around

SIDE = 64


def _gaussian(x, y, flux, sigma=2.5):
    rows, columns = np.indices((SIDE, SIDE))
    shape = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)
    return flux * shape / (2 * np.pi * sigma**2)


def _noise(seed=0, correlated=True):
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE))
    noise = gaussian_filter(noise, 0.6) if correlated else noise
    return noise / noise.std()


def _lag(image, where):
    pairs = where[1:] & where[:-1]
    return np.corrcoef(image[1:][pairs], image[:-1][pairs])[0, 1]


def test_turning_puts_each_pixel_opposite():
    image = np.arange(36.0).reshape(6, 6)
    turned = around.turned(image, (2.0, 3.0), -1.0)
    for y in range(6):
        for x in range(6):
            inside = 0 <= 4 - x < 6 and 0 <= 6 - y < 6
            assert turned[y, x] == (image[6 - y, 4 - x] if inside else -1)


def test_light_without_a_counterpart_is_blended():
    light = _gaussian(31.5, 31.5, 500) + _gaussian(39.5, 31.5, 500)
    blended = around.blended_pixels(light, light > 0.5, (31.5, 31.5), 0.1)
    assert blended[31, 40] and not blended[31, 31] and not blended[31, 24]


def test_a_blend_is_cut_between_its_parts():
    light = _gaussian(31.5, 31.5, 500) + _gaussian(40.5, 31.5, 500) + 0.01 * _noise()
    own = around.deblended(light, light > 0.5, (31.5, 31.5), 5)
    assert own[31, 31] and own[31, 28] and not own[31, 40]


def test_a_segment_the_stamp_cuts_in_two_is_deblended():
    light = _gaussian(31.5, 31.5, 500) + _gaussian(38.5, 31.5, 300) + _gaussian(5, 5, 500)
    own = around.deblended(light, light > 0.5, (31.5, 31.5), 5)
    assert own[31, 31] and not own[5, 5]


def _without(pixels, own, others, empty, key=(7, 9), rms=1.0):
    return around.without_neighbours(pixels, own, others, empty, (31.5, 31.5), rms, key)


def test_a_neighbour_becomes_the_other_side():
    galaxy = _gaussian(31.5, 31.5, 5000, sigma=8)
    other = _gaussian(44.5, 31.5, 2000)
    pixels = galaxy + other
    own = np.hypot(*(np.indices((SIDE, SIDE)) - 31.5)) < 8
    cleaned = _without(pixels, own, other > 0.2, np.zeros((SIDE, SIDE), bool))
    assert pixels[31, 44] - galaxy[31, 44] > 40
    assert cleaned[31, 44] == pytest.approx(galaxy[31, 44], abs=0.01)
    # Nothing but the neighbour has changed.
    far = np.indices((SIDE, SIDE))[1] < 32
    np.testing.assert_array_equal(cleaned[far], pixels.astype(np.float32)[far])


def test_where_both_sides_are_taken_comes_noise_like_the_stamps():
    pixels = _noise()
    others = np.zeros((SIDE, SIDE), bool)
    others[4:28, 4:60] = others[36:60, 4:60] = True
    own = np.zeros((SIDE, SIDE), bool)
    empty = np.ones((SIDE, SIDE), bool)
    pixels[others] += 0
    cleaned = _without(np.where(others, pixels + 1e3, pixels), own, others, empty & ~others)
    filled = cleaned[others]
    assert abs(filled.mean()) < 0.2
    assert filled.std() == pytest.approx(1, rel=0.1)
    assert _lag(cleaned, others) == pytest.approx(_lag(pixels, empty), abs=0.12)


def test_uncorrelated_noise_stays_uncorrelated():
    pixels, others = _noise(correlated=False), np.zeros((SIDE, SIDE), bool)
    others[4:28, 4:60] = others[36:60, 4:60] = True
    cleaned = _without(pixels, np.zeros((SIDE, SIDE), bool), others, ~others)
    assert abs(_lag(cleaned, others)) < 0.12


def test_the_noise_depends_on_the_place_alone():
    pixels, others = _noise(), np.ones((SIDE, SIDE), bool)
    nothing = np.zeros((SIDE, SIDE), bool)
    first = _without(pixels, nothing, others, nothing)
    np.testing.assert_array_equal(_without(pixels, nothing, others, nothing), first)
    assert (_without(pixels, nothing, others, nothing, key=(7, 10)) != first).all()


def test_a_stamp_without_neighbours_is_left_as_it_is():
    pixels, nothing = _noise(), np.zeros((SIDE, SIDE), bool)
    assert _without(pixels, nothing, nothing, ~nothing) is pixels
