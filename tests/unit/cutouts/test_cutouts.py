"""Cutouts from a small synthetic mosaic on which everything is known."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS as Coordinates
from field_files import write_mosaic
from photutils.detection import find_peaks

from galadapt.config.image import Image
from galadapt.config.survey import Extraction, Splits
from galadapt.core.errors import DataError, RunError
from galadapt.core.extraction_flags import FLAGS, Flag, names
from galadapt.cutouts import cutouts, tiles
from galadapt.cutouts.stamps import REASONS, judge
from galadapt.cutouts.tiles import segmented
from galadapt.sky import open_mosaic
from galadapt.stamps.format import StampSet
from galadapt.surveys.field import tangent_wcs

SIDE, RMS = 400, 0.005

#: How far tiles may disagree [pixel rms].
TILING = 0.02

IMAGE = Image(stamp_size=32)
BY_ID = Splits(by="id")
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
        self.cards = {}

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
        write_mosaic(self.folder / "drz.fits", self.image, WCS, self.cards, "ELECTRONS/S")
        write_mosaic(self.folder / "wht.fits", self.weight, WCS, CARDS, "")
        pd.DataFrame(self.rows).to_parquet(self.folder / "selected.parquet")

    def extract(self, image=IMAGE, seed=1, splits=BY_ID, processes=1, **settings):
        self.write()
        return cutouts.extract(
            self.folder / "drz.fits",
            self.folder / "wht.fits",
            self.folder / "selected.parquet",
            image,
            Extraction(**settings),
            splits,
            seed,
            self.folder / "stamps.h5",
            self.folder / "rejected.csv",
            {"code": "abc"},
            processes,
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
    assert set(rejected["reason"]) <= set(REASONS)
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
        # Meshes lie on one grid; what is left is how far their splines reach.
        np.testing.assert_allclose(stamps.images(), images, atol=TILING * RMS)


def test_processes_and_order_do_not_change_a_byte(field, monkeypatch):
    monkeypatch.setattr(tiles, "_TILE", 100)
    for x, y in ((300, 310), (120, 130), (60, 320), (199, 202), (310, 90)):
        field.add(x, y, flux=10.0)
    field.list(-50, 10)
    field.extract(processes=1, neighbours="mask")
    alone = (field.folder / "stamps.h5").read_bytes()
    rejected = (field.folder / "rejected.csv").read_bytes()
    assert field.extract(processes=2, neighbours="mask")["id"].tolist() == [1, 2, 3, 4, 5]
    assert (field.folder / "stamps.h5").read_bytes() == alone
    assert (field.folder / "rejected.csv").read_bytes() == rejected
    assert not list(field.folder.glob("tmp*"))


def test_every_row_comes_once_whatever_the_batch(field, monkeypatch):
    monkeypatch.setattr(cutouts, "_BATCH", 4 * 32 * 32 * 2)
    field.write()
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-20, SIDE + 20, (2, 40))
    x[3] = np.nan
    with open_mosaic(field.folder / "drz.fits", field.folder / "wht.fits") as mosaic:
        batches = list(cutouts.cutouts(mosaic, x, y, 32, Extraction()))
    rows = np.concatenate([rows for rows, _ in batches])
    assert sorted(rows) == list(range(40))
    assert all(len(rows) == len(judged) for rows, judged in batches)
    assert max(len(rows) for rows, judged in batches if judged[0].reason != "outside") == 2


def test_tiles_without_objects_are_not_read(field, monkeypatch):
    monkeypatch.setattr(tiles, "_TILE", 96)
    field.add(60, 60)
    field.write()
    read = []
    with open_mosaic(field.folder / "drz.fits", field.folder / "wht.fits") as mosaic:
        whole = mosaic.read
        mosaic.read = lambda *box: read.append(box) or whole(*box)
        list(
            cutouts.cutouts(
                mosaic, np.array([60.0, 50.0]), np.array([60.0, 50.0]), 32, Extraction()
            )
        )
    assert read == [(0, 96 + 96, 0, 96 + 96)]


def test_a_killed_process_is_a_sentence(field, monkeypatch):
    monkeypatch.setattr(tiles, "_TILE", 100)
    monkeypatch.setattr(cutouts, "read_tile", lambda *_: os._exit(9))
    field.add(60, 60)
    field.add(300, 300)
    with pytest.raises(RunError, match=r"ended from outside.*use fewer processes"):
        field.extract(processes=2)
    assert not (field.folder / "stamps.h5").exists()


def _names(table):
    return {row["id"]: names(row["extraction_flags"]) for _, row in table.iterrows()}


def test_flags_have_one_name_and_one_description_each(field):
    assert [flag.name.lower() for flag in Flag] == list(FLAGS)
    assert names(Flag.STAR | Flag.COINCIDENT) == ["star", "coincident"]
    field.add(200, 200)
    field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        bits = stamps.metadata["extraction_flags"]
    assert bits == {flag.name.lower(): int(flag) for flag in Flag}


def test_each_flag_is_raised_and_rejects_only_when_told(field):
    field.add(200, 200, flux=5.0)  # 1: nothing to say
    field.add(60, 200, flux=0.45)  # 2: faint
    field.add(200, 60, flux=5.0)  # 3: with a neighbour
    field.add(209, 66, flux=2.0, listed=False)
    field.add(18, 330, flux=5.0)  # 4: at the border
    field.image += _gaussian(330, 200, 5.0, sigma=1.45)  # 5: a point source
    field.list(330, 200)
    saturated = np.minimum(_gaussian(330, 330, 50.0), 0.7)  # 6: a core cut off
    field.image += saturated
    field.list(330, 330)
    field.list(200.3, 200.2)  # 7: the same as the first
    field.weight[80:140, 280:340] *= 9  # 8: a weight too high
    field.add(310, 110, flux=5.0)
    field.add(100, 300, flux=5.0)  # 9: a hole within what is allowed
    field.image[290, 90] = np.nan
    told = _names(field.extract(max_bad_fraction=0.01))
    assert told == {
        1: ["coincident"],
        2: ["low_signal_to_noise"],
        3: ["neighbour", "blended"],
        4: ["near_edge"],
        5: ["star"],
        6: ["saturated"],
        7: ["coincident"],
        8: ["noise_disagrees"],
        9: ["bad_pixels"],
    }
    assert len(field.rejected()) == 0
    kept = field.extract(max_bad_fraction=0.01, reject=["star", "saturated"])
    assert kept["id"].tolist() == [1, 2, 3, 4, 7, 8, 9]
    reasons = field.rejected()
    assert reasons["reason"].to_dict() == {5: "flag_star", 6: "flag_saturated"}
    assert reasons.loc[5, "value"] > 20


def test_saturation_is_a_setting_in_the_images_unit(field):
    field.add(200, 200, flux=20.0)
    peak = field.image[200, 200]
    assert _names(field.extract(saturation=0.95 * peak)) == {1: ["saturated"]}
    assert _names(field.extract(saturation=1.05 * peak)) == {1: []}


def test_without_a_psf_there_are_no_stars(field):
    field.image += _gaussian(200, 200, 5.0, sigma=1.45)
    field.list(200, 200)
    table = field.extract(psf_fwhm=None)
    assert _names(table) == {1: []}
    assert np.isnan(table["fwhm"].iloc[0])


def test_the_noise_is_measured_in_the_stamp_too(field):
    field.add(200, 200)
    field.weight *= 0.25
    table = field.extract(detection_threshold=0.8)
    assert table["local_rms"].iloc[0] == pytest.approx(2 * RMS, rel=1e-4)
    assert table["empty_rms"].iloc[0] == pytest.approx(RMS, rel=0.06)


@pytest.mark.parametrize("background", ["mesh", "annulus", "none"])
def test_the_background_is_a_choice(field, background):
    field.add(200, 200, flux=20.0)
    field.image += 0.04
    table = field.extract(background=background)
    with StampSet(field.folder / "stamps.h5") as stamps:
        border = np.median(stamps.images()[0][:4])
    assert border == pytest.approx(0.04 if background == "none" else 0.0, abs=0.3 * RMS)
    assert table["background"].iloc[0] == pytest.approx(0.04, abs=0.3 * RMS)
    assert table["signal_to_noise"].iloc[0] == pytest.approx(300, rel=0.1)


def test_masked_neighbours_are_gone_and_the_object_is_not(field):
    field.add(200, 200, flux=5.0)
    field.add(211, 204, flux=4.0, listed=False)
    kept = field.extract(max_neighbour_fraction=1)
    with StampSet(field.folder / "stamps.h5") as stamps:
        with_neighbour = stamps.images()[0]
    masked = field.extract(max_neighbour_fraction=1, neighbours="mask")
    with StampSet(field.folder / "stamps.h5") as stamps:
        without = stamps.images()[0]
    assert with_neighbour.sum() == pytest.approx(9.0, rel=0.1)
    assert without.sum() == pytest.approx(5.0, rel=0.1)
    np.testing.assert_array_equal(without[:, :16], with_neighbour[:, :16])
    pd.testing.assert_frame_equal(kept, masked)


def test_stamps_of_different_splits_share_no_pixel(field):
    rng = np.random.default_rng(4)
    for x, y in rng.uniform(20, SIDE - 20, (40, 2)):
        field.add(x, y, flux=5.0)
    table = field.extract(splits=Splits(cell=2), max_neighbour_fraction=1)
    corners = np.ceil(table[["x", "y"]].to_numpy() - 16 - 1e-4)
    apart = np.abs(corners[:, None] - corners[None]).max(axis=-1) >= 32
    same = table["split"].to_numpy()[:, None] == table["split"].to_numpy()
    assert (apart | same).all()
    assert set(table["split"]) == {"train", "validation", "test"}
    lost = field.rejected()
    lost = lost[lost["reason"] == "split_overlap"]
    assert len(lost) > 0 and lost["value"].between(1, 32).all()


def test_a_mosaic_smaller_than_a_stamp_is_a_sentence(field):
    field.list(200, 200)
    with pytest.raises(DataError, match="1 edge"):
        field.extract(image=Image(stamp_size=512))


def test_no_usable_object_is_an_error(field):
    field.list(100, 300)
    field.list(-50, 300)
    message = r"none of 2 objects gives a usable stamp .*\(1 undetected, 1 outside\)|outside, 1 und"
    with pytest.raises(DataError, match=message):
        field.extract()
    assert not (field.folder / "stamps.h5").exists()


def test_another_pixel_scale_is_resampled_with_its_flux(field, capsys):
    field.add(200, 200, flux=20.0)
    field.extract(image=Image(stamp_size=24, pixel_scale=0.1))
    with StampSet(field.folder / "stamps.h5") as stamps:
        assert stamps.metadata["pixel_scale"] == 0.1
        assert stamps.images()[0].sum() == pytest.approx(20.0, rel=0.03)
    assert "pixels of 0.0600 arcsec are resampled to image.pixel_scale, 0.1" in (
        capsys.readouterr().err
    )


def test_another_zero_point_is_brought_to_the_experiments(field, capsys):
    field.add(200, 200, flux=20.0)
    plain = field.extract()
    field.cards = {"ABMAGZP": IMAGE.zero_point - 2.5}
    table = field.extract()
    with StampSet(field.folder / "stamps.h5") as stamps:
        assert stamps.images()[0].sum() == pytest.approx(200.0, rel=0.03)
    assert "from the zero point 23.4463 to image.zero_point, 25.9463" in capsys.readouterr().err
    for name, factor in (("local_rms", 10), ("empty_rms", 10), ("signal_to_noise", 1)):
        assert table[name].iloc[0] == pytest.approx(factor * plain[name].iloc[0])


def test_a_selection_without_its_columns_is_an_error(field):
    field.add(200, 200)
    del field.rows[0]["ra"]
    with pytest.raises(DataError, match="lacks the column 'ra'; rerun"):
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
        BY_ID,
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


def test_an_object_without_a_core_is_not_undetected() -> None:
    """Saturated cores that were set to no data hide an object; the sky does not lack it."""
    rows, columns = np.mgrid[:200, :200]
    away = np.hypot(rows - 100, columns - 100)
    noise = np.random.default_rng(1).normal(0, 0.01, (200, 200))
    pixels = (noise + np.exp(-away / 4)).astype(np.float32)
    for hole, reason in ((6, "bad_pixels"), (0, None)):
        weight = np.where(away < hole, 0, 1e4).astype(np.float32)
        extraction = Extraction(max_bad_fraction=0.9)
        found = judge(
            segmented(pixels, weight, 0, 0, extraction), 100, 100, 64, extraction, None, Flag(0)
        )
        assert getattr(found, "reason", None) == reason
