import numpy as np
import pytest

from galadapt.config.simulation import Noise
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


@pytest.mark.parametrize("drop", [0.0, 0.5, 1.0, 1.712, 2.0, 2.14, 4.0, 8.0])
def test_kernel_realises_the_correlation_exactly(drop):
    taps = kernel(drop).astype(float)
    assert (taps**2).sum() == pytest.approx(1, abs=1e-5)
    lags = np.arange(len(taps) + 1)
    own = [np.dot(taps[lag:], taps[: len(taps) - lag]) for lag in lags]
    np.testing.assert_allclose(own, correlation(drop, lags), atol=1e-5)


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
    assert [level.pixel_rms for level in levels] == [0.0051, 0.0024, 0.00051]
    assert levels[2].exposure_time > 10 * levels[1].exposure_time
    for level in levels:
        noise = add_noise(np.zeros((128, 128)), level, rng())
        assert noise.std() == pytest.approx(level.pixel_rms, rel=0.05)


def test_rms_follows_a_bright_source_pixel_by_pixel():
    levels = NoiseLevels(pixel_rms=0.001, exposure_time=100.0, drop=1.712, source_poisson=True)
    image = np.zeros((24, 24))
    image[12, 12] = 9.0
    noise = np.stack([add_noise(image, levels, rng(k)) - image for k in range(800)])
    expected = np.sqrt(0.001**2 + image / 100)
    np.testing.assert_allclose(noise.std(axis=0), expected, rtol=0.13)


def test_float32_stays_float32_and_float64_keeps_its_digits():
    levels = resolve(Noise())
    image = np.full((20, 20), 1 / 3)
    single, double = (add_noise(image.astype(t), levels, rng()) for t in (np.float32, np.float64))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, atol=1e-7)
    counts = add_noise(np.ones((20, 20), int), levels, rng())
    assert counts.dtype == np.float64
