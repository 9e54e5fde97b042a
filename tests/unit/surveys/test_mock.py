"""The mock survey: formats, determinism, photometry, and how unlike the simulator it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from pydantic import ValidationError

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.simulation import Noise
from galadapt.config.survey import MockSurvey
from galadapt.sky import open_mosaic
from galadapt.sky.catalogues import read_galfit
from galadapt.surveys import fit_errors, mock
from galadapt.surveys.field import Field, read_catalogue

PSF = GaussianPsf(fwhm=0.18)
BEST = {
    **{"magnitude": 22.0, "effective_radius": 0.3, "sersic_index": 1.5, "axis_ratio": 0.6},
    "position_angle": 10.0,
}


def _make(folder, seed=5, **settings):
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    field = Field(*(folder / name for name in names))
    survey = MockSurvey(**({"n_galaxies": 60, "density": 60.0} | settings))
    mock.make_mock(survey, Image(), PSF, seed, field, provenance={"code": "abc"})
    return field


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return _make(tmp_path_factory.mktemp("mock"))


def test_equal_seeds_give_equal_bytes(made, tmp_path):
    again = _make(tmp_path)
    for name, path in vars(made).items():
        assert getattr(again, name).read_bytes() == path.read_bytes(), name
    other = _make(tmp_path / "other", seed=6)
    assert other.drz.read_bytes() != made.drz.read_bytes()


def test_files_are_those_of_a_survey(made):
    with open_mosaic(made.drz, made.wht) as mosaic:
        assert mosaic.pixel_scale == pytest.approx(0.06)
        drz, wht = mosaic.read()
        wcs = WCS(fits.getheader(made.drz))
    header = fits.getheader(made.drz)
    assert (header["FILTER"], header["ABZP"]) == ("F160W", 25.9463)
    assert np.isfinite(drz).all()
    # Depth is uneven, and what has no weight holds no data.
    assert (wht == 0).any()
    assert (drz[wht == 0] == 0).all()
    depths = np.unique(np.round(1 / np.sqrt(wht[wht > 0]), 5))
    np.testing.assert_allclose(depths, 0.0051 * np.sqrt([1, 2, 4]), atol=2e-5)

    table, truth = read_catalogue(made.catalogue), pd.read_parquet(made.truth)
    assert len(table) == truth["catalogued"].sum() > 45
    joined = table.merge(truth, on="id")
    x, y = wcs.world_to_pixel_values(joined["ra"], joined["dec"])
    assert np.hypot(x - joined["x"], y - joined["y"]).median() < 0.1
    # Its values have the digits that a published catalogue prints.
    for name in ("magnitude", "effective_radius", "sn"):
        assert (
            table[name].dropna().map(lambda one: float(f"{one:.6g}")) == table[name].dropna()
        ).all()
    assert (table["ra"].round(7) == table["ra"]).all()
    assert table.loc[table["flag"] == 3, ["magnitude", "ellipticity_error"]].isna().all(axis=None)


def test_faint_galaxies_are_drawn_but_not_catalogued(made):
    truth = pd.read_parquet(made.truth)
    assert truth["magnitude"].max() > 24.5
    assert truth.loc[truth["catalogued"], "magnitude"].max() < 23.5


def test_sky_noise_is_that_of_the_weight_map(made):
    drz, wht = fits.getdata(made.drz), fits.getdata(made.wht)
    shallow = np.isclose(wht, wht.max() / 2)
    # Differences of pixels far apart beyond the correlation are free of sources' slow light.
    for where, expected in ((np.isclose(wht, wht.max()), 0.0051), (shallow, 0.0072)):
        difference = (drz[:, 6:] - drz[:, :-6])[where[:, 6:] & where[:, :-6]]
        rms = 1.4826 * np.median(np.abs(difference)) / np.sqrt(2)
        assert rms == pytest.approx(expected, rel=0.12)


def test_no_flux_is_lost_and_the_centre_is_right():
    survey, image = MockSurvey(structure=2.0), Image()
    population = mock.draw_population(survey, image, 3, 2000).head(30)
    table = mock._best_fits(population, image, 0.0051, 3300.0, 1.5)
    optics = mock._FieldPsf(survey, image, PSF, 2000)
    for record in table[~table["spheroid"]].to_dict("records"):
        rng = np.random.default_rng(1)
        stamp = mock._galaxy_stamp(record, 256, 0.06, optics.transform(1000, 1000, 256), rng)
        assert stamp.sum() == pytest.approx(record["flux"], rel=2e-3)
    smooth = dict(record, structure_fraction=0.0, bar_fraction=0.0)
    stamp = mock._galaxy_stamp(smooth, 256, 0.06, optics.transform(1000, 1000, 256), rng)
    rows, columns = np.indices(stamp.shape)
    centroid = (stamp * columns).sum() / stamp.sum(), (stamp * rows).sum() / stamp.sum()
    expected = 128 + smooth["x"] % 1, 128 + smooth["y"] % 1
    assert centroid == pytest.approx(expected, abs=0.03)
    # The long axis lies along the position angle, counter-clockwise from +y.
    dx, dy = columns - centroid[0], rows - centroid[1]
    angle = 0.5 * np.arctan2(
        2 * (stamp * dx * dy).sum(), (stamp * dx**2).sum() - (stamp * dy**2).sum()
    )
    away = (np.degrees(angle) - 90 - smooth["position_angle"] + 90) % 180 - 90
    assert abs(away) < 5


def test_structure_leaves_the_total_and_changes_the_image():
    image = Image()
    population = mock.draw_population(MockSurvey(structure=2.0), image, 3, 2000).head(20)
    table = mock._best_fits(population, image, 0.0051, 3300.0, 1.5)
    record = table[~table["spheroid"]].sort_values("magnitude").iloc[0].to_dict()
    psf = mock._FieldPsf(MockSurvey(), image, PSF, 2000).transform(9, 9, 256)
    with_arms = mock._galaxy_stamp(record, 256, 0.06, psf, np.random.default_rng(1))
    smooth = mock._galaxy_stamp(
        dict(record, structure_fraction=0.0, bar_fraction=0.0),
        256,
        0.06,
        psf,
        np.random.default_rng(1),
    )
    assert np.abs(with_arms - smooth).sum() > 0.05 * record["flux"]


def test_psf_changes_over_the_field_and_is_broader():
    broad = mock._FieldPsf(MockSurvey(), Image(), PSF, 800)
    sharp = mock._FieldPsf(MockSurvey(psf_broadening=0.0), Image(), PSF, 800)
    assert broad.sigma > 1.1 * sharp.sigma
    corner, other = broad.transform(0, 0, 64), broad.transform(799, 0, 64)
    assert np.abs(corner - other).max() > 1e-3
    assert corner[0, 0] == pytest.approx(1, abs=1e-4)


def test_indices_peak_at_discs_and_spheroids():
    table = mock.draw_population(MockSurvey(n_galaxies=800), Image(), 1, 2000)
    table = mock._best_fits(table, Image(), 0.0051, 3300.0, 1.6)
    discs = table.loc[~table["spheroid"], "best_index"]
    spheroids = table.loc[table["spheroid"], "best_index"]
    assert 0.9 < discs.median() < 1.5
    assert 2.7 < spheroids.median() < 4.2
    assert 0.1 < table["spheroid"].mean() < 0.4


def test_impossible_surveys_are_refused():
    with pytest.raises(ValidationError, match="must increase in this order"):
        MockSurvey(catalog_limit=26.0)
    with pytest.raises(ValidationError, match=r"noise\.depth: none"):
        MockSurvey(noise=Noise(depth="none"))


def test_errors_scatter_as_quoted():
    best = pd.DataFrame(BEST, index=range(4000))
    sn = np.full(4000, 100.0)
    rows = fit_errors.scattered(best, sn, 1.0, np.random.default_rng(0))
    assert (rows["magnitude"] - 22).std() == pytest.approx(rows["magnitude_error"][0], rel=0.05)
    size = np.log(rows["effective_radius"] / 0.3)
    assert size.std() == pytest.approx(0.031, rel=0.05)
    assert np.corrcoef(rows["magnitude"], size)[0, 1] == pytest.approx(-0.8, abs=0.03)
    none = fit_errors.scattered(best, sn, 0.0, np.random.default_rng(0))
    assert (none["sersic_index"] == 1.5).all()


@pytest.mark.realdata
def test_errors_are_those_of_the_real_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    real = read_galfit(path)
    for low in (20, 21, 22, 23):
        here = real[(real["flag"] == 0) & real["magnitude"].between(low, low + 1)]
        ratio = 1 - here["ellipticity"].to_numpy()
        ours = fit_errors.quoted_errors(here["sn"].to_numpy(), ratio).median()
        assert ours["magnitude"] == pytest.approx(here["magnitude_error"].median(), rel=0.25)
        for name, tolerance in (("effective_radius", 0.25), ("sersic_index", 0.3)):
            relative = (here[f"{name}_error"] / here[name]).median()
            assert ours[name] == pytest.approx(relative, rel=tolerance)
        assert ours["axis_ratio"] == pytest.approx(here["ellipticity_error"].median(), rel=0.3)


def test_flags_grow_with_crowding_and_spoil_values():
    best = pd.DataFrame(BEST, index=range(4000))
    rows = fit_errors.scattered(best, np.full(4000, 60.0), 0.0, np.random.default_rng(0))
    alone, flags_alone = fit_errors.flagged(rows, np.zeros(4000), np.random.default_rng(1))
    _, flags_crowded = fit_errors.flagged(rows, np.ones(4000), np.random.default_rng(1))
    assert 0.03 < (flags_alone > 0).mean() < 0.15
    assert (flags_crowded > 0).mean() > 4 * (flags_alone > 0).mean()
    assert (alone.loc[flags_alone == 3, "sn"] == 60).all()
    assert alone.loc[flags_alone == 2, "sersic_index"].isin([0.2, 8.0]).all()
    assert (alone.loc[flags_alone == 0, "sersic_index"] == 1.5).all()
