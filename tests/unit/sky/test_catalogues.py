"""Catalogues of every kind: the same objects, or one sentence."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from field_files import write_galfit, write_mosaic

from galadapt.core.errors import ConfigError, DataError
from galadapt.sky import open_mosaic
from galadapt.sky.catalogues import locate, read_objects
from galadapt.surveys.field import CATALOGUE, tangent_wcs

ID = np.array([11, 12, 15])
RA = np.array([150.101, 150.102, 150.0995])
DEC = np.array([2.301, 2.299, 2.3])


def _table(**columns) -> Table:
    table = Table({"ID": ID, "RA": RA, "DEC": DEC})
    for name, values in columns.items():
        table[name] = values
    return table


def _fits(path, table):
    table.write(path, format="fits")


def _ldac(path, table):
    header = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", "80A", array=np.array(["X"]))], name="LDAC_IMHEAD"
    )
    fits.HDUList([fits.PrimaryHDU(), header, fits.table_to_hdu(table)]).writeto(path)


def _zipped(path, table):
    table.write(path.with_suffix(".tmp"), format="fits")
    path.write_bytes(gzip.compress(path.with_suffix(".tmp").read_bytes()))


def _sextractor(path, table):
    lines = [
        "#   1 NUMBER                 Running object number",
        "#   2 ALPHA_J2000            Right ascension of barycenter (J2000)     [deg]",
        "#   3 DELTA_J2000            Declination of barycenter (J2000)         [deg]",
    ]
    lines += [f"{row['ID']:10d} {row['RA']:.9f} {row['DEC']:+.9f}" for row in table]
    path.write_text("\n".join(lines) + "\n")


def _vizier(path, table):
    lines = ["#RESOURCE=yCat", "#Column RAJ2000", "", "Seq\tRAJ2000\tDEJ2000", " \tdeg\tdeg"]
    lines += ["----\t--------\t--------"]
    lines += [f"{row['ID']:4d}\t{row['RA']:.9f}\t{row['DEC']:+.9f}" for row in table]
    path.write_text("\n".join(lines) + "\n\n")


def _galfit(path, table):
    frame = pd.DataFrame(dict.fromkeys(CATALOGUE, 0.5) | {"flag": 0}, index=range(3))
    write_galfit(path, frame.assign(id=ID, ra=RA, dec=DEC), ["a comment"])


def _commented(path, table):
    table.write(path, format="ascii.commented_header")


FORMATS = {
    "fits": _fits,
    "gzip": _zipped,
    "ldac": _ldac,
    "votable": lambda path, table: table.write(path, format="votable"),
    "ecsv": lambda path, table: table.write(path, format="ascii.ecsv"),
    "csv": lambda path, table: table.write(path, format="ascii.csv"),
    "bom": lambda path, table: path.write_text(
        "\ufeff" + table.to_pandas().to_csv(index=False), encoding="utf-8"
    ),
    "tab": lambda path, table: table.write(path, format="ascii.tab"),
    "blanks": lambda path, table: table.write(path, format="ascii.basic"),
    "commented": _commented,
    "parquet": lambda path, table: table.to_pandas().to_parquet(path),
    "sextractor": _sextractor,
    "vizier": _vizier,
    "galfit": _galfit,
}


def _refused(message, path, columns=None, kind=DataError, **settings):
    with pytest.raises(kind, match=message) as caught:
        read_objects(path, columns or {}, **settings)
    assert "\n" not in str(caught.value)


def _csv(path, text):
    path.write_text(text)
    return path


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_objects(tmp_path, kind):
    path = tmp_path / "catalog"
    FORMATS[kind](path, _table())
    objects = read_objects(path)
    assert objects["id"].tolist() == ID.tolist()
    np.testing.assert_allclose(objects[["ra", "dec"]], np.stack([RA, DEC], axis=1), atol=1e-7)
    assert objects.columns.tolist() == ["id", "ra", "dec"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "table is empty"),
        (b"  \n\n", "table is empty"),
        (b"id,ra,dec\n", "table has no rows"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is a PNG picture, not a table"),
        (b"PAR1 and no more", "not a readable table"),
        (b"SIMPLE  = and no more", "not a readable table"),
        (b"<?xml version='1.0'?><VOTABLE>", "not a readable table"),
        (b"just some words\nof a letter\n", "no columns for ra and dec or x and y"),
        (b"id ra dec\n1 2 3\n2 3\n", "row 2 has not the header's 3 columns"),
        (b"id,ra,ra\n1,2,3\n", "column 'ra' appears twice"),
        (b"id,ra,dec\n1,2,3\n2,3\n", "row 2 has not the header's 3 columns"),
        (b"id,ra\n1,2\n", "it has id, ra"),
        (b"id,ra,dec\n1,one,2\n", "row 1 of column 'ra' is 'one', no angle"),
        (b"id,x,y\n1,1,left\n", r"column 'y' holds text \('left'\), not numbers"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path, content, message):
    path = tmp_path / "catalog.csv"
    path.write_bytes(content)
    _refused(message, path)


def test_images_and_absent_files_are_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    _refused("holds no table; give the catalogue, not the image", tmp_path / "image.fits")
    _refused("no such table", tmp_path / "absent.fits")


# --- columns and units ----------------------------------------------------------------------


def test_columns_are_mapped(tmp_path):
    path = _csv(tmp_path / "c.csv", "num,alpha,delta,RA,DEC\n5,150.1,2.3,1,1\n")
    objects = read_objects(path, {"id": "num", "ra": "ALPHA", "dec": "delta"})
    assert objects.iloc[0].tolist() == [5, 150.1, 2.3]
    _refused("has no column 'alpa' for ra; did you mean 'alpha'", path, {"ra": "alpa"})
    _refused("has no column 'zzz' for ra; it has num, alpha", path, {"ra": "zzz"})
    _refused("columns: unknown name 'radius'", path, {"radius": "num"}, ConfigError)
    _refused("units: unknown name 'sn'", path, units={"sn": "pix"}, kind=ConfigError)
    _refused("units.ra: 'furlongs' is no unit", path, units={"ra": "furlongs"}, kind=ConfigError)
    both = {"axis_ratio": "num", "ellipticity": "num"}
    _refused("give one of them", path, both, ConfigError)


def test_angles_in_any_unit(tmp_path):
    table = Table({"id": ID, "ra": RA / 15 * u.hourangle, "dec": np.radians(DEC) * u.rad})
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    objects = read_objects(tmp_path / "a.ecsv")
    np.testing.assert_allclose(objects["ra"], RA)
    np.testing.assert_allclose(objects["dec"], DEC)
    path = _csv(
        tmp_path / "b.csv", "id,ra,dec\n1,10:00:24.24,+02:18:03.6\n2,10h00m24.48s,2d17m56s\n"
    )
    objects = read_objects(path)
    np.testing.assert_allclose(objects["ra"], [150.101, 150.102])
    np.testing.assert_allclose(objects["dec"], [2.301, 2 + 17 / 60 + 56 / 3600])
    path = _csv(tmp_path / "c.csv", "id,ra,dec\n1,10.0067,2.301\n")
    assert read_objects(path, units={"ra": "hours"})["ra"].iloc[0] == pytest.approx(150.1005)
    table = _table()
    table["RA"].unit = u.kg
    table.write(tmp_path / "d.fits")
    _refused("column 'RA' is in 'kg', which cannot be turned into 'deg'", tmp_path / "d.fits")


def test_first_pixels_are_zero_or_one(tmp_path):
    path = _csv(tmp_path / "a.csv", "NUMBER,X_IMAGE,Y_IMAGE\n1,1.0,11.5\n")
    assert read_objects(path).iloc[0].tolist() == [1, 0.0, 10.5]
    assert read_objects(path, one_based=False).iloc[0].tolist() == [1, 1.0, 11.5]
    path = _csv(tmp_path / "b.csv", "id,xcentroid,ycentroid\n1,1.0,11.5\n")
    assert read_objects(path).iloc[0].tolist() == [1, 1.0, 11.5]
    assert read_objects(path, one_based=True).iloc[0].tolist() == [1, 0.0, 10.5]
    # The sky goes before pixels, which may be of another image, unless these are asked for.
    path = _csv(tmp_path / "c.csv", "id,ra,dec,x,y\n1,150,2,7,8\n")
    assert "x" not in read_objects(path)
    assert read_objects(path, {"x": "x", "y": "y"})["x"].iloc[0] == 7


# --- identifiers ----------------------------------------------------------------------------


def test_identifiers(tmp_path, capsys):
    path = _csv(tmp_path / "a.csv", "ra,dec\n150,2\n151,2\n")
    assert read_objects(path)["id"].tolist() == [1, 2]
    assert "no column for id; objects are numbered from 1" in capsys.readouterr().err
    path = _csv(tmp_path / "b.csv", "name,ra,dec\nNGC 1,150,2\nM 31,151,2\n")
    objects = read_objects(path)
    assert objects["id"].tolist() == [1, 2]
    assert objects["name"].tolist() == ["NGC 1", "M 31"]
    path = _csv(tmp_path / "c.csv", "id,ra,dec\n3.0,150,2\n4.0,151,2\n")
    assert read_objects(path)["id"].tolist() == [3, 4]
    large = Table(
        {"id": np.array([2**63 + 1, 2**63 + 3], np.uint64), "ra": [1.0, 2], "dec": [1.0, 2]}
    )
    large.write(tmp_path / "d.fits")
    assert read_objects(tmp_path / "d.fits")["name"].tolist() == [str(2**63 + 1), str(2**63 + 3)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("7,150,2\n8,150,2\n7,151,2\n", "id 7 stands 2 times; give every object its own"),
        ("7.0,150,2\n8.5,150,2\n7.0,151,2\n", "id 7.0 stands 2 times"),
        ("a,150,2\nb,150,2\na,151,2\n", "id a stands 2 times"),
        ("7,150,2\n,150,2\n", "row 2 has no id"),
    ],
)
def test_bad_identifiers_are_refused(tmp_path, rows, message):
    _refused(message, _csv(tmp_path / "a.csv", "id,ra,dec\n" + rows))


# --- positions ------------------------------------------------------------------------------


def test_positions_that_are_none_are_counted(tmp_path, capsys):
    rows = "1,150,2\n2,-999,-999\n3,,2\n4,150,95\n5,-10,2\n6,400,2\n7,nan,2\n"
    objects = read_objects(_csv(tmp_path / "a.csv", "id,ra,dec\n" + rows))
    assert np.isfinite(objects["ra"]).tolist() == [True, False, False, False, True, False, False]
    assert np.isnan(objects["ra"]).equals(np.isnan(objects["dec"]))
    assert objects["ra"].iloc[4] == 350
    assert "5 of 7 objects have not a position on the sky" in capsys.readouterr().err
    _refused("none of 1 objects has a position", _csv(tmp_path / "b.csv", "id,ra,dec\n1,-999,1\n"))


def test_swapped_coordinates_out_of_range(tmp_path):
    path = _csv(tmp_path / "a.csv", "id,ra,dec\n1,2.3,150.1\n2,2.4,150.2\n")
    _refused("dec holds 150.1 deg and ra nothing beyond 90; ra and dec are swapped", path)


@pytest.fixture
def image(tmp_path):
    data = np.random.default_rng(1).normal(0, 1, (100, 120))
    path = tmp_path / "image.fits"
    write_mosaic(path, data, tangent_wcs(data.shape, 0.06, ra=40.0, dec=30.0), {}, "e-/s")
    return path


@pytest.mark.parametrize(
    ("ra", "dec", "message"),
    [
        (30.0, 40.0, "they would be inside with ra and dec swapped"),
        (40.0 / 15, 30.0, "inside with ra in hours: give --units ra=hourangle"),
        (np.radians(40.0), np.radians(30.0), "inside with ra and dec in radians"),
        (41.0, 30.0, "centre is at ra 40.0000, dec 30.0000, the catalogue's median at ra 41.0000"),
    ],
)
def test_objects_outside_are_explained(image, ra, dec, message):
    objects = pd.DataFrame({"id": [1, 2], "ra": [ra, np.nan], "dec": [dec, np.nan]})
    with open_mosaic(image) as mosaic, pytest.raises(DataError, match=message) as caught:
        locate(objects, mosaic)
    assert "all 2 objects lie outside" in str(caught.value)


def test_objects_are_located(image):
    with open_mosaic(image, pixel_scale=0.12) as mosaic:
        objects = pd.DataFrame({"ra": [40.0, np.nan], "dec": [30.0, np.nan]})
        x, y = locate(objects, mosaic)
        np.testing.assert_allclose(x, [29.5, np.nan])
        np.testing.assert_allclose(y, [24.5, np.nan])
        x, y = locate(pd.DataFrame({"x": [59.5], "y": [49.5]}), mosaic)
        np.testing.assert_allclose([x[0], y[0]], [29.5, 24.5])
        with pytest.raises(DataError, match="all 1 objects lie outside the image of 120 x 100 px"):
            locate(pd.DataFrame({"x": [590.0], "y": [49.5]}), mosaic)


# --- labels ---------------------------------------------------------------------------------

LABELLED = {
    "magnitude": "MAG",
    "effective_radius": "R",
    "sersic_index": "N",
    "axis_ratio": "BA",
    "position_angle": "PA",
}


def _labelled(tmp_path, unit="arcsec", **changes):
    columns = {"MAG": [21.0, 22, -99], "R": [0.6, 0.3, 1], "N": [1.0, 4, 2], "BA": [0.7, 1, 0.2]}
    table = _table(**{**columns, "PA": [10.0, -30, 0], **changes})
    if unit:
        table["R"].unit = unit
    table.write(tmp_path / "c.ecsv", format="ascii.ecsv", overwrite=True)
    return tmp_path / "c.ecsv"


def test_labels_under_our_names_and_units(tmp_path, capsys):
    path = _labelled(tmp_path)
    objects = read_objects(path, LABELLED)
    np.testing.assert_allclose(objects["effective_radius"], [0.6, 0.3, 1])
    np.testing.assert_allclose(objects["ellipticity"], [0.3, 0, 0.8])
    np.testing.assert_allclose(objects["position_angle"], [10, -30, 0])
    np.testing.assert_allclose(objects["magnitude"], [21, 22, np.nan])
    assert objects["flag"].tolist() == [0, 0, 3]
    assert "1 of 3 objects lack a label: flag 3" in capsys.readouterr().err
    path = _labelled(tmp_path, "pix")
    radii = read_objects(path, LABELLED, pixel_scale=0.03)
    np.testing.assert_allclose(radii["effective_radius"], [0.018, 0.009, 0.03])
    _refused("column 'R' is in 'pix', which cannot be turned into 'arcsec'", path, LABELLED)
    path = _labelled(tmp_path, None)
    _refused("column 'R' has no unit; give in --units whether effective_radius is in arcsec or pix",
             path, LABELLED)  # fmt: skip
    told = read_objects(path, LABELLED, units={"effective_radius": "arcsec"})
    np.testing.assert_allclose(told["effective_radius"], [0.6, 0.3, 1])


def test_ratios_of_the_wrong_way_round_are_refused(tmp_path):
    path = _labelled(tmp_path, BA=[1.5, 2.0, 3.0])
    _refused("axis_ratio has a median of 2.00; it must be b/a", path, LABELLED)
    path = _labelled(tmp_path, BA=[0.5, 0.5, 3.0])
    assert np.isnan(read_objects(path, LABELLED)["ellipticity"].iloc[2])


def test_flags_that_are_missing_are_no_good(tmp_path):
    path = _csv(tmp_path / "a.csv", "id,ra,dec,F\n1,150,2,0\n2,150,2.1,\n3,150,2.2,1\n")
    assert read_objects(path, {"flag": "F"})["flag"].tolist() == [0, 3, 1]


# --- real catalogues ------------------------------------------------------------------------


@pytest.mark.realdata
def test_the_real_galfit_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    objects = read_objects(path, galfit_labels=True)
    assert len(objects) == 6000
    missing = objects[["magnitude", "effective_radius", "ellipticity"]].isna().any(axis=1)
    assert (objects.loc[missing, "flag"] == 3).all()
    good = objects[objects["flag"] == 0]
    assert 0.1 < good["effective_radius"].median() < 0.5
    assert read_objects(path).columns.tolist() == ["id", "ra", "dec"]


@pytest.mark.realdata
def test_real_catalogues_of_galaxies(galadapt_data):
    path = galadapt_data / "cosmos_f814w_faint" / "real_galaxy_catalog_26_extension_example.fits"
    objects = read_objects(path, {"magnitude": "MAG"})
    assert len(objects) == 100
    assert objects["magnitude"].between(20, 26.1).all()
    assert objects["dec"].between(1.5, 3).all()
