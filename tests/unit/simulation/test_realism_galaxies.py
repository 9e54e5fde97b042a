"""Composite galaxies, knots, arms and neighbours, each drawn and measured."""

import galsim
import numpy as np
import pandas as pd
import pytest
from scipy.signal import fftconvolve
from single_profiles import fixed, rng
from single_profiles import galaxy as single

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.realism import BulgeDisc, Clumps, Neighbours, Spiral, Strength
from galadapt.config.simulation import Noise
from galadapt.simulation.noise import resolve
from galadapt.simulation.psf import make_psf
from galadapt.simulation.realism import galaxies
from galadapt.simulation.realism.instrument import PsfShape
from galadapt.simulation.renderers import make_renderer

IMAGE = Image(stamp_size=64)
PSF = make_psf(GaussianPsf(fwhm=0.19), IMAGE.pixel_scale)
LEVELS = resolve(Noise())


def galaxy(**changes):
    return single(**{"ellipticity": 0.4, "position_angle": 30.0, **changes})


def flux(components):
    return sum(10 ** (-0.4 * part["magnitude"]) for part in components)


def composed(settings, count=64, start=0, **changes):
    table = pd.DataFrame([galaxy(**changes)] * count)
    return galaxies.compose(table, settings, IMAGE, LEVELS, 1.36, 7, start)


# --- bulge and disc


def test_probability_is_the_share_of_composites():
    assert (composed(BulgeDisc(probability=0.0))["bulge_fraction"] == 0).all()
    share = (composed(BulgeDisc(probability=0.5), 256)["bulge_fraction"] > 0).mean()
    assert share == pytest.approx(0.5, abs=0.1)


def test_single_galaxies_keep_their_labels():
    table = composed(BulgeDisc(probability=0.5), sersic_index=3.3)
    single = table[table["bulge_fraction"] == 0]
    assert (single["sersic_index"] == 3.3).all()
    assert (single["magnitude"] == 20.0).all()
    assert (single[["bulge_radius", "disc_radius"]] == 0).all(axis=None)


def test_composites_keep_flux_and_half_light_radius():
    table = composed(BulgeDisc(probability=1.0, bulge_index=Strength(low=1.5, high=3.0)))
    assert (table["bulge_fraction"] > 0).all()
    row = table.iloc[0].to_dict()
    parts, has_disc = galaxies.smooth_components(row)
    assert has_disc
    assert parts[0]["sersic_index"] == 1.0
    assert flux(parts) == pytest.approx(10 ** (-0.4 * 20.0))
    fractions = np.array([[row["bulge_fraction"], 1 - row["bulge_fraction"]]])
    radii = np.array([[row["bulge_radius"], row["disc_radius"]]])
    half = galaxies.half_light_radius(fractions, radii, np.array([[row["bulge_index"], 1.0]]))
    assert half[0] == pytest.approx(6.0, abs=1e-6)


def test_label_is_the_single_profile_that_fits_the_image():
    """The drawn composite minus its label's profile leaves little; minus an exponential, a lot."""
    settings = BulgeDisc(probability=1.0, bulge_fraction=fixed(0.4), bulge_index=fixed(3.0))
    row = composed(settings, 1, effective_radius=5.0).iloc[0].to_dict()
    assert 1.2 < row["sersic_index"] < 4.0
    draw = make_renderer(IMAGE, PSF, "galsim").render
    image = sum(draw(part) for part in galaxies.smooth_components(row)[0])
    sigma = np.sqrt(LEVELS.pixel_rms**2 + image / LEVELS.exposure_time)

    def chi(**changes):
        return (((draw({**row, **changes}) - image) / sigma) ** 2).sum()

    best = chi()
    assert best < 0.1 * chi(sersic_index=1.0)
    for name, step in (("sersic_index", 1.15), ("effective_radius", 1.08)):
        for factor in (step, 1 / step):
            assert best < chi(**{name: row[name] * factor})


def test_no_bulge_no_change():
    """A vanishing bulge leaves the exponential disc, whose label is itself."""
    table = composed(BulgeDisc(probability=1.0, bulge_fraction=Strength(low=0, high=1e-6)), 1)
    assert table["sersic_index"][0] == pytest.approx(1.0, abs=1e-3)
    assert table["effective_radius"][0] == pytest.approx(6.0, abs=1e-3)
    assert table["magnitude"][0] == pytest.approx(20.0, abs=1e-3)


def test_labels_stay_where_a_renderer_can_draw():
    settings = BulgeDisc(
        probability=1.0,
        bulge_fraction=Strength(low=0.5, high=0.9),
        bulge_index=Strength(low=5.0, high=6.2),
        bulge_radius=Strength(low=0.1, high=1.0),
    )
    table = composed(settings, 128)
    assert table["sersic_index"].between(0.3, 6.2).all()
    # Some fits wanted more than 6.2: those stayed single.
    assert 0 < (table["bulge_fraction"] == 0).sum() < 128


# --- knots


def test_knots_share_the_light_and_follow_the_disc():
    disc = galaxy(ellipticity=0.7, position_angle=0.0)
    settings = Clumps(fraction=fixed(0.3), count=8)
    positions = []
    for seed in range(150):
        parts = galaxies.knots(disc, settings, rng(seed))
        assert 2 <= len(parts) <= 9
        assert flux(parts) == pytest.approx(flux([disc]))
        assert flux(parts[1:]) == pytest.approx(0.3 * flux([disc]))
        positions += [(part["x_offset"], part["y_offset"]) for part in parts[1:]]
    x, y = np.array(positions).T
    # Angle 0 is +y; the disc is flattened to b/a = 0.3 along x.
    assert x.std() / y.std() == pytest.approx(0.3, rel=0.12)
    inside = (np.hypot(x / 0.3, y) < disc["effective_radius"]).mean()
    # Half of the light is inside; knots stop at 90 % of it.
    assert inside == pytest.approx(0.5 / 0.9, abs=0.05)


# --- arms


def arms(disc, amplitude=0.6, seed=3, pitch=20.0, damping=None):
    shape = PsfShape.of(PSF, IMAGE.pixel_scale)
    settings = Spiral(amplitude=fixed(amplitude), pitch=fixed(pitch), max_arms=2)
    return galaxies.spiral_arms(disc, settings, 64, damping or shape.damping, rng(seed))


def test_arms_move_light_and_keep_flux():
    draw = make_renderer(Image(stamp_size=64), PSF, "galsim").render
    for seed in range(4):
        disc = galaxy()
        image = draw(disc)
        factor = arms(disc, seed=seed)
        assert factor.min() >= 0.4
        assert np.ptp(factor) > 0.6
        assert (image * factor).sum() == pytest.approx(image.sum(), rel=0.01)


def test_the_centre_is_too_fine_for_the_psf():
    factor = arms(galaxy())
    assert np.abs(factor[31:33, 31:33] - 1).max() < 0.02


def test_two_arms_have_two_fold_symmetry():
    factor = arms(galaxy())
    np.testing.assert_allclose(factor, factor[::-1, ::-1], atol=1e-9)


def test_multiplying_after_the_psf_equals_convolving_the_modulated_disc():
    disc = galaxy(effective_radius=9.0, ellipticity=0.3)
    drawn = make_renderer(IMAGE, PSF, "galsim").render(disc)
    ours = drawn * arms(disc)
    # The same on a grid four times finer, modulated first and convolved then.
    fine = Image(stamp_size=256, pixel_scale=0.015)
    point = make_psf(GaussianPsf(fwhm=0.02), 0.015)
    scaled = {**disc, "effective_radius": 36.0}
    sharp = make_renderer(fine, point, "galsim").render(scaled)
    settings = Spiral(amplitude=fixed(0.6), pitch=fixed(20.0), max_arms=2)
    sharp = sharp * galaxies.spiral_arms(scaled, settings, 256, np.ones_like, rng(3))
    kernel = PSF.drawImage(nx=121, ny=121, scale=0.015, method="no_pixel", dtype=float).array
    blurred = fftconvolve(sharp, kernel / kernel.sum(), mode="same")
    # The kernel holds the pixel: sample at the middles of the coarse pixels.
    exact = blurred.reshape(64, 4, 64, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3)) * 16
    radius = np.hypot(*(np.indices((64, 64)) - 31.5))
    for inner, outer in ((5, 8), (8, 20)):
        ring = (radius >= inner) & (radius < outer)
        pattern, truth = (ours / drawn - 1)[ring], (exact / drawn - 1)[ring]
        assert np.corrcoef(pattern, truth)[0, 1] > 0.97
        assert pattern.std() == pytest.approx(truth.std(), rel=0.05)
    # Undamped, the middle would hold arms that the PSF cannot show.
    ring = (radius >= 1.5) & (radius < 5)
    sharp_factor = arms(disc, damping=np.ones_like)
    assert (exact / drawn)[ring].std() < 0.25 * sharp_factor[ring].std()
    assert (ours / drawn)[ring].std() < 0.25 * sharp_factor[ring].std()


# --- neighbours


def test_neighbours_have_the_density_and_the_counts():
    settings = Neighbours(density=fixed(100.0), min_separation=0.0)
    area = ((64 + 32) * 0.06 / 60) ** 2
    drawn = [galaxies.neighbours(galaxy(), settings, IMAGE, rng(seed)) for seed in range(1500)]
    counts = np.array([len(found) for found in drawn])
    assert counts.mean() == pytest.approx(100 * area, rel=0.08)
    assert counts.var() == pytest.approx(counts.mean(), rel=0.15)
    everything = pd.DataFrame([one for found in drawn for one in found])
    assert everything["magnitude"].between(19, 25.5).all()
    # One magnitude below the limit the counts are 10^-0.27 of the total.
    assert (everything["magnitude"] < 24.5).mean() == pytest.approx(10**-0.27, abs=0.05)
    assert everything["x_offset"].abs().max() <= 48
    assert everything["sersic_index"].between(0.3, 6.2).all()
    at_23 = everything[everything["magnitude"].between(22, 24)]
    assert at_23["effective_radius"].median() * 0.06 == pytest.approx(0.34, rel=0.15)


def test_no_neighbour_within_the_blending_radius():
    settings = Neighbours(density=Strength(low=2000, high=3000), min_separation=1.0)
    row = galaxy(x_offset=0.4)
    found = pd.DataFrame(galaxies.neighbours(row, settings, IMAGE, rng()))
    distance = np.hypot(found["x_offset"] - 0.4, found["y_offset"]) * 0.06
    assert distance.min() >= 1.0
    assert len(found) > 10


def test_indices_of_added_components_are_few():
    found = galaxies.neighbours(
        galaxy(), Neighbours(density=Strength(low=4000, high=5000)), IMAGE, rng()
    )
    steps = np.array([one["sersic_index"] for one in found]) / 0.05
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_psf_shape_of_a_gaussian():
    shape = PsfShape.of(galsim.Gaussian(sigma=0.12), 0.06)
    assert shape.sigma == pytest.approx(2.0, rel=1e-3)
    k = np.array([0.0, 0.3, 0.9])
    np.testing.assert_allclose(shape.damping(k), np.exp(-0.5 * (2 * k) ** 2), atol=2e-3)
    assert shape.damping(np.array([1e3]))[0] == 0
