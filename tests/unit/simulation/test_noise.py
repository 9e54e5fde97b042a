import numpy as np
import pytest

from galadapt.config import Noise
from galadapt.simulation.noise import NoiseLevels, add_noise, correlation, kernel, resolve


def rng(seed=1):
    return np.random.default_rng(seed)


def lag_correlation(image, lag, axis):
    a = np.moveaxis(image, axis, 0)
    return (a[lag:] * a[:-lag]).mean() / (a**2).mean()


def test_depths_and_overrides():
    wide, deep = resolve(Noise()), resolve(Noise(depth="deep"))
    assert (wide.pixel_rms, deep.pixel_rms) == (0.0051, 0.0024)
    assert deep.exposure_time > wide.exposure_time
    own = resolve(Noise(pixel_rms=0.01, exposure_time=500, pixfrac=0.5, source_poisson=False))
    assert own == NoiseLevels(0.01, 500, 0.5 * Noise().detector_pixel, False)


def test_none_draws_nothing():
    image = np.arange(16.0).reshape(4, 4)
    out = add_noise(image, resolve(Noise(depth="none")), rng())
    np.testing.assert_array_equal(out, image)
    assert out is not image


def test_correlation_is_the_convolution_of_the_boxes():
    # Brute force on a fine grid: autocorrelation of box(drop) * box(1).
    drop, fine = 1.712, 500
    box = np.convolve(np.ones(round(drop * fine)), np.ones(fine))
    covariance = np.correlate(box, box, "full")
    middle = len(covariance) // 2
    expected = covariance[middle + fine * np.arange(3)] / covariance[middle]
    np.testing.assert_allclose(correlation(drop, np.arange(3)), expected, atol=2e-3)
    assert correlation(drop, np.array([drop + 1.01]))[0] == pytest.approx(0, abs=1e-9)


def test_default_lag_one_is_the_measured_value():
    drop = resolve(Noise()).drop
    assert correlation(drop, np.array([1.0]))[0] == pytest.approx(0.52, abs=0.005)


@pytest.mark.parametrize("drop", [0.0, 0.5, 1.0, 1.712, 2.14, 4.0])
def test_kernel_realises_the_correlation(drop):
    taps = kernel(drop)
    assert (taps**2).sum() == pytest.approx(1)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-12)
    lags = np.arange(4)
    own = [np.dot(taps[lag:], taps[: len(taps) - lag]) for lag in lags]
    np.testing.assert_allclose(own, correlation(drop, lags), atol=0.005)


def test_noise_of_an_empty_image():
    levels = resolve(Noise())
    noise = add_noise(np.zeros((600, 600)), levels, rng())
    assert noise.std() == pytest.approx(levels.pixel_rms, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.03 * levels.pixel_rms)
    expected = correlation(levels.drop, np.arange(4))
    for axis in (0, 1):
        for lag in (1, 2, 3):
            assert lag_correlation(noise, lag, axis) == pytest.approx(expected[lag], abs=0.02)


def test_edges_are_as_noisy_as_the_middle():
    levels = resolve(Noise())
    stamps = np.stack([add_noise(np.zeros((16, 16)), levels, rng(k)) for k in range(800)])
    rms = stamps.std(axis=0)
    np.testing.assert_allclose(rms, levels.pixel_rms, rtol=0.12)


def test_source_noise_is_added_and_correlated():
    levels = NoiseLevels(pixel_rms=0.001, exposure_time=100.0, drop=1.712, source_poisson=True)
    noise = add_noise(np.full((500, 500), 4.0), levels, rng()) - 4.0
    assert noise.std() == pytest.approx(np.sqrt(0.001**2 + 4.0 / 100), rel=0.02)
    assert lag_correlation(noise, 1, 0) == pytest.approx(0.518, abs=0.02)
    silent = NoiseLevels(0.001, 100.0, 1.712, False)
    assert (add_noise(np.full((500, 500), 4.0), silent, rng()) - 4.0).std() < 0.0011


def test_negative_flux_has_no_photon_noise():
    levels = NoiseLevels(0.001, 1.0, 0.0, True)
    noise = add_noise(np.full((200, 200), -5.0), levels, rng()) + 5.0
    assert noise.std() == pytest.approx(0.001, rel=0.03)


def test_rms_map_replaces_the_typical_rms():
    rms = np.full((300, 300), 0.002)
    rms[:, 150:] = 0.008
    noise = add_noise(np.zeros((300, 300)), resolve(Noise()), rng(), rms_map=rms)
    assert noise[:, :140].std() == pytest.approx(0.002, rel=0.04)
    assert noise[:, 160:].std() == pytest.approx(0.008, rel=0.04)


def test_same_stream_same_noise():
    image, levels = np.ones((20, 20)), resolve(Noise())
    first = add_noise(image, levels, rng(4))
    np.testing.assert_array_equal(first, add_noise(image, levels, rng(4)))
    assert (first != add_noise(image, levels, rng(5))).all()


def test_ultradeep_is_deeper_and_three_depths_differ_in_one_image():
    levels = [resolve(Noise(depth=depth)) for depth in ("wide", "deep", "ultradeep")]
    assert [level.pixel_rms for level in levels] == [0.0051, 0.0024, 0.00054]
    assert levels[2].exposure_time > 10 * levels[1].exposure_time
    for level in levels:
        noise = add_noise(np.zeros((128, 128)), level, rng())
        assert noise.std() == pytest.approx(level.pixel_rms, rel=0.05)


def test_stamps_and_mosaics_are_filtered_alike(monkeypatch):
    levels = resolve(Noise())
    image = np.full((40, 56), 0.3)
    by_matrix = add_noise(image, levels, rng())
    monkeypatch.setattr("galadapt.simulation.noise._MATRIX_SIDE", 0)
    by_filter = add_noise(image, levels, rng())
    np.testing.assert_allclose(by_matrix, by_filter, atol=1e-6)
