"""Boxes, masks, over-subtraction and edges."""

import numpy as np
import pytest
from astropy.io import fits
from single_profiles import fixed, galaxy, rng

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.realism import Edges, IsophoteBox, Masks, OverSubtraction, RatioBox
from galadapt.simulation.profiles import surface_brightness
from galadapt.simulation.psf import make_psf
from galadapt.simulation.realism import archive
from galadapt.simulation.renderers import make_renderer

IMAGE = Image(stamp_size=64)
EXACT = {"scatter": 0.0, "axis_scatter": 0.0, "min_half_size": 0.01}


@pytest.mark.parametrize("index", [0.6, 1.0, 4.0])
def test_the_box_ends_at_the_isophote(index):
    row = galaxy(sersic_index=index)
    half = archive.box_half_sides(row, IsophoteBox(**EXACT), IMAGE, rng())
    # Angle 0: the major axis lies along y.
    assert half[0] == pytest.approx(0.5 * half[1])
    intensity = surface_brightness(half[1], 6.0, index, 0.5) / 0.06**2
    assert row["magnitude"] - 2.5 * np.log10(intensity) == pytest.approx(24.5, abs=1e-6)


def test_extents_of_a_turned_ellipse():
    half = archive.box_half_sides(
        galaxy(position_angle=30.0), RatioBox(**EXACT, median=2.0), IMAGE, rng()
    )
    angle = np.linspace(0, 2 * np.pi, 20_000)
    along, across = 12 * np.cos(angle), 6 * np.sin(angle)
    turn = np.radians(30)
    x = -along * np.sin(turn) + across * np.cos(turn)
    y = along * np.cos(turn) + across * np.sin(turn)
    assert half == pytest.approx((x.max(), y.max()), rel=1e-6)


def test_scatter_is_what_was_asked():
    box = RatioBox(median=2.0, scatter=0.3, axis_scatter=0.1, min_half_size=0.01)
    drawn = np.log([archive.box_half_sides(galaxy(), box, IMAGE, rng(k)) for k in range(800)])
    assert np.median(drawn[:, 1]) == pytest.approx(np.log(12), abs=0.04)
    assert drawn[:, 1].std() == pytest.approx(np.hypot(0.3, 0.1), rel=0.08)
    assert (drawn[:, 0] - drawn[:, 1]).std() == pytest.approx(np.sqrt(2) * 0.1, rel=0.08)


def test_faint_galaxies_get_the_smallest_box():
    half = archive.box_half_sides(galaxy(magnitude=27.0), IsophoteBox(), IMAGE, rng())
    assert half == (0.4 / 0.06, 0.4 / 0.06)


def test_window_is_the_box_softened_by_the_psf():
    window = archive.box_window(galaxy(x_offset=0.3, y_offset=-0.2), (10.0, 20.0), 64, 1.4)
    assert window.sum() == pytest.approx(20 * 40, rel=1e-6)
    y, x = np.indices(window.shape) - 31.5
    assert (x * window).sum() / window.sum() == pytest.approx(0.3, abs=1e-6)
    assert (y * window).sum() / window.sum() == pytest.approx(-0.2, abs=1e-6)
    assert window[32, 32] == pytest.approx(1, abs=1e-6)
    assert window[0, 0] < 1e-6
    edge = np.interp(10.3, np.arange(64) - 31.5, window[32])
    assert edge == pytest.approx(0.5, abs=0.01)


def test_the_box_cuts_the_wings_of_high_indices_most():
    draw = make_renderer(IMAGE, make_psf(GaussianPsf(), 0.06), "galsim").render
    kept = {}
    for index in (1.0, 4.0):
        row = galaxy(sersic_index=index, ellipticity=0.1)
        half = archive.box_half_sides(row, IsophoteBox(**EXACT), IMAGE, rng())
        kept[index] = (draw(row) * archive.box_window(row, half, 64, 1.4)).sum()
    total = 10 ** (-0.4 * (20 - IMAGE.zero_point))
    assert kept[1.0] / total > 0.97
    assert kept[4.0] / total < 0.88


def test_masks_cover_neighbours_that_outshine():
    own, others = np.full((32, 32), 0.02), np.zeros((32, 32))
    others[4:7, 4:7] = 1.0
    others[20:23, 20:23] = 0.015
    mask = archive.neighbour_mask(own, others, Masks(growth=0), 0.005, rng())
    assert mask.sum() == 9
    assert mask[4:7, 4:7].all()
    assert archive.neighbour_mask(own, others, Masks(growth=2), 0.005, rng())[2:9, 5].all()
    assert not archive.neighbour_mask(own, others, Masks(probability=0), 0.005, rng()).any()


def test_over_subtraction_takes_the_level_at_the_boxs_edge():
    y, x = np.indices((64, 64)) - 31.5
    light = 10.0 - np.maximum(abs(x), abs(y)) / 4
    taken = archive.over_subtraction(
        light, galaxy(), (20.0, 20.0), OverSubtraction(fraction=fixed(0.5)), rng()
    )
    # Of the frame's pixels, 18.5 and 19.5 px from the middle, more are the outer ones.
    assert taken == pytest.approx(0.5 * (10 - 19.5 / 4))
    whole = archive.over_subtraction(
        light, galaxy(), None, OverSubtraction(fraction=fixed(1.0)), rng()
    )
    assert whole == pytest.approx(10 - 31.5 / 4)


def test_negative_over_subtraction_leaves_background():
    light = np.full((32, 32), 2.0)
    row = {"x_offset": 0.0, "y_offset": 0.0}
    left = OverSubtraction(fraction={"low": -0.5001, "high": -0.5})
    taken = archive.over_subtraction(light, row, (10.0, 10.0), left, np.random.default_rng(1))
    assert taken == pytest.approx(-1.0, rel=1e-3)


def test_over_subtraction_of_a_box_without_a_pixel():
    tiny = archive.over_subtraction(
        np.ones((8, 8)), galaxy(x_offset=0.5), (0.1, 0.1), OverSubtraction(), rng()
    )
    assert tiny == 0


def test_strips_lie_at_all_sides_with_the_width_asked():
    settings = Edges(probability=1.0, width=fixed(0.25))
    strips = [archive.missing_strip(32, settings, rng(seed)) for seed in range(40)]
    assert all(strip.sum() == 8 * 32 for strip in strips)
    corners = {(bool(s[0, 15]), bool(s[-1, 15]), bool(s[15, 0]), bool(s[15, -1])) for s in strips}
    assert corners == {tuple(k == side for k in range(4)) for side in range(4)}
    rare = [archive.missing_strip(32, Edges(probability=0.2), rng(k)) for k in range(500)]
    assert sum(s is not None for s in rare) / 500 == pytest.approx(0.2, abs=0.06)


@pytest.mark.realdata
def test_defaults_describe_the_cosmos_archive(galadapt_data):
    folder = galadapt_data / "cosmos_f814w"
    name = "real_galaxy_catalog_23.5_example"
    catalog = fits.getdata(folder / f"{name}.fits")
    table = fits.getdata(folder / f"{name}_fits.fits")
    box = IsophoteBox(**{**EXACT, "min_half_size": 1e-3})
    scale = Image(pixel_scale=0.03)
    ratios = []
    with fits.open(folder / "real_galaxy_images.fits") as images:
        for row, fit, status in zip(
            catalog, table["sersicfit"], table["fit_status"][:, 4], strict=True
        ):
            intensity, radius, index, q, phi = fit[[0, 1, 2, 3, 7]]
            if status <= 0 or not 0.3 <= index <= 6.2 or q > 1:
                continue
            shape = images[int(row["GAL_HDU"])].shape
            unit = surface_brightness(radius, radius, index, q)
            values = galaxy(
                magnitude=25.94 - 2.5 * np.log10(intensity / unit),
                effective_radius=radius,
                sersic_index=index,
                ellipticity=1 - q,
                position_angle=np.degrees(phi) - 90,
            )
            half = archive.box_half_sides(values, box, scale, rng())
            ratios.append(np.log([shape[1] / 2 / half[0], shape[0] / 2 / half[1]]))
    ratios = np.array(ratios)
    assert len(ratios) > 70
    assert np.median(ratios) == pytest.approx(0, abs=0.05)
    assert ratios.mean(axis=1).std() == pytest.approx(IsophoteBox().scatter, abs=0.03)
    assert np.diff(ratios, axis=1).std() / np.sqrt(2) == pytest.approx(0.14, abs=0.04)
