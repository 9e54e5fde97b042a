"""Cutouts from a small synthetic mosaic on which everything is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS as Coordinates
from photutils.detection import find_peaks

from galadapt.config import Extraction, Image, Splits
from galadapt.errors import DataError
from galadapt.extraction import cutouts, tiles
from galadapt.stamps import StampSet
from galadapt.surveys.field import tangent_wcs, write_mosaic

SIDE, RMS = 400, 0.005
IMAGE = Image(stamp_size=32)
WCS = tangent_wcs((SIDE, SIDE), 0.06)
CARDS: dict[str, object] = {}


def _gaussian(x, y, flux, sigma=2.5):
    rows, columns = np.indices((SIDE, SIDE))
    shape = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)
    return flux * shape / (2 * np.pi * sigma**2)


class Field:
    """Sources, sky and weight of a test mosaic, written when asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.image = np.random.default_rng(0).normal(0, RMS, (SIDE, SIDE))
        self.weight = np.full((SIDE, SIDE), 1 / RMS**2)
        self.rows = []

    def add(self, x, y, flux=5.0, listed=True, **changes):
        self.image += _gaussian(x, y, flux)
        if listed:
            self.list(x, y, **changes)

    def list(self, x, y, **changes):
        ra, dec = WCS.pixel_to_world_values(x, y)
        row = {
            **{"id": len(self.rows) + 1, "ra": float(ra), "dec": float(dec), "magnitude": 22.0},
            **{"effective_radius": 4.0, "sersic_index": 1.0, "ellipticity": 0.2, "sn": 50.0},
            **{"position_angle": 30.0, "flag": 0},
        }
        self.rows.append(row | changes)

    def write(self):
        write_mosaic(self.folder / "drz.fits", self.image, WCS, CARDS, "ELECTRONS/S")
        write_mosaic(self.folder / "wht.fits", self.weight, WCS, CARDS, "")
        pd.DataFrame(self.rows).to_parquet(self.folder / "selected.parquet")

    def extract(self, image=IMAGE, seed=1, **settings):
        self.write()
        return cutouts.extract(
            self.folder / "drz.fits",
            self.folder / "wht.fits",
            self.folder / "selected.parquet",
            image,
            Extraction(**settings),
            Splits(),
            seed,
            self.folder / "stamps.h5",
            self.folder / "rejected.csv",
            {"code": "abc"},
        )

    def rejected(self):
        return pd.read_csv(self.folder / "rejected.csv").set_index("id")


@pytest.fixture
def field(tmp_path):
    return Field(tmp_path)


def test_stamps_hold_their_object_where_the_table_says(field):
    places = [(100.0, 120.0), (200.3, 80.4), (150.5, 250.5), (299.51, 301.49)]
    for x, y in places:
        field.add(x, y, flux=20.0)
    table = field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        images = stamps.images()
        assert stamps.metadata["domain"] == "survey"
        assert stamps.metadata["pixel_rms"] == pytest.approx(RMS, rel=1e-3)
        assert stamps.unit == "electron/s"
    rows, columns = np.indices((32, 32))
    for stamp, (_, row) in zip(images, table.iterrows(), strict=True):
        light = np.where(np.hypot(columns - 15.5, rows - 15.5) < 9, stamp, 0)
        centroid = [(light * axis).sum() / light.sum() - 15.5 for axis in (columns, rows)]
        assert centroid == pytest.approx([row["x_offset"], row["y_offset"]], abs=0.05)
        assert max(abs(row["x_offset"]), abs(row["y_offset"])) <= 0.5001
        assert stamp.sum() == pytest.approx(20.0, rel=0.03)
        assert row["neighbour_fraction"] < 0.02
        assert row["local_rms"] == pytest.approx(RMS, rel=1e-4)
    assert len(field.rejected()) == 0


def test_a_slanted_sky_is_subtracted(field):
    field.add(200, 200, flux=20.0)
    field.image += 0.02 + 0.03 * np.indices((SIDE, SIDE))[1] / SIDE
    field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        stamp = stamps.images()[0]
    assert stamp.sum() == pytest.approx(20.0, rel=0.06)
    assert np.median(stamp[:4]) == pytest.approx(0, abs=0.3 * RMS)


def test_each_reason_is_found(field):
    field.add(200, 200)  # 1: good
    field.add(8, 200)  # 2: cut by the edge
    field.list(-60, 100)  # 3: off the mosaic
    field.add(300, 100)  # 4: a hole in the weights
    field.weight[100:104, 305:308] = 0
    field.list(100, 300)  # 5: nothing there
    field.add(300, 300)  # 6: beside a brighter galaxy
    field.add(312, 300, flux=20.0, listed=False)
    field.add(100, 100)  # 7: a pixel that is not a number
    field.image[95, 95] = np.nan
    table = field.extract()
    assert table["id"].tolist() == [1]
    rejected = field.rejected()
    assert rejected["reason"].to_dict() == {
        2: "edge",
        3: "outside",
        4: "bad_pixels",
        5: "undetected",
        6: "neighbours",
        7: "bad_pixels",
    }
    assert set(rejected["reason"]) <= set(cutouts.REASONS)
    assert rejected.loc[2, "value"] == 8
    assert rejected.loc[3, "value"] == pytest.approx(59.5, abs=0.01)
    assert rejected.loc[4, "value"] == pytest.approx(12 / 1024)
    assert rejected.loc[5, "value"] < 1.5
    assert rejected.loc[6, "value"] > 0.6
    assert rejected.loc[7, "value"] == pytest.approx(1 / 1024)


def test_light_blended_into_the_same_segment_counts(field):
    field.add(200, 200, flux=10.0)
    field.add(207, 200, flux=10.0, listed=False)
    field.add(100, 100, flux=10.0)
    table = field.extract(max_neighbour_fraction=1.0).set_index("id")
    assert table.loc[1, "neighbour_fraction"] > 0.3
    assert table.loc[2, "neighbour_fraction"] < 0.05


def test_a_few_bad_pixels_can_be_tolerated(field):
    field.add(200, 200)
    field.image[190, 190] = np.nan
    assert len(field.extract(max_bad_fraction=0.01)) == 1
    with StampSet(field.folder / "stamps.h5") as stamps:
        assert np.isfinite(stamps.images()).all()


def test_a_position_that_is_not_finite_kills_nothing(field):
    field.add(200, 200)
    field.list(100, 100, ra=float("nan"))
    field.list(100, 100, dec=-60.0)
    assert field.extract()["id"].tolist() == [1]
    assert field.rejected()["reason"].tolist() == ["outside", "outside"]


def test_stamps_do_not_depend_on_the_other_objects(field):
    field.add(200, 200)
    field.add(100, 250)
    field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        both, table = stamps.images(), stamps.table
    field.rows = field.rows[1:]
    field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        np.testing.assert_array_equal(stamps.images()[0], both[1])
        pd.testing.assert_series_equal(
            stamps.table.iloc[0], table.iloc[1], check_names=False, check_dtype=False
        )


def test_extraction_repeats_byte_for_byte(field):
    field.add(200, 200)
    field.extract()
    first = (field.folder / "stamps.h5").read_bytes()
    field.extract()
    assert (field.folder / "stamps.h5").read_bytes() == first


def test_tiles_agree_with_one_piece(field, monkeypatch):
    for x, y in ((120, 130), (290, 310), (199, 202)):
        field.add(x, y, flux=10.0)
    whole = field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        images = stamps.images()
    monkeypatch.setattr(tiles, "_TILE", 150)
    tiled = field.extract()
    assert tiled["id"].tolist() == whole["id"].tolist()
    pd.testing.assert_frame_equal(tiled[["x_offset", "y_offset"]], whole[["x_offset", "y_offset"]])
    with StampSet(field.folder / "stamps.h5") as stamps:
        # Only the background's meshes differ.
        np.testing.assert_allclose(stamps.images(), images, atol=0.5 * RMS)


def test_splits_follow_the_shares_and_the_identifier():
    splits = Splits(train=0.5, validation=0.2)
    drawn = pd.Series([cutouts.split_of(number, 3, splits) for number in range(4000)])
    shares = drawn.value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.5, abs=0.03)
    assert shares["validation"] == pytest.approx(0.2, abs=0.03)
    other = pd.Series([cutouts.split_of(number, 4, splits) for number in range(4000)])
    assert 0.3 < (drawn == other).mean() < 0.5
    assert cutouts.split_of(17, 3, splits) == drawn[17]


def test_no_usable_object_is_an_error(field):
    field.list(100, 300)
    field.list(-50, 300)
    message = r"none of 2 objects gives a usable stamp .*\(1 undetected, 1 outside\)|outside, 1 und"
    with pytest.raises(DataError, match=message):
        field.extract()
    assert not (field.folder / "stamps.h5").exists()


def test_another_pixel_scale_is_an_error(field):
    field.add(200, 200)
    with pytest.raises(DataError, match=r"pixel scale is 0\.0600 arcsec, image\.pixel_scale says"):
        field.extract(image=Image(stamp_size=32, pixel_scale=0.1))


def test_a_selection_without_its_columns_is_an_error(field):
    field.add(200, 200)
    del field.rows[0]["ra"]
    with pytest.raises(DataError, match=r"selection lacks the column\(s\) ra; rerun"):
        field.extract()


def test_a_mosaic_without_any_weight_rejects_everything(field):
    field.add(200, 200)
    field.weight[:] = 0
    with pytest.raises(DataError, match="1 bad_pixels"):
        field.extract()


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_cuts_real_headers(galadapt_data, tmp_path):
    """The field with a real HST header: the positions of its brightest pixels give stamps."""
    folder = galadapt_data / "f160w_field"
    drz = folder / "HST_macs1149_f160w_drz.fits"
    rms = fits.getdata(folder / "HST_macs1149_f160w_rms.fits")
    image, header = fits.getdata(drz), fits.getheader(drz)
    wcs = Coordinates(header)
    write_mosaic(tmp_path / "wht.fits", 1 / rms**2, wcs, CARDS, "")
    peaks = find_peaks(image, 0.1, box_size=41, n_peaks=60)
    ra, dec = wcs.pixel_to_world_values(peaks["x_peak"], peaks["y_peak"])
    selected = pd.DataFrame({"id": np.arange(len(peaks)), "ra": ra, "dec": dec, "flag": 0})
    for name in (*cutouts.PARAMETERS, "position_angle"):
        selected[name] = 1.0
    selected.to_parquet(tmp_path / "selected.parquet")
    table = cutouts.extract(
        drz,
        tmp_path / "wht.fits",
        tmp_path / "selected.parquet",
        Image(),
        Extraction(),
        Splits(),
        1,
        tmp_path / "stamps.h5",
        tmp_path / "rejected.csv",
        {},
    )
    assert len(table) >= 10
    with StampSet(tmp_path / "stamps.h5") as stamps:
        images = stamps.images()
    # The brightest pixel is one of the four central ones.
    for stamp in images:
        brightest = np.unravel_index(np.argmax(stamp[26:38, 26:38]), (12, 12))
        assert np.abs(np.array(brightest) - 5.5).max() <= 0.5
