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
from galadapt.surveys import galfit, mock
from galadapt.surveys.field import read_catalog

FILES = ("drz", "wht", "catalog", "truth")
PSF = GaussianPsf(fwhm=0.18)


def _make(folder, seed=5, **settings):
    paths = {
        "drz": folder / "drz.fits",
        "wht": folder / "wht.fits",
        "catalog": folder / "cat.txt",
        "truth": folder / "truth.parquet",
    }
    survey = MockSurvey(**({"n_galaxies": 60, "density": 60.0} | settings))
    mock.make_mock(survey, Image(), PSF, seed, **paths, provenance={"code": "abc"})
    return paths


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return _make(tmp_path_factory.mktemp("mock"))


def test_equal_seeds_give_equal_bytes(made, tmp_path):
    again = _make(tmp_path)
    for name in FILES:
        assert again[name].read_bytes() == made[name].read_bytes(), name
    other = _make(tmp_path / "other", seed=6)
    assert other["drz"].read_bytes() != made["drz"].read_bytes()


def test_files_are_those_of_a_survey(made):
    with open_mosaic(made["drz"], made["wht"]) as mosaic:
        assert mosaic.pixel_scale == pytest.approx(0.06)
        drz, wht = mosaic.read()
        wcs = WCS(fits.getheader(made["drz"]))
    header = fits.getheader(made["drz"])
    assert (header["FILTER"], header["ABZP"]) == ("F160W", 25.9463)
    assert np.isfinite(drz).all()
    # Depth is uneven, and what has no weight holds no data.
    assert (wht == 0).any()
    assert (drz[wht == 0] == 0).all()
    depths = np.unique(np.round(1 / np.sqrt(wht[wht > 0]), 5))
    np.testing.assert_allclose(depths, 0.0051 * np.sqrt([1, 2, 4]), atol=2e-5)

    table, truth = read_catalog(made["catalog"]), pd.read_parquet(made["truth"])
    assert len(table) == truth["catalogued"].sum() > 45
    joined = table.merge(truth, left_on="NUMBER", right_on="id")
    x, y = wcs.world_to_pixel_values(joined["RA"], joined["DEC"])
    assert np.hypot(x - joined["x"], y - joined["y"]).median() < 0.1
    assert made["catalog"].read_text().splitlines()[1].startswith("# provenance")


def test_faint_galaxies_are_drawn_but_not_catalogued(made):
    truth = pd.read_parquet(made["truth"])
    assert truth["magnitude"].max() > 24.5
    assert truth.loc[truth["catalogued"], "magnitude"].max() < 23.5


def test_sky_noise_is_that_of_the_weight_map(made):
    drz, wht = fits.getdata(made["drz"]), fits.getdata(made["wht"])
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
    best = pd.DataFrame({"mag": 22.0, "re": 0.3, "n": 1.5, "q": 0.6, "pa": 10.0}, index=range(4000))
    sn = np.full(4000, 100.0)
    rows = galfit.scattered(best, sn, 1.0, np.random.default_rng(0))
    assert (rows["mag"] - 22).std() == pytest.approx(rows["dmag"].iloc[0], rel=0.05)
    assert np.log(rows["re"] / 0.3).std() == pytest.approx(0.031, rel=0.05)
    assert np.corrcoef(rows["mag"], np.log(rows["re"]))[0, 1] == pytest.approx(-0.8, abs=0.03)
    none = galfit.scattered(best, sn, 0.0, np.random.default_rng(0))
    assert (none["n"] == 1.5).all()


@pytest.mark.realdata
def test_errors_are_those_of_the_real_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    real = read_catalog(path)
    for low in (20, 21, 22, 23):
        here = real[(real["f"] == 0) & real["mag"].between(low, low + 1)]
        ours = galfit.quoted_errors(here["sn"].to_numpy(), here["q"].to_numpy()).median()
        assert ours["dmag"] == pytest.approx(here["dmag"].median(), rel=0.25)
        assert ours["dre"] == pytest.approx((here["dre"] / here["re"]).median(), rel=0.25)
        assert ours["dn"] == pytest.approx((here["dn"] / here["n"]).median(), rel=0.3)
        assert ours["dq"] == pytest.approx(here["dq"].median(), rel=0.3)


def test_flags_grow_with_crowding_and_spoil_values():
    best = pd.DataFrame({"mag": 22.0, "re": 0.3, "n": 1.5, "q": 0.6, "pa": 10.0}, index=range(4000))
    rows = galfit.scattered(best, np.full(4000, 60.0), 0.0, np.random.default_rng(0))
    alone, flags_alone = galfit.flagged(rows, np.zeros(4000), np.random.default_rng(1))
    _, flags_crowded = galfit.flagged(rows, np.ones(4000), np.random.default_rng(1))
    assert 0.03 < (flags_alone > 0).mean() < 0.15
    assert (flags_crowded > 0).mean() > 4 * (flags_alone > 0).mean()
    assert (alone.loc[flags_alone == 3, "mag"] == -999).all()
    assert (alone.loc[flags_alone == 3, "sn"] == 60).all()
    assert alone.loc[flags_alone == 2, "n"].isin([0.2, 8.0]).all()
    assert (alone.loc[flags_alone == 0, "n"] == 1.5).all()
