"""Real galaxies in a new PSF: calibration, orientation, flags."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.config.image import FitsPsf, GaussianPsf, Image
from galadapt.config.simulation import Noise
from galadapt.config.survey import CosmosSurvey
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.sky import open_mosaic
from galadapt.surveys import cosmos
from galadapt.surveys.field import Field, read_catalogue

pytestmark = pytest.mark.realdata

NAME = "real_galaxy_catalog_23.5_example"
COUNT = 12


def _make(folder, directory, psf, seed=1, **settings):
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    field = Field(*(folder / name for name in names))
    survey = CosmosSurvey(**({"directory": str(directory), "max_galaxies": COUNT} | settings))
    cosmos.make_cosmos(survey, Image(), psf, seed, field, provenance={})
    return field


@pytest.fixture(scope="module")
def made(galadapt_data, tmp_path_factory):
    psf = FitsPsf(path=str(galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"))
    # Little noise, so that what is drawn can be measured.
    noise = Noise(pixel_rms=0.001, source_poisson=False)
    folder = tmp_path_factory.mktemp("cosmos")
    return _make(folder, galadapt_data / "cosmos_f814w", psf, noise=noise)


@pytest.fixture
def copy(galadapt_data, tmp_path):
    """A copy of the catalogue that a test may break."""
    folder = tmp_path / "copy"
    shutil.copytree(galadapt_data / "cosmos_f814w", folder)
    return folder


def _cells(paths):
    truth = pd.read_parquet(paths.truth)
    with open_mosaic(paths.drz, paths.wht) as mosaic:
        image = mosaic.read()[0].astype(float)
    for row in truth.to_dict("records"):
        y0, x0 = (int(row[axis] // 128) * 128 for axis in ("y", "x"))
        yield row, image[y0 : y0 + 128, x0 : x0 + 128], row["x"] - x0, row["y"] - y0


def test_fluxes_are_calibrated(made):
    """What is drawn is a little fainter than the Sersic total, whose wings the boxes cut."""
    missing = []
    for row, cell, _, _ in _cells(made):
        missing.append(25.9463 - 2.5 * np.log10(cell.sum()) - row["magnitude"])
    assert 0.0 < np.median(missing) < 0.35
    assert max(missing) < 0.8


def test_angles_and_centres_are_galfits(made):
    away, offsets = [], []
    for row, cell, x, y in _cells(made):
        rows, columns = np.indices(cell.shape)
        light = np.where(np.hypot(columns - x, rows - y) < 16, np.clip(cell - 0.004, 0, None), 0)
        dx, dy = columns - x, rows - y
        offsets.append([(light * d).sum() / light.sum() for d in (dx, dy)])
        if row["axis_ratio"] < 0.65:
            angle = 0.5 * np.arctan2(
                2 * (light * dx * dy).sum(), (light * dx**2).sum() - (light * dy**2).sum()
            )
            away.append((np.degrees(angle) - 90 - row["position_angle"] + 90) % 180 - 90)
    assert len(away) >= 3
    assert np.abs(away).max() < 12
    assert np.abs(np.median(offsets, axis=0)).max() < 0.5


def test_catalogue_holds_the_published_fits(made, galadapt_data):
    table = read_catalogue(made.catalogue)
    published = fits.getdata(galadapt_data / "cosmos_f814w" / f"{NAME}_fits.fits")[:COUNT]
    assert table["id"].tolist() == published["IDENT"].tolist()
    fit = published["sersicfit"]
    np.testing.assert_array_equal(table["effective_radius"], fit[:, 1] * 0.03)
    np.testing.assert_array_equal(table["sersic_index"], fit[:, 2])
    assert table["magnitude_error"].isna().all()
    # Total flux of the fit, as the catalogue itself integrates it.
    expected = 25.94 - 2.5 * np.log10(published["flux"][:, 0])
    np.testing.assert_allclose(table["magnitude"], expected, atol=2e-4)


def test_noise_fills_the_cells_evenly(galadapt_data, tmp_path):
    psf = GaussianPsf(fwhm=0.2)
    paths = _make(tmp_path, galadapt_data / "cosmos_f814w", psf, max_galaxies=3)
    with open_mosaic(paths.drz, paths.wht) as mosaic:
        corner = mosaic.read()[0][128 + 20 : 256, 128 + 20 : 256]
        assert corner.std() == pytest.approx(0.0051, rel=0.05)
        assert np.unique(np.round(1 / np.sqrt(mosaic.read()[1]), 6)) == pytest.approx([0.0051])


def test_cut_boxes_are_flagged(galadapt_data, tmp_path):
    directory, psf = galadapt_data / "cosmos_f814w", GaussianPsf(fwhm=0.2)
    truth = pd.read_parquet(_make(tmp_path, directory, psf).truth)
    assert set(truth["reason"]) <= set(cosmos.REASONS)
    assert (truth["flag"] == truth["reason"].map(cosmos.REASONS)).all()
    cut = truth["box_cut"].to_numpy()
    assert (truth.loc[cut < 3, "flag"] == 0).all()
    assert (truth.loc[(cut >= 3) & (cut < 6), "reason"] == "box_cut").all()
    assert {0, 1} <= set(truth["flag"])
    strict = _make(tmp_path / "strict", directory, psf, max_galaxies=4, box_cut=[0.01, 0.02])
    assert (pd.read_parquet(strict.truth)["flag"] == 2).sum() > (truth["flag"] == 2)[:4].sum()


def test_equal_seeds_give_equal_bytes(galadapt_data, tmp_path):
    directory, psf = galadapt_data / "cosmos_f814w", GaussianPsf(fwhm=0.2)
    first = _make(tmp_path / "a", directory, psf, max_galaxies=2)
    again = _make(tmp_path / "b", directory, psf, max_galaxies=2)
    for name, path in vars(first).items():
        assert getattr(again, name).read_bytes() == path.read_bytes(), name


def test_one_bad_galaxy_is_flagged_not_fatal(copy, tmp_path):
    path = copy / f"{NAME}.fits"
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["GAL_FILENAME"][1] = "absent.fits"
    with fits.open(copy / f"{NAME}_fits.fits", mode="update") as hdus:
        hdus[1].data["sersicfit"][2, 3] = np.nan
        hdus[1].data["fit_status"][3, 4] = 5
        hdus[1].data["viable_sersic"][4] = 0
        hdus[1].data["sersicfit"][5, 1] = 1e6
    paths = _make(tmp_path, copy, GaussianPsf(fwhm=0.2), max_galaxies=6, box_cut=[50, 60])
    truth = pd.read_parquet(paths.truth)
    assert truth["reason"].tolist() == [
        *("", "unreadable", "fit_failed", "fit_not_converged", "not_viable", "fit_failed")
    ]
    table = read_catalogue(paths.catalogue)
    assert table["flag"].tolist() == [0, 3, 3, 1, 2, 3]
    assert table.loc[table["flag"] == 3, list(PARAMETERS)].isna().all(axis=None)
    with open_mosaic(paths.drz, paths.wht) as mosaic:
        assert np.isfinite(mosaic.read()[0]).all()


def test_axes_are_exchanged_when_the_fit_calls_the_short_one_long(copy, tmp_path):
    with fits.open(copy / f"{NAME}_fits.fits", mode="update") as hdus:
        fit = hdus[1].data["sersicfit"]
        radius, ratio, phi = fit[0, 1], fit[0, 3], fit[0, 7]
        fit[1] = fit[0]
        fit[1, 1], fit[1, 3], fit[1, 7] = radius * ratio, 1 / ratio, phi + np.pi / 2
    survey = CosmosSurvey(directory=str(copy))
    _, table = cosmos._open(survey)
    for name in ("radius", "axis_ratio", "position_angle", "magnitude"):
        assert table[name].iloc[1] == pytest.approx(table[name].iloc[0]), name


def test_missing_and_broken_catalogues_are_named(copy, tmp_path):
    psf = GaussianPsf(fwhm=0.2)
    with pytest.raises(DataError, match=r"no such RealGalaxyCatalog; check survey\.directory"):
        _make(tmp_path, tmp_path / "absent", psf)
    with pytest.raises(DataError, match="variable GALADAPT_NOWHERE is not set"):
        _make(tmp_path, "$GALADAPT_NOWHERE/x", psf)
    with fits.open(copy / f"{NAME}_fits.fits", mode="update") as hdus:
        hdus[1].data["IDENT"][0] = 7
    with pytest.raises(DataError, match="its galaxies are not those of"):
        _make(tmp_path, copy, psf)
    table = fits.BinTableHDU.from_columns([fits.Column("IDENT", "J", array=[1])])
    table.writeto(copy / f"{NAME}_fits.fits", overwrite=True)
    with pytest.raises(DataError, match=r"lacks the columns 'sersicfit', 'fit_status'; only"):
        _make(tmp_path, copy, psf)
    (copy / f"{NAME}.fits").write_text("not FITS")
    with pytest.raises(DataError, match="not a readable RealGalaxyCatalog"):
        _make(tmp_path, copy, psf)
    (copy / f"{NAME}_fits.fits").unlink()
    with pytest.raises(DataError, match="no such table of Sersic fits"):
        _make(tmp_path, copy, psf)
    assert not (tmp_path / "drz.fits").exists()
