"""The user's images as a field: pixels, places and labels arrive, contradictions do not."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from pydantic import ValidationError

from galadapt.config.image import Image
from galadapt.config.survey import Extraction, ImagesSurvey, Selection, Splits
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.cutouts import extract
from galadapt.sky import open_mosaic
from galadapt.surveys import field as fields
from galadapt.surveys.field import read_catalogue, tangent_wcs
from galadapt.surveys.images import make_images
from galadapt.surveys.selection import select

SIGMA = 0.005
COLUMNS = {
    **{"magnitude": "MAG", "effective_radius": "RE", "sersic_index": "N"},
    **{"axis_ratio": "Q", "position_angle": "PA"},
}
UNITS = {"effective_radius": "arcsec"}


def _galaxy(shape, x, y, scale, magnitude=20.0, zero_point=25.9463, q=0.6, pa=30.0):
    flux = 10 ** (-0.4 * (magnitude - zero_point))
    light = galsim.Exponential(half_light_radius=0.5 * np.sqrt(q), flux=flux)
    light = galsim.Convolve(
        light.shear(q=q, beta=(pa + 90) * galsim.degrees), galsim.Gaussian(fwhm=0.2)
    )
    drawn = light.drawImage(
        galsim.Image(shape[1], shape[0], scale=scale),
        center=galsim.PositionD(x + 1, y + 1),
    )
    return drawn.array


def _labels(count, **changes):
    rows = {"MAG": 20.0, "RE": 0.5, "N": 1.0, "Q": 0.6, "PA": 30.0}
    return {name: np.full(count, value) for name, value in (rows | changes).items()}


class Field:
    """A 600 x 500 px image of nine equal galaxies, with catalogue."""

    def __init__(self, folder: Path, scale=0.06, zero_point=25.9463, unit="e-/s", wcs=True):
        self.folder, self.shape = folder, (500, 600)
        rng = np.random.default_rng(3)
        grid = np.meshgrid([110.0, 300.3, 490.0], [100.0, 250.7, 400.0])
        self.x, self.y = (axis.ravel() + rng.uniform(-0.5, 0.5, 9) for axis in grid)
        image = rng.normal(0, SIGMA, self.shape)
        for x, y in zip(self.x, self.y, strict=True):
            image += _galaxy(self.shape, x, y, scale)
        image *= 10 ** (0.4 * (zero_point - 25.9463))
        sky = tangent_wcs(self.shape, scale)
        header = sky.to_header() if wcs else fits.Header()
        header["BUNIT"] = unit
        fits.PrimaryHDU(image.astype("f4"), header).writeto(folder / "image.fits")
        self.image = image
        self.ra, self.dec = sky.pixel_to_world_values(self.x, self.y)
        self.catalog({"ID": np.arange(1, 10), "RA": self.ra, "DEC": self.dec, **_labels(9)})

    def catalog(self, columns):
        Table(columns).write(self.folder / "cat.fits", overwrite=True)

    def make(self, labelled=True, **changes):
        labels = {"columns": COLUMNS, "units": UNITS} if labelled else {}
        survey = {
            "image": {"path": str(self.folder / "image.fits")},
            "catalog": {"path": str(self.folder / "cat.fits"), **labels},
            "zero_point": 25.9463,
            **changes,
        }
        return _make(self.folder / "out", ImagesSurvey.model_validate(survey), Image())


def _make(folder, survey, image, seed=1):
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    made = fields.Field(*(folder / name for name in names))
    make_images(survey, image, seed, made, provenance={"of": "a test"})
    return made


def _extract(folder, made, image):
    select(made.catalogue, Selection(), image, folder / "s.parquet", folder / "c.csv")
    return extract(
        *(made.drz, made.wht, folder / "s.parquet", image, Extraction(), Splits(), 1),
        *(folder / "stamps.h5", folder / "rejected.csv", {}),
    )


# --- one image ------------------------------------------------------------------------------


def test_an_image_arrives_with_its_objects(tmp_path):
    field = Field(tmp_path)
    made = field.make()
    with open_mosaic(made.drz, made.wht) as mosaic:
        data, weight = mosaic.read()
        assert (mosaic.zero_point, mosaic.unit) == (25.9463, "e-/s")
    np.testing.assert_allclose(data, field.image, atol=1e-6)
    assert np.median(weight**-0.5) == pytest.approx(SIGMA, rel=0.05)
    table = read_catalogue(made.catalogue)
    np.testing.assert_array_equal(table[["ra", "dec"]], np.stack([field.ra, field.dec], 1))
    names = ["flag", *PARAMETERS, "position_angle"]
    assert table[names].drop_duplicates().to_numpy().tolist() == [[0, 20.0, 0.5, 1.0, 0.4, 30.0]]
    stamps = _extract(tmp_path, made, Image())
    assert len(stamps) == 9
    assert stamps["effective_radius"].tolist() == pytest.approx([0.5 / 0.06] * 9)
    np.testing.assert_allclose(stamps["position_angle"], 30, atol=0.1)


@pytest.mark.parametrize("scale", [0.04, 0.1])
def test_another_scale_and_zero_point_are_brought_to_the_experiments(tmp_path, scale):
    field = Field(tmp_path, scale=scale, zero_point=28.5)
    made = field.make(zero_point=28.5)
    truth = pd.read_parquet(made.truth)
    ratio = scale / 0.06
    np.testing.assert_allclose(truth["x"], (field.x + 0.5) * ratio - 0.5, atol=1e-4)
    with open_mosaic(made.drz, made.wht) as mosaic:
        data, weight = mosaic.read()
        x, y = mosaic.positions(field.ra, field.dec)
        np.testing.assert_allclose(x, truth["x"], atol=1e-4)
        assert mosaic.pixel_scale == pytest.approx(0.06)
        expected = SIGMA * (0.06 / scale if scale < 0.06 else (0.06 / scale) ** 2)
        assert np.median(weight**-0.5) == pytest.approx(expected, rel=0.4)
        rows, columns = np.indices(data.shape)
        near = np.hypot(rows - y[4], columns - x[4]) < 50
        light = data[near].sum()
    assert 25.9463 - 2.5 * np.log10(light) == pytest.approx(20.0, abs=0.03)


def test_an_image_without_labels_reaches_the_stamps(tmp_path):
    field = Field(tmp_path)
    made = field.make(labelled=False)
    truth = pd.read_parquet(made.truth)
    assert not truth["labelled"].any()
    assert (truth["flag"] == 0).all()
    stamps = _extract(tmp_path, made, Image())
    assert len(stamps) == 9
    assert stamps[["magnitude", "sersic_index"]].isna().all(axis=None)


def test_objects_by_pixel_need_no_sky(tmp_path):
    field = Field(tmp_path, wcs=False)
    field.catalog({"NUMBER": np.arange(9), "X_IMAGE": field.x + 1, "Y_IMAGE": field.y + 1})
    made = field.make(labelled=False, native_pixel_scale=0.06)
    truth = pd.read_parquet(made.truth)
    np.testing.assert_allclose(truth["x"], field.x, atol=1e-6)
    table = read_catalogue(made.catalogue)
    x, _ = WCS(fits.getheader(made.drz)).world_to_pixel_values(table["ra"], table["dec"])
    np.testing.assert_allclose(x, field.x, atol=0.01)
    assert len(_extract(tmp_path, made, Image())) == 9


def test_masks_and_objects_without_a_place(tmp_path):
    field = Field(tmp_path)
    mask = np.zeros(field.shape, "i2")
    mask[:, 200:] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    ra = field.ra.copy()
    ra[0] = -999
    field.catalog({"ID": np.arange(1, 10), "RA": ra, "DEC": field.dec, **_labels(9)})
    made = field.make(mask={"path": str(tmp_path / "mask.fits")})
    assert read_catalogue(made.catalogue)["flag"].tolist() == [3] + [0] * 8
    stamps = _extract(tmp_path, made, Image())
    assert stamps["id"].tolist() == [4, 7]
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert rejected["reason"].unique().tolist() == ["bad_pixels"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zero_point": None}, "zero point is in no header card; give survey.zero_point"),
        ({"zero_point": 30.0}, "brightest objects are 4.0. mag fainter in the image than in the"),
        ({"hdu": 3}, "has no extension 3; images are in 0"),
        ({"unit": "furlong"}, "unit 'furlong' is neither a rate nor"),
        ({"image": {"path": "/absent.fits"}}, "absent.fits: no such mosaic file"),
        ({"image": {"path": "$NO_SUCH_VARIABLE/a.fits"}}, "NO_SUCH_VARIABLE is not set"),
        ({"rms": {"path": "/absent.fits"}}, "absent.fits: no such rms file"),
    ],
)
def test_contradictions_leave_nothing_behind(tmp_path, settings, message):
    field = Field(tmp_path)
    with pytest.raises(DataError, match=message):
        field.make(**settings)
    folder = tmp_path / "out"
    assert not folder.is_dir() or list(folder.iterdir()) == []


def test_a_doubtful_zero_point_is_said(tmp_path, capsys):
    Field(tmp_path).make(zero_point=27.0)
    assert "1.0" in capsys.readouterr().err.split("check unit, zero point and band")[0][-80:]


# --- cutouts --------------------------------------------------------------------------------


def _small(number, side=75, scale=0.06, magnitude=20.0):
    rng = np.random.default_rng(number)
    at = (side - 1) / 2
    shape = (side, side + number % 2)
    light = _galaxy(shape, at + (number % 2) / 2, at, scale, magnitude=magnitude + number / 10)
    return (light + rng.normal(0, SIGMA, shape)).astype("f4")


def _cutouts(tmp_path, kind, count=12, **shape):
    small = [_small(number, **shape) for number in range(count)]
    header = fits.Header({"BUNIT": "e-/s", "ABMAGZP": 25.9463})
    path = tmp_path / "cutouts"
    if kind == "folder":
        path.mkdir()
        for number, image in enumerate(small):
            fits.PrimaryHDU(image, header).writeto(path / f"gal{number}.fits")
    elif kind == "extensions":
        images = [fits.ImageHDU(image, header) for image in small]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    else:
        fits.PrimaryHDU(np.stack([image[:, : len(image)] for image in small]), header).writeto(path)
    magnitudes = shape.get("magnitude", 20.0) + np.arange(count) / 10
    Table({"ID": np.arange(100, 100 + count), **_labels(count, MAG=magnitudes)}).write(
        tmp_path / "cat.fits", overwrite=True
    )
    return path


def _survey(tmp_path, path, **changes):
    survey = {
        "kind": "images",
        "cutouts": {"path": str(path)},
        "catalog": {"path": str(tmp_path / "cat.fits"), "columns": COLUMNS, "units": UNITS},
        "native_pixel_scale": 0.06,
        "by_order": True,
        **changes,
    }
    return ImagesSurvey.model_validate(survey)


@pytest.mark.parametrize("kind", ["folder", "extensions", "cube"])
def test_cutouts_become_cells(tmp_path, kind):
    """Twelve: in a folder gal10 comes after gal9, not after gal1."""
    path = _cutouts(tmp_path, kind)
    made = _make(tmp_path / "out", _survey(tmp_path, path), Image())
    truth = pd.read_parquet(made.truth)
    with open_mosaic(made.drz, made.wht) as mosaic:
        data, weight = mosaic.read()
    assert data.shape == (3 * 128, 4 * 128)
    for number, row in enumerate(truth.to_dict("records")):
        x, y = round(row["x"]), round(row["y"])
        assert (x // 128, y // 128) == (number % 4, number // 4)
        box = np.s_[y - 30 : y + 31, x - 30 : x + 31]
        light = data[box].sum()
        assert 25.9463 - 2.5 * np.log10(light) == pytest.approx(20 + number / 10, abs=0.1)
    assert np.median(weight[weight > 0] ** -0.5) == pytest.approx(SIGMA, rel=0.1)
    stamps = _extract(tmp_path, made, Image())
    assert stamps["id"].tolist() == list(range(100, 112))


def test_small_cutouts_are_filled_when_told(tmp_path):
    path = _cutouts(tmp_path, "folder", side=55, magnitude=23.0)
    image = Image()
    made = _make(tmp_path / "a", _survey(tmp_path, path), image)
    with pytest.raises(DataError, match="none of 12 objects gives a usable stamp"):
        _extract(tmp_path, made, image)
    filled = [_make(tmp_path / n, _survey(tmp_path, path, fill=True), image, 5) for n in "bc"]
    sums = [hashlib.sha256(made.drz.read_bytes()).hexdigest() for made in filled]
    assert sums[0] == sums[1]
    truth = pd.read_parquet(filled[0].truth)
    assert truth["filled"].all()
    assert (truth["flag"] == 1).all()
    with open_mosaic(filled[0].drz, filled[0].wht) as mosaic:
        data, weight = mosaic.read()
    assert (weight > 0).all()
    assert data[:20, :20].std() == pytest.approx(SIGMA, rel=0.25)


def test_cutouts_of_another_scale(tmp_path):
    path = _cutouts(tmp_path, "folder", side=151, scale=0.03)
    made = _make(tmp_path / "out", _survey(tmp_path, path, native_pixel_scale=0.03), Image())
    assert len(_extract(tmp_path, made, Image())) == 12


def test_one_bad_cutout_is_flagged_not_fatal(tmp_path, capsys):
    path = _cutouts(tmp_path, "folder")
    (path / "gal3.fits").write_bytes(b"no image")
    fits.PrimaryHDU(np.zeros((75, 75), "f4"), fits.getheader(path / "gal5.fits")).writeto(
        path / "gal5.fits", overwrite=True
    )
    made = _make(tmp_path / "out", _survey(tmp_path, path), Image())
    assert read_catalogue(made.catalogue).query("flag == 3")["id"].tolist() == [103, 105]
    said = capsys.readouterr().err
    assert "2 cutouts get flag 3, the first as" in said
    assert "gal3.fits: not a readable FITS file" in said


def test_cutouts_by_name(tmp_path):
    path = _cutouts(tmp_path, "folder", count=6)
    names = [f"gal{number}.fits" for number in (5, 3, 0)]
    columns = {"FILE": names, **_labels(3, MAG=np.array([20.5, 20.3, 20.0]))}
    Table(columns).write(tmp_path / "cat.fits", overwrite=True)
    survey = _survey(tmp_path, path, by_order=False)
    catalog = survey.catalog.model_copy(update={"columns": {**COLUMNS, "name": "FILE"}})
    made = _make(tmp_path / "out", survey.model_copy(update={"catalog": catalog}), Image())
    assert pd.read_parquet(made.truth)["source"].tolist() == ["gal5", "gal3", "gal0"]
    columns["FILE"] = ["gal5", "gal3", "gal77"]
    Table(columns).write(tmp_path / "cat.fits", overwrite=True)
    with pytest.raises(
        DataError, match=r"1 of 3 objects have no cutout of their name .*, the first 'gal77'"
    ):
        _make(tmp_path / "out", survey.model_copy(update={"catalog": catalog}), Image())


@pytest.mark.parametrize(
    "name", ["{:05d}.fits", "cosmos_{}.fits", "f160w_{:03d}_v2.fits", "{}.fit.gz", "run-7-{}.fts"]
)
def test_cutouts_by_number(tmp_path, name):
    """The order of names is not that of the rows: only numbers deal labels out rightly."""
    path = _cutouts(tmp_path, "folder", count=12)
    for number in range(12):
        (path / f"gal{number}.fits").rename(path / name.format(100 + number))
        if name.endswith("gz"):
            file = path / name.format(100 + number)
            file.write_bytes(gzip.compress(file.read_bytes()))
    rows = np.random.default_rng(0).permutation(12)
    table = Table.read(tmp_path / "cat.fits")[rows]
    table.write(tmp_path / "cat.fits", overwrite=True)
    made = _make(tmp_path / "out", _survey(tmp_path, path, by_order=False), Image())
    found = pd.read_parquet(made.truth)["source"].tolist()
    assert [int(one.replace("_v2", "")[-2:]) for one in found] == rows.tolist()


@pytest.mark.parametrize("kind", ["folder", "extensions", "cube"])
def test_the_order_counts_only_where_it_is_asked_for(tmp_path, kind):
    path = _cutouts(tmp_path, kind)
    message = r"12 of 12 objects have no cutout of their name or number, the first '100'.*by_order"
    with pytest.raises(DataError, match=message):
        _make(tmp_path / "out", _survey(tmp_path, path, by_order=False), Image())


def test_a_mapped_name_counts_more_than_a_number(tmp_path):
    path = _cutouts(tmp_path, "folder", count=12)
    table = Table.read(tmp_path / "cat.fits")
    table["ID"] = np.arange(12)
    table["FILE"] = [f"x/gal{11 - number}.fits" for number in range(12)]
    table["MAG"] = 20.0 + (11 - np.arange(12)) / 10
    table.write(tmp_path / "cat.fits", overwrite=True)
    survey = _survey(tmp_path, path, by_order=False)
    catalog = survey.catalog.model_copy(update={"columns": {**COLUMNS, "name": "FILE"}})
    made = _make(tmp_path / "out", survey.model_copy(update={"catalog": catalog}), Image())
    assert pd.read_parquet(made.truth)["source"].tolist() == [f"gal{11 - k}" for k in range(12)]


def test_shuffled_labels_are_noticed(tmp_path):
    """Their median is right: only their scatter about the fluxes tells."""
    path = _cutouts(tmp_path, "folder", count=12)
    for number in range(12):
        image = _small(number, magnitude=20.0 + number / 5)
        header = fits.Header({"BUNIT": "e-/s", "ABMAGZP": 25.9463})
        fits.PrimaryHDU(image, header).writeto(path / f"gal{number}.fits", overwrite=True)
    table = Table.read(tmp_path / "cat.fits")
    table["MAG"] = 20.0 + np.arange(12) * 0.3
    table.write(tmp_path / "cat.fits", overwrite=True)
    _make(tmp_path / "a", _survey(tmp_path, path), Image())
    table["MAG"] = table["MAG"][np.random.default_rng(4).permutation(12)]
    table.write(tmp_path / "cat.fits", overwrite=True)
    with pytest.raises(DataError, match="labels and images do not belong together; check how"):
        _make(tmp_path / "b", _survey(tmp_path, path), Image())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"native_pixel_scale": None}, "gal0.fits: the pixel scale is unknown"),
        ({"cutouts": {"path": "/absent"}}, "no such cutouts; give a folder of FITS files"),
    ],
)
def test_useless_cutouts_are_refused(tmp_path, change, message):
    path = _cutouts(tmp_path, "folder")
    with pytest.raises(DataError, match=message):
        _make(tmp_path / "out", _survey(tmp_path, path, **change), Image())


def test_cutouts_and_rows_must_be_as_many(tmp_path):
    path = _cutouts(tmp_path, "folder")
    (path / "gal3.fits").unlink()
    with pytest.raises(
        DataError, match="12 objects for 11 cutouts; by_order needs one row for each"
    ):
        _make(tmp_path / "out", _survey(tmp_path, path), Image())
    for file in path.iterdir():
        file.unlink()
    with pytest.raises(DataError, match="holds no FITS image"):
        _make(tmp_path / "out", _survey(tmp_path, path), Image())


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give either image or cutouts"),
        ({"image": {"path": "a"}, "cutouts": {"path": "b"}}, "give either image or cutouts"),
        (
            {"image": {"path": "a"}, "rms": {"path": "b"}, "weight": {"path": "c"}},
            "weight and rms are given; give one of them",
        ),
        ({"cutouts": {"path": "a"}, "rms": {"path": "b"}}, "are for image, not for cutouts"),
        ({"image": {"path": "a"}, "fill": True}, "fill is for cutouts"),
    ],
)
def test_settings_that_exclude_each_other(changes, message):
    with pytest.raises(ValidationError, match=message):
        ImagesSurvey.model_validate({"catalog": {"path": "c"}, **changes})


# --- real data ------------------------------------------------------------------------------


@pytest.mark.realdata
def test_faint_real_galaxies_as_unlabelled_cutouts(galadapt_data, tmp_path):
    folder = galadapt_data / "cosmos_f814w_faint"
    survey = ImagesSurvey.model_validate(
        {
            "cutouts": {"path": str(folder / "real_galaxy_images_extension.fits")},
            "by_order": True,
            "catalog": {"path": str(folder / "real_galaxy_catalog_26_extension_example.fits")},
            **{"unit": "e-/s", "zero_point": 25.94, "native_pixel_scale": 0.03, "fill": True},
        }
    )
    made = _make(tmp_path, survey, Image())
    truth = pd.read_parquet(made.truth)
    assert len(truth) == 100
    assert (truth["flag"] < 3).all()
    assert truth["filled"].mean() > 0.9
