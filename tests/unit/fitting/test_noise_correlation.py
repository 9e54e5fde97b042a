"""The correlation of noise is found in images with sources."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.fitting.noise import correlation_of, gain_of_sums
from galadapt.simulation.noise import NoiseLevels, add_noise, correlation


def image(drop: float, sources: int = 40, side: int = 400) -> np.ndarray:
    rng = np.random.default_rng(4)
    rows, columns = np.indices((side, side))
    light = 0.01 * columns / side
    for x, y in rng.uniform(0, side, (sources, 2)):
        radius = np.hypot(columns - x, rows - y)
        light = light + rng.uniform(0.05, 3) * np.exp(-radius / 3)
    return add_noise(light, NoiseLevels(0.01, 1e9, drop, False), rng)


@pytest.mark.parametrize("drop", [0.0, 0.8, 1.7])
def test_it_is_that_of_the_simulation(drop):
    data = image(drop)
    found = correlation_of(data, np.ones(data.shape, bool))
    np.testing.assert_allclose(found, correlation(drop, np.arange(4)), atol=0.05)


@pytest.mark.parametrize("drop", [0.0, 1.7])
def test_wings_of_large_galaxies_are_no_noise(drop):
    rng = np.random.default_rng(5)
    rows, columns = np.indices((128, 128)) - 63.5
    stamps = []
    for size in rng.uniform(3, 30, 24):
        light = 0.3 * np.exp(-np.hypot(rows, columns) / size)
        stamps.append(add_noise(light, NoiseLevels(0.01, 1e9, drop, False), rng))
    data = np.concatenate(stamps)
    found = correlation_of(data, np.ones(data.shape, bool))
    np.testing.assert_allclose(found, correlation(drop, np.arange(4)), atol=0.03)


def test_pixels_that_are_not_usable_do_not_count():
    data, good = image(1.7), np.ones((400, 400), bool)
    good[:, 100:180] = False
    data[~good] = np.nan
    found = correlation_of(data, good)
    np.testing.assert_allclose(found, correlation(1.7, np.arange(4)), atol=0.05)


@pytest.mark.parametrize("drop", [0.0, 1.7])
@pytest.mark.parametrize("factor", [2, 3])
def test_the_noise_of_sums_is_what_the_correlation_says(drop, factor):
    rng, side = np.random.default_rng(6), 600
    noise = add_noise(np.zeros((side, side)), NoiseLevels(0.01, 1e9, drop, False), rng)
    count = side // factor
    sums = noise.reshape(count, factor, count, factor).sum(axis=(1, 3))
    uncorrelated = factor * noise.std()
    gain = gain_of_sums(correlation(drop, np.arange(4)), factor)
    assert sums.std() / uncorrelated == pytest.approx(gain, rel=0.02)
    assert (gain == 1) == (drop == 0)


def test_without_empty_pixels_there_is_none():
    assert correlation_of(np.zeros((200, 200)), np.ones((200, 200), bool)) is None
    assert correlation_of(np.ones((20, 20)), np.ones((20, 20), bool)) is None
    assert correlation_of(image(0.0), np.zeros((400, 400), bool)) is None
