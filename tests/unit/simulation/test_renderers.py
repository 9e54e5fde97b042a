import galsim
import numpy as np
import pytest

from galadapt.config import FitsPsf, GaussianPsf, Image, OpticalPsf
from galadapt.errors import ConfigError, DataError
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import GalsimRenderer, make_renderer

IMAGE = Image(stamp_size=64)
#: The oracle's settings; its FFTs grow large, so the galaxies below stay moderate.
ORACLE = galsim.GSParams(
    kvalue_accuracy=1e-6, maxk_threshold=1e-5, folding_threshold=2e-3, maximum_fft_size=16384
)
PIXEL_RMS = 0.0051
#: Shows the galaxy rather than the PSF's wings.
SHARP = GaussianPsf(fwhm=0.06)


def galaxy(**changes):
    values = {
        "magnitude": 20.0,
        "effective_radius": 5.0,
        "sersic_index": 1.0,
        "ellipticity": 0.5,
        "position_angle": 0.0,
        "x_offset": 0.0,
        "y_offset": 0.0,
    }
    return values | changes


def renderer(image=IMAGE, psf=None):
    return make_renderer(image, make_psf(psf or OpticalPsf(), image.pixel_scale), "galsim")


def moments(image):
    """Centroid and second moments (x, y, xx, yy, xy) [px]."""
    y, x = np.indices(image.shape)
    total = image.sum()
    cx, cy = (x * image).sum() / total, (y * image).sum() / total
    dx, dy = x - cx, y - cy
    second = [(a * b * image).sum() / total for a, b in ((dx, dx), (dy, dy), (dx, dy))]
    return cx, cy, *second


def reference(values, image, psf):
    q = 1 - values["ellipticity"]
    profile = galsim.Sersic(
        n=values["sersic_index"],
        half_light_radius=values["effective_radius"] * image.pixel_scale * np.sqrt(q),
        flux=10 ** (-0.4 * (values["magnitude"] - image.zero_point)),
        gsparams=ORACLE,
    ).shear(q=q, beta=(90 + values["position_angle"]) * galsim.degrees)
    both = galsim.Convolve(profile, psf, gsparams=ORACLE, propagate_gsparams=False)
    side = image.stamp_size
    drawn = both.drawImage(
        nx=side,
        ny=side,
        scale=image.pixel_scale,
        method="no_pixel",
        offset=(values["x_offset"], values["y_offset"]),
        dtype=float,
    )
    return drawn.array


def error_in_sigma(drawn, truth):
    """Largest error in units of each pixel's own noise, of the sky and of the source's photons."""
    return np.abs((drawn - truth) / np.sqrt(PIXEL_RMS**2 + np.clip(truth, 0, None) / 3300)).max()


def test_angle_zero_points_along_y():
    _, _, xx, yy, xy = moments(renderer(psf=SHARP).render(galaxy(position_angle=0.0)))
    assert yy > 2.5 * xx
    assert xy == pytest.approx(0, abs=0.02 * yy)


def test_angle_grows_counter_clockwise():
    # From +y towards -x: the elongation at 30 deg has a negative xy moment.
    _, _, xx, yy, xy = moments(renderer(psf=SHARP).render(galaxy(position_angle=30.0)))
    angle = np.degrees(0.5 * np.arctan2(-2 * xy, yy - xx))
    assert angle == pytest.approx(30.0, abs=0.5)


def test_flux_follows_the_magnitude():
    wide = renderer(Image(stamp_size=256), SHARP)
    assert wide.render(galaxy()).sum() == pytest.approx(10 ** (-0.4 * (20 - 25.9463)), rel=2e-3)
    ratio = wide.render(galaxy(magnitude=22.5)).sum() / wide.render(galaxy()).sum()
    assert ratio == pytest.approx(0.1, rel=1e-3)


def test_half_the_light_is_inside_the_semi_major_ellipse():
    # A PSF far smaller than the galaxy leaves the profile's own half-light ellipse.
    image = Image(stamp_size=256)
    values = galaxy(effective_radius=24.0, ellipticity=0.6, x_offset=0.3, y_offset=-0.2)
    drawn = renderer(image, SHARP).render(values)
    y, x = np.indices(drawn.shape) - (image.stamp_size - 1) / 2
    # Elongated along y: the semi-major axis is y.
    radius = np.hypot((x - 0.3) / (1 - 0.6), y + 0.2)
    total = 10 ** (-0.4 * (20 - 25.9463))
    assert drawn[radius < 24.0].sum() / total == pytest.approx(0.5, abs=0.006)
    assert drawn[radius < 24.0 * np.sqrt(0.4)].sum() / total < 0.4


def test_centre_and_offsets():
    for x_offset, y_offset in ((0.0, 0.0), (0.4, -0.3)):
        values = galaxy(ellipticity=0.3, x_offset=x_offset, y_offset=y_offset)
        cx, cy, *_ = moments(renderer().render(values))
        assert cx == pytest.approx(31.5 + x_offset, abs=0.01)
        assert cy == pytest.approx(31.5 + y_offset, abs=0.01)


CASES = [
    galaxy(magnitude=18.5, effective_radius=2.0, sersic_index=0.5, position_angle=77.0),
    galaxy(magnitude=19.0, effective_radius=9.0, sersic_index=2.0, ellipticity=0.85, x_offset=0.4),
    galaxy(magnitude=18.0, effective_radius=3.0, sersic_index=4.0, ellipticity=0.1, y_offset=-0.5),
    galaxy(magnitude=21.0, effective_radius=5.0, sersic_index=6.2, position_angle=140.0),
]


@pytest.mark.parametrize("values", CASES, ids=lambda v: f"n{v['sersic_index']}")
@pytest.mark.parametrize("settings", [OpticalPsf(), GaussianPsf()], ids=lambda s: s.kind)
def test_agrees_with_galsim_itself(values, settings):
    psf = make_psf(settings, IMAGE.pixel_scale)
    assert (
        error_in_sigma(renderer(psf=settings).render(values), reference(values, IMAGE, psf)) < 0.02
    )


@pytest.mark.realdata
@pytest.mark.parametrize("values", CASES[:3], ids=lambda v: f"n{v['sersic_index']}")
def test_agrees_with_galsim_through_the_real_psf(values, galadapt_data):
    # This PSF has power at the Nyquist frequency itself, where two grids cannot agree exactly.
    settings = FitsPsf(path=str(galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"))
    psf = make_psf(settings, IMAGE.pixel_scale)
    assert (
        error_in_sigma(renderer(psf=settings).render(values), reference(values, IMAGE, psf)) < 0.15
    )


@pytest.mark.realdata
def test_a_point_like_galaxy_is_the_real_psf(galadapt_data):
    from astropy.io import fits

    path = galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"
    truth = fits.getdata(path)
    # Odd image: the PSF's pixel grid falls on the stamp's when the centre moves half a pixel.
    values = galaxy(
        effective_radius=0.02, ellipticity=0.0, sersic_index=0.5, x_offset=0.5, y_offset=0.5
    )
    drawn = renderer(psf=FitsPsf(path=str(path))).render(values)
    drawn /= 10 ** (-0.4 * (20 - 25.9463))
    middle = truth.shape[0] // 2
    cut = truth[middle - 31 : middle + 32, middle - 31 : middle + 32]
    np.testing.assert_allclose(drawn[1:, 1:], cut / truth.sum(), atol=0.001 * cut.max())


def test_order_does_not_change_a_byte():
    forward, backward = renderer(), renderer()
    first = [forward.render(values) for values in CASES]
    second = [backward.render(values) for values in reversed(CASES)][::-1]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bright_large_galaxies_get_a_longer_period():
    draw = GalsimRenderer(IMAGE, make_psf(OpticalPsf(), IMAGE.pixel_scale))
    large = galaxy(magnitude=18.0, effective_radius=12.0, sersic_index=6.2)
    stamp = draw.render(large)
    # Folding adds light everywhere: a twice longer period must change nothing that matters.
    period = draw._period(10 ** (-0.4 * (18.0 - IMAGE.zero_point)), large)
    assert period > 512
    draw._period = lambda *_: 2 * period
    assert np.abs(draw.render(large) - stamp).max() < 0.05 * PIXEL_RMS
    draw._period = lambda *_: 256
    assert np.abs(draw.render(large) - stamp).max() > 0.05 * PIXEL_RMS


def test_the_psfs_own_wings_lengthen_the_period():
    compact = galaxy(effective_radius=1.5, sersic_index=0.5)
    draw = GalsimRenderer(IMAGE, make_psf(OpticalPsf(), IMAGE.pixel_scale))
    assert draw._period(1500.0, compact) > draw._period(1.0, compact) == 256
    short = GalsimRenderer(IMAGE, make_psf(GaussianPsf(), IMAGE.pixel_scale))
    assert short._period(1500.0, compact) == 256


def test_an_impossible_galaxy_is_one_sentence():
    with pytest.raises(DataError, match=r"sersic_index 20.* cannot be drawn .*narrow simulation"):
        renderer().render(galaxy(sersic_index=20.0))
    with pytest.raises(DataError, match="ellipticity 1 cannot be drawn"):
        renderer().render(galaxy(ellipticity=1.0))


def test_unknown_renderer():
    with pytest.raises(ConfigError, match="no renderer 'crayon'; use one of galsim"):
        make_renderer(IMAGE, make_psf(GaussianPsf(), 0.06), "crayon")
