from functools import partial

import numpy as np
import pytest
from single_profiles import galaxy as single

from galadapt.config.image import FitsPsf, GaussianPsf, Image, MoffatPsf, OpticalPsf
from galadapt.core.errors import ConfigError, DataError
from galadapt.simulation.ktable import CUT, KTableRenderer, cut
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import PsfSetRenderer, make_renderer

IMAGE = Image(stamp_size=64)
PIXEL_RMS = 0.0051
#: Shows the galaxy rather than the PSF's wings.
SHARP = GaussianPsf(fwhm=0.06)


BOTH = pytest.mark.parametrize("kind", ["ktable", "galsim"])


def galaxy(**changes):
    return single(**{"effective_radius": 5.0, **changes})


def renderer(image=IMAGE, psf=None, kind="ktable"):
    return make_renderer(image, make_psf(psf or OpticalPsf(), image.pixel_scale), kind)


def moments(image):
    """Centroid and second moments (x, y, xx, yy, xy) [px]."""
    y, x = np.indices(image.shape)
    total = image.sum()
    cx, cy = (x * image).sum() / total, (y * image).sum() / total
    dx, dy = x - cx, y - cy
    second = [(a * b * image).sum() / total for a, b in ((dx, dx), (dy, dy), (dx, dy))]
    return cx, cy, *second


def error_in_sigma(drawn, truth):
    """Largest error in units of each pixel's own noise, of the sky and of the source's photons."""
    return np.abs((drawn - truth) / np.sqrt(PIXEL_RMS**2 + np.clip(truth, 0, None) / 3300)).max()


@BOTH
def test_angle_zero_points_along_y(kind):
    _, _, xx, yy, xy = moments(renderer(psf=SHARP, kind=kind).render(galaxy(position_angle=0.0)))
    assert yy > 2.5 * xx
    assert xy == pytest.approx(0, abs=0.02 * yy)


@BOTH
def test_angle_grows_counter_clockwise(kind):
    # From +y towards -x: the elongation at 30 deg has a negative xy moment.
    _, _, xx, yy, xy = moments(renderer(psf=SHARP, kind=kind).render(galaxy(position_angle=30.0)))
    angle = np.degrees(0.5 * np.arctan2(-2 * xy, yy - xx))
    assert angle == pytest.approx(30.0, abs=0.5)


@BOTH
def test_flux_follows_the_magnitude(kind):
    wide = renderer(Image(stamp_size=256), SHARP, kind)
    assert wide.render(galaxy()).sum() == pytest.approx(10 ** (-0.4 * (20 - 25.9463)), rel=2e-3)
    ratio = wide.render(galaxy(magnitude=22.5)).sum() / wide.render(galaxy()).sum()
    assert ratio == pytest.approx(0.1, rel=1e-3)


@BOTH
def test_half_the_light_is_inside_the_semi_major_ellipse(kind):
    # A PSF far smaller than the galaxy leaves the profile's own half-light ellipse.
    image = Image(stamp_size=256)
    values = galaxy(effective_radius=24.0, ellipticity=0.6, x_offset=0.3, y_offset=-0.2)
    drawn = renderer(image, SHARP, kind).render(values)
    y, x = np.indices(drawn.shape) - (image.stamp_size - 1) / 2
    # Elongated along y: the semi-major axis is y.
    radius = np.hypot((x - 0.3) / (1 - 0.6), y + 0.2)
    total = 10 ** (-0.4 * (20 - 25.9463))
    assert drawn[radius < 24.0].sum() / total == pytest.approx(0.5, abs=0.006)
    assert drawn[radius < 24.0 * np.sqrt(0.4)].sum() / total < 0.4


@BOTH
def test_centre_and_offsets(kind):
    for x_offset, y_offset in ((0.0, 0.0), (0.4, -0.3)):
        values = galaxy(ellipticity=0.3, x_offset=x_offset, y_offset=y_offset)
        cx, cy, *_ = moments(renderer(kind=kind).render(values))
        assert cx == pytest.approx(31.5 + x_offset, abs=0.01)
        assert cy == pytest.approx(31.5 + y_offset, abs=0.01)


CASES = [
    galaxy(magnitude=18.5, effective_radius=2.0, sersic_index=0.5, position_angle=77.0),
    galaxy(magnitude=19.0, effective_radius=9.0, sersic_index=2.0, ellipticity=0.85, x_offset=0.4),
    galaxy(magnitude=18.0, effective_radius=3.0, sersic_index=4.0, ellipticity=0.1, y_offset=-0.5),
    galaxy(magnitude=21.0, effective_radius=5.0, sersic_index=6.2, position_angle=140.0),
]


def worst_error(cases, image, psf):
    fast, exact = renderer(image, psf), renderer(image, psf, "galsim")
    return max(error_in_sigma(fast.render(v), exact.render(v)) for v in cases)


@pytest.mark.parametrize(
    ("side", "scale", "psf"),
    [
        (64, 0.06, OpticalPsf()),
        (64, 0.06, GaussianPsf()),
        # Power beyond the Nyquist frequency, folded onto the grid.
        (64, 0.06, MoffatPsf(beta=2.5)),
        (48, 0.13, OpticalPsf()),
        # Finer than the PSF needs.
        (90, 0.03, OpticalPsf()),
    ],
    ids=["f160w", "gaussian", "moffat", "coarse", "fine"],
)
def test_agrees_with_galsim(side, scale, psf):
    assert worst_error(CASES, Image(stamp_size=side, pixel_scale=scale), psf) < 0.05


@pytest.mark.realdata
def test_agrees_with_galsim_through_the_real_psf(galadapt_data):
    psf = FitsPsf(path=str(galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"))
    assert worst_error(CASES, IMAGE, psf) < 0.05


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


@pytest.mark.parametrize("angle", [0.0, 50.0, 90.0])
@pytest.mark.parametrize("index", [0.3, 1.0, 4.0])
def test_frequencies_left_out_are_not_missed(monkeypatch, index, angle):
    draw = KTableRenderer(IMAGE, make_psf(OpticalPsf(), IMAGE.pixel_scale))
    values = galaxy(
        sersic_index=index,
        effective_radius=30.0,
        ellipticity=0.6,
        magnitude=22.0,
        position_angle=angle,
    )
    plan = draw.plan(values)
    short, grid = draw.draw(*plan), draw.grid(plan[1])
    last_x, last_y = cut(plan[0], grid)
    assert min(last_x, last_y) < (0.7 if index < 4 else 0.95) * grid.last
    if angle == 0.0 and index < 4:
        assert last_y < last_x
    monkeypatch.setattr("galadapt.simulation.ktable.CUT", 0.0)
    assert cut(plan[0], grid) == (grid.last, grid.last)
    error = np.abs(draw.draw(*plan) - short).max()
    assert error < 2 * CUT


def test_the_correction_removes_what_folds():
    draw = KTableRenderer(IMAGE, make_psf(GaussianPsf(), IMAGE.pixel_scale))
    large = draw.galaxy(galaxy(magnitude=16.0, effective_radius=20.0, sersic_index=6.2))
    exact = draw.draw(large, 2048, True)
    plain = np.abs(draw.draw(large, 256, False) - exact).max()
    corrected = np.abs(draw.draw(large, 256, True) - exact).max()
    assert plain > PIXEL_RMS
    assert corrected < 0.03 * plain


def test_the_period_grows_with_what_the_correction_leaves():
    draw = KTableRenderer(IMAGE, make_psf(OpticalPsf(), IMAGE.pixel_scale))

    def period(**changes):
        return draw.plan(galaxy(**changes))[1]

    # The wings of a bright point, the narrow copies of a flat galaxy.
    assert period(magnitude=25.0) < period(magnitude=16.0)
    long = {"effective_radius": 20.0, "sersic_index": 3.0, "magnitude": 21.0}
    assert period(**long) < period(**long, ellipticity=0.95)
    point = galaxy(magnitude=18.0, effective_radius=1.5, sersic_index=0.5)
    short = KTableRenderer(IMAGE, make_psf(GaussianPsf(), IMAGE.pixel_scale))
    assert short.plan(point)[1] < 128 < draw.plan(point)[1]


def test_predicted_errors_of_folding_bound_the_real_ones():
    image = Image(stamp_size=128)
    draw = KTableRenderer(image, make_psf(OpticalPsf(), image.pixel_scale))
    rng = np.random.default_rng(4)
    for _ in range(60):
        values = galaxy(
            magnitude=rng.uniform(16, 27),
            effective_radius=rng.uniform(1.3, 50.2),
            sersic_index=rng.uniform(0.3, 6.2),
            ellipticity=rng.uniform(0, 0.95),
            position_angle=rng.uniform(0, 180),
        )
        plan = draw.plan(values)
        exact = draw.draw(plan[0], 1536, True)
        error = draw.draw(*plan) - exact
        # FOLDED is 1e-4 e-/s per pixel, FOLDED_FLUX 2e-3.
        assert np.abs(error).max() < 3e-4
        assert abs(error.sum()) < 2.5e-3 * plan[0].flux


@BOTH
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sersic_index": 6.21}, r"the index must lie in \[0.3, 6.2\]"),
        ({"ellipticity": 1.0}, r"the ellipticity must lie in \[0, 1\)"),
        ({"effective_radius": 0.0}, "the radius must be positive"),
        ({"magnitude": np.nan}, "a value is not finite"),
        ({"x_offset": np.inf}, "a value is not finite"),
    ],
)
def test_an_impossible_galaxy_is_one_sentence(kind, changes, problem):
    with pytest.raises(DataError, match=f"cannot be drawn: {problem}; correct it"):
        renderer(kind=kind).render(galaxy(**changes))
    with pytest.raises(DataError, match=f"galaxy 12: .*{problem}"):
        list(renderer(kind=kind).render_many([galaxy(**changes) | {"id": 12}]))


def test_memory_limits_are_sentences():
    psf = make_psf(OpticalPsf(), IMAGE.pixel_scale)
    with pytest.raises(ConfigError, match=r"simulation.memory_limit: 0.01 MiB cannot hold"):
        make_renderer(IMAGE, psf, "ktable", 0.01)
    large = galaxy(effective_radius=50.0, sersic_index=6.2, ellipticity=0.95, magnitude=16.0)
    with pytest.raises(DataError, match=r"more than 0\.4 MiB; raise simulation.memory_limit"):
        make_renderer(IMAGE, psf, "ktable", 0.4).render(large)
    with pytest.raises(DataError, match=r"needs an FFT of \d+ px, more than 10 MiB; raise"):
        make_renderer(IMAGE, psf, "galsim", 10.0).render(large)
    with pytest.raises(DataError, match="beyond the table of transforms; give a radius in pixels"):
        renderer().render(galaxy(effective_radius=3e4, magnitude=45.0))


def test_a_psf_far_finer_than_the_pixels_is_refused():
    psf = make_psf(GaussianPsf(fwhm=0.001), 1.0)
    with pytest.raises(DataError, match=r"PSF has power to .* times the Nyquist frequency"):
        make_renderer(Image(pixel_scale=1.0), psf, "ktable")


def test_a_set_of_psfs_draws_each_galaxy_through_its_own(monkeypatch):
    monkeypatch.setattr("galadapt.simulation.renderers._CHUNK_PIXELS", 3 * 64**2)
    members = [GaussianPsf(fwhm=fwhm) for fwhm in (0.12, 0.2, 0.3)]
    built = []

    def build(index):
        built.append(index)
        return make_psf(members[index], 0.06)

    psfs = [partial(build, index) for index in range(3)]
    rows = [galaxy(x_offset=0.1 * i) | {"psf_index": (2 * i) % 3} for i in range(7)]
    drawn = list(PsfSetRenderer(IMAGE, psfs, "ktable").render_many(rows))
    assert sorted(built) == [0, 1, 2]
    for row, stamp in zip(rows, drawn, strict=True):
        alone = renderer(psf=members[row["psf_index"]]).render(row)
        np.testing.assert_array_equal(stamp, alone)
    # With no memory for more than one they are prepared again, and draw the same.
    monkeypatch.setattr(KTableRenderer, "held", 2**20)
    tight = PsfSetRenderer(IMAGE, psfs, "ktable", 1.5)
    again = list(tight.render_many(rows))
    assert len(built) > 6
    assert len(tight._renderers) == 1
    np.testing.assert_array_equal(again, drawn)


def test_unknown_renderer():
    with pytest.raises(ConfigError, match="no renderer 'crayon'; use one of ktable, ktable_jax, g"):
        make_renderer(IMAGE, make_psf(GaussianPsf(), 0.06), "crayon")


def test_jax_is_asked_for_in_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    with pytest.raises(ConfigError, match="ktable_jax needs JAX, which is not installed"):
        make_renderer(IMAGE, make_psf(GaussianPsf(), 0.06), "ktable_jax")


def test_jax_draws_the_same_whatever_it_is_drawn_with():
    pytest.importorskip("jax")
    rows = [*CASES, galaxy(magnitude=16.0, effective_radius=30.0, sersic_index=5.0)]
    ours = list(renderer().render_many(rows))
    theirs = list(renderer(kind="ktable_jax").render_many(rows))
    for one, other in zip(ours, theirs, strict=True):
        assert error_in_sigma(other, one) < 0.01
    np.testing.assert_array_equal(renderer(kind="ktable_jax").render(rows[2]), theirs[2])


def test_a_psf_broader_than_the_stamp_is_drawn():
    image = Image(stamp_size=16)
    values = galaxy(effective_radius=1.0, sersic_index=0.5)
    drawn = renderer(image, GaussianPsf(fwhm=3.0)).render(values)
    # A Gaussian of 50 px: the middle of its top.
    sigma = 3.0 / 0.06 / np.sqrt(8 * np.log(2))
    expected = 10 ** (-0.4 * (20 - 25.9463)) / (2 * np.pi * sigma**2)
    assert drawn[7:9, 7:9].mean() == pytest.approx(expected, rel=0.02)
