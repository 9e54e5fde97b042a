"""Mosaics and catalogues: round trips, and every way they can be broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from galadapt.errors import DataError
from galadapt.mosaics import open_mosaic
from galadapt.surveys import field

HEADER = "#   NUMBER RA DEC f mag dmag re dre n dn q dq pa dpa sn\n#\n"
GOOD = "30 150.1 2.2 0 22.9877 0.067 0.46356 0.048 4.3899 0.568 0.3468 0.029 -18.09 2.78 72.09\n"
NO_FIT = "31 150.2 2.3 3" + " -999" * 10 + " 21.4726\n"


def _catalog(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _mosaic(folder: Path, unit: str = "ELECTRONS/S", wcs: bool = True, shape=(40, 50)) -> Path:
    path = folder / "drz.fits"
    coordinates = field.tangent_wcs(shape, 0.06)
    field.write_mosaic(path, np.ones(shape), coordinates, {"EXPTIME": 10.0}, unit)
    if not wcs:
        fits.PrimaryHDU(np.ones(shape), fits.Header({"BUNIT": unit})).writeto(path, overwrite=True)
    return path


@pytest.mark.realdata
def test_reads_the_real_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    table = field.read_catalog(path)
    assert len(table) == 6000
    assert (table["f"] == 3).sum() == 12
    assert (table.loc[table["f"] == 3, "mag"] == -999).all()
    row = table[table["NUMBER"] == 30].iloc[0]
    assert (row["mag"], row["re"], row["pa"]) == (22.9877, 0.46356, -18.0946)


def test_catalogue_survives_a_round_trip(tmp_path):
    first = field.read_catalog(_catalog(tmp_path / "a.txt", HEADER + GOOD + NO_FIT))
    field.write_catalog(tmp_path / "b.txt", first, ["made by a test"])
    pd.testing.assert_frame_equal(field.read_catalog(tmp_path / "b.txt"), first)
    assert (tmp_path / "b.txt").read_text().startswith("# made by a test\n")


def test_absurd_values_are_kept_for_the_selection(tmp_path):
    absurd = GOOD.replace("0.46356", "1e30").replace("4.3899", "nan")
    table = field.read_catalog(_catalog(tmp_path / "a.txt", HEADER + GOOD + absurd))
    assert table["re"].iloc[1] == 1e30
    assert np.isnan(table["n"].iloc[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header line '# NUMBER RA DEC ...'"),
        (HEADER, "catalogue has no rows; check that it was written completely"),
        (GOOD, "no header line '# NUMBER RA DEC ...'"),
        (HEADER.replace(" re ", " ").replace("sn", "") + GOOD, r"lacks the column\(s\) re, sn;"),
        (HEADER + GOOD + "32 150.1 2.2 0 22\n", "rows do not match the 15 columns"),
        (HEADER + GOOD.replace("22.9877", "bright"), "column 'mag' holds text"),
        (HEADER + GOOD.replace(" 0 22", " 0.5 22"), "column 'f' must hold integers"),
        (HEADER + GOOD.replace("30 150", "30.5 150"), "column 'NUMBER' must hold integers"),
        ('{"not": "a catalogue"}', "no header line"),
    ],
)
def test_broken_catalogues_are_named(tmp_path, text, message):
    path = _catalog(tmp_path / "cat.txt", text)
    with pytest.raises(DataError, match=message) as caught:
        field.read_catalog(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_binary_file_is_no_catalogue(tmp_path):
    (tmp_path / "cat.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="not a text catalogue"):
        field.read_catalog(tmp_path / "cat.txt")
    with pytest.raises(DataError, match="no such catalogue"):
        field.read_catalog(tmp_path / "absent.txt")


def test_mosaic_is_mapped_and_placed(tmp_path):
    path = _mosaic(tmp_path)
    with open_mosaic(path, path) as mosaic:
        assert mosaic.drz.shape == (40, 50)
        assert mosaic.pixel_scale == pytest.approx(0.06)
        ra, dec = mosaic.wcs.pixel_to_world_values(24.5, 19.5)
        assert (ra, dec) == (pytest.approx(150.1), pytest.approx(2.3))
        # East is left.
        assert mosaic.wcs.pixel_to_world_values(0, 19.5)[0] > ra


@pytest.mark.realdata
def test_opens_a_real_header(galadapt_data):
    folder = galadapt_data / "f160w_field"
    with open_mosaic(
        folder / "HST_macs1149_f160w_drz.fits", folder / "HST_macs1149_f160w_rms.fits"
    ) as mosaic:
        assert mosaic.drz.shape == (667, 667)
        assert mosaic.pixel_scale == pytest.approx(0.06, rel=1e-6)


@pytest.mark.parametrize("unit", ["ELECTRONS/S", "e-/s", "electron / s", "electron s-1"])
def test_rates_are_recognised(tmp_path, unit):
    path = _mosaic(tmp_path, unit)
    with open_mosaic(path, path) as mosaic:
        assert mosaic.drz.ndim == 2


@pytest.mark.parametrize("unit", ["COUNTS", "", "ELECTRONS", "MJy/sr"])
def test_other_units_are_refused(tmp_path, unit):
    path = _mosaic(tmp_path, unit)
    message = f"BUNIT is '{unit}', not ELECTRONS/S; divide counts"
    with pytest.raises(DataError, match=message), open_mosaic(path, path):
        pass


def test_mosaic_without_wcs_is_refused(tmp_path):
    path = _mosaic(tmp_path, wcs=False)
    with pytest.raises(DataError, match="no celestial WCS"), open_mosaic(path, path):
        pass


def test_weight_of_another_shape_is_refused(tmp_path):
    drz = _mosaic(tmp_path)
    (tmp_path / "other").mkdir()
    wht = _mosaic(tmp_path / "other", shape=(40, 40))
    message = r"weight map of \(40, 40\) px for a mosaic of \(40, 50\) px"
    with pytest.raises(DataError, match=message), open_mosaic(drz, wht):
        pass


@pytest.mark.parametrize(
    ("keep", "message"), [(100, "not a readable FITS"), (6000, "not a readable FITS")]
)
def test_truncated_mosaic_is_refused(tmp_path, keep, message):
    path = _mosaic(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=message), open_mosaic(path, path):
        pass


def test_text_and_tables_are_no_mosaics(tmp_path):
    path = tmp_path / "drz.fits"
    path.write_text("hello")
    with pytest.raises(DataError, match="not a readable FITS"), open_mosaic(path, path):
        pass
    fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="holds no 2-D image"), open_mosaic(path, path):
        pass
    absent = tmp_path / "absent.fits"
    with pytest.raises(DataError, match="no such mosaic"), open_mosaic(absent, path):
        pass


@pytest.mark.parametrize("turn", [0.0, 30.0, -75.0])
def test_angles_follow_the_image(turn):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [10.0, 60.0], [50.0, 50.0]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    # North is `turn` degrees counter-clockwise from +y.
    wcs.wcs.cd = np.array([[-1, 0], [0, 1]]) @ np.array([[c, s], [-s, c]]) * 0.06 / 3600
    got = field.image_angle(wcs, np.full(3, 10.0), np.full(3, 60.0), np.array([0.0, 40.0, -60.0]))
    expected = (np.array([0.0, 40.0, -60.0]) + turn + 90) % 180 - 90
    np.testing.assert_allclose(got, expected, atol=1e-3)
