from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from pydantic import ValidationError
from star_fields import SCALE, field

from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet
from galadapt.tasks.class_stamps import split_frames, split_stamps
from galadapt.tasks.stars.extract import extract_stars
from galadapt.tasks.stars.frames import read_frame, read_frame_table
from galadapt.tasks.stars.settings import FrameFiles, FrameSplits, SimulatedFrames, StarDetection
from galadapt.tasks.stars.simulate import simulate_frames

Saved = Callable[..., Path]

PLACES = [(60.2, 55.0), (140.0, 60.7), (100.5, 140.1)]
DETECTION = StarDetection(stamp_size=40)


def listed(folder: Path, rows: list[tuple[Any, ...]], columns: str = "frame,label") -> Path:
    path = folder / "frames.csv"
    lines = [columns, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def files(**reading: Any) -> FrameFiles:
    return FrameFiles(path="frames.csv", pixel_scale=SCALE, **reading)


def extracted(into: Path, table: Path, **settings: Any) -> pd.DataFrame:
    detection, processes = settings.pop("detection", DETECTION), settings.pop("processes", 1)
    return extract_stars(
        FrameFiles(path=str(table), **{"pixel_scale": SCALE, **settings}),
        detection,
        splits=FrameSplits(),
        seed=3,
        domain="survey",
        output=into / "stamps.h5",
        frames=into / "per_frame.csv",
        rejected=into / "rejected.csv",
        provenance={"version": "1"},
        processes=processes,
    )


def twelve(folder: Path, saved: Saved) -> Path:
    """A table of twelve frames of three stars each, six of them comets by name."""
    rows = []
    for number in range(12):
        saved(f"{number}.fits", field(PLACES, seed=number))
        rows.append((f"{number}.fits", "comet" if number % 2 else "circular"))
    return listed(folder, rows)


def test_simulated_frames_become_a_stamp_set(tmp_path: Path, small: SimulatedFrames) -> None:
    table = tmp_path / "frames.csv"
    simulate_frames(small, 5, tmp_path / "raw", table, {})
    for name, processes in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        extracted(folder, table, processes=processes, detection=StarDetection(), pixel_scale=None)
    for name in ("stamps.h5", "per_frame.csv", "rejected.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with StampSet(tmp_path / "one" / "stamps.h5") as stamps:
        assert stamps.unit == "adu"
        assert stamps.metadata["classes"] == ["circular", "comet", "donut"]
        assert stamps.metadata["pixel_scale"] == pytest.approx(0.58)
        assert stamps.metadata["zero_point"] is None
        assert stamps.side == 60
        truth = pd.read_csv(table).set_index("frame")
        assert (stamps.table["label"] == truth["label"].loc[stamps.table["group"]].to_numpy()).all()
        assert (stamps.table["split"] == truth["split"].loc[stamps.table["group"]].to_numpy()).all()
    frames = pd.read_csv(tmp_path / "one" / "per_frame.csv")
    assert frames["frame"].tolist() == truth.index.tolist()
    left = [f"n_{name}" for name in ("border", "bad_pixels", "saturated", "overlap", "fit_failed")]
    assert (frames["n_detected"] == frames[left].sum(axis=1) + frames["n_stars"]).all()
    assert len(pd.read_csv(tmp_path / "one" / "rejected.csv")) == frames[left].to_numpy().sum()
    assert ((frames["seeing"] == "good") == (frames["fwhm"] < 2.0)).all()


def test_no_frame_leaks_and_the_leaking_protocol_does(tmp_path: Path, saved: Saved) -> None:
    stars = extracted(tmp_path, twelve(tmp_path, saved))
    assert len(stars) == 36
    assert all(len(set(part["split"])) == 1 for _, part in stars.groupby("group"))
    assert any(len(set(part["split_by_stamp"])) > 1 for _, part in stars.groupby("group"))
    for label, part in stars.groupby("label"):
        by_frame = part["split"].value_counts().to_dict()
        assert by_frame == part["split_by_stamp"].value_counts().to_dict(), label
        assert set(by_frame) == {"train", "validation", "test"}
    assert stars["id"].is_unique


def test_splits_follow_the_shares_not_the_order() -> None:
    names = np.array([f"{number}.fits" for number in range(80)], object)
    labels = np.array(["circular"] * 70 + ["comet"] * 7 + ["donut"] * 3, object)
    splits = split_frames(names, labels, 1, FrameSplits())
    counts = pd.crosstab(labels, splits)
    assert counts.loc["circular"].to_dict() == {"test": 11, "train": 46, "validation": 13}
    assert (counts.loc["donut"] == 1).all()
    turned = split_frames(names[::-1], labels[::-1], 1, FrameSplits())
    assert (turned[::-1] == splits).all()
    assert (split_frames(names, labels, 2, FrameSplits()) != splits).any()
    all_train = FrameSplits(train=0.9, validation=0.0)
    assert "validation" not in split_frames(names, labels, 1, all_train)


def test_splitting_stamps_depends_on_the_seed() -> None:
    splits = np.array(["train"] * 50 + ["test"] * 50, object)
    labels = np.array(["circular"] * 100, object)
    assert (split_stamps(splits, labels, 1) == split_stamps(splits, labels, 1)).all()
    assert (split_stamps(splits, labels, 1) != split_stamps(splits, labels, 2)).any()


def test_unlabelled_frames_and_given_splits(tmp_path: Path, saved: Saved) -> None:
    for number in (1, 2):
        saved(f"{number}.fits", field(PLACES, seed=number))
    table = listed(tmp_path, [("1.fits", "", "test"), ("2.fits", "", "train")], "frame,label,split")
    stars = extracted(tmp_path, table)
    assert stars["label"].tolist() == [""] * 6
    assert stars["split"].tolist() == ["test"] * 3 + ["train"] * 3


def test_ecsv_and_another_folder(tmp_path: Path, saved: Saved) -> None:
    saved("1.fits", field(PLACES))
    path = tmp_path / "elsewhere" / "frames.ecsv"
    path.parent.mkdir()
    Table({"frame": ["1.fits"], "label": ["donut"]}).write(path)
    table = read_frame_table(path, tmp_path)
    assert table[["label", "split"]].to_numpy().tolist() == [["donut", ""]]
    with pytest.raises(DataError, match=r"frame '1\.fits' is not at .*elsewhere/1\.fits"):
        read_frame_table(path)


def test_a_frame_without_a_star_is_counted_and_skipped(
    tmp_path: Path, saved: Saved, capsys: pytest.CaptureFixture[str]
) -> None:
    saved("good.fits", field(PLACES))
    saved("empty.fits", field([]))
    saved("nan.fits", np.full((200, 200), np.nan, np.float32))
    saved("none.fits")
    names = ("good", "empty", "nan", "none")
    table = listed(tmp_path, [(f"{name}.fits", "circular") for name in names])
    stars = extracted(tmp_path, table)
    assert set(stars["group"]) == {"good.fits"}
    frames = pd.read_csv(tmp_path / "per_frame.csv").set_index("frame")
    assert frames["status"].tolist() == ["used", "skipped", "skipped", "skipped"]
    assert frames["n_stars"].tolist() == [3, 0, 0, 0]
    assert "no star down to 4 sigma; leave the frame out" in frames["reason"]["empty.fits"]
    assert "all are NaN" in frames["reason"]["nan.fits"]
    assert "holds no 2-D image" in frames["reason"]["none.fits"]
    assert capsys.readouterr().err.count("frame skipped") == 3


@pytest.mark.parametrize(
    ("pixels", "settings", "message"),
    [
        (field([]), {}, "no star down to 4 sigma"),
        (np.full((200, 200), np.nan, np.float32), {}, "all are NaN"),
        (np.full((200, 200), 500, np.float32), {}, "every pixel is 500: an empty exposure"),
        (np.full((200, 200), 65535, np.uint16), {"saturation": 6e4}, "every pixel is saturated"),
        (np.zeros((3, 200, 200), np.float32), {}, "holds a cube"),
        (field(PLACES)[:70, :70], {}, "70x70 px is too small for stamps of 40 px"),
        (
            field(PLACES),
            {
                "saturation": 700,
                "detection": DETECTION.model_copy(update={"reject": ["saturated"]}),
            },
            "none of 3 stars gives a stamp \\(3 saturated\\); loosen 'detection'",
        ),
        (field(PLACES), {"pixel_scale": None}, "has no WCS; give pixel_scale"),
        (field(PLACES), {"hdu": 3}, "has no extension 3"),
    ],
)
def test_nothing_usable_is_an_error(
    pixels: np.ndarray, settings: dict[str, Any], message: str, tmp_path: Path, saved: Saved
) -> None:
    saved("only.fits", pixels)
    table = listed(tmp_path, [("only.fits", "circular")])
    with pytest.raises(DataError, match=f"none of 1 frames gives a star.*{message}") as caught:
        extracted(tmp_path, table, **settings)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"only.fits", "frames.csv"}


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("1.fits", "x")], "frame,kind", "lacks the column 'label'; add what is missing"),
        ([("1.fits", "oval")], "frame,label", "row 1: label 'oval' is none of circular"),
        ([("1.fits", "comet", "dev")], "frame,label,split", "row 1: split 'dev' is none of train"),
        ([("9.fits", "comet")], "frame,label", "frame '9.fits' is not at"),
        ([("", "comet")], "frame,label", "frame '' is not at"),
        ([("1.fits", ""), ("./1.fits", "")], "frame,label", "'./1.fits' is listed twice"),
        ([], "frame,label", "the table has no rows"),
        (
            [("1.fits", "", "test"), ("2.fits", "", "")],
            "frame,label,split",
            "frame '2.fits' has no split but others have",
        ),
        ([("1.fits", ""), ("2.fits", "")], "frame,label", "'1.fits' and '2.fits' have the same"),
    ],
)
def test_wrong_tables_are_refused(
    rows: list[tuple[str, ...]], columns: str, message: str, tmp_path: Path, saved: Saved
) -> None:
    saved("1.fits", field(PLACES))
    saved("2.fits", field(PLACES))
    with pytest.raises(DataError, match=message):
        extracted(tmp_path, listed(tmp_path, rows, columns))
    assert not (tmp_path / "stamps.h5").exists()


def test_a_missing_or_unreadable_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such table"):
        read_frame_table(tmp_path / "frames.csv")
    (tmp_path / "frames.csv").write_bytes(b"\xff\xfe\x00a,b\n\x00")
    with pytest.raises(DataError, match="not a readable table"):
        read_frame_table(tmp_path / "frames.csv")


def test_mixed_pixel_scales_are_refused(tmp_path: Path, saved: Saved) -> None:
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1 / 3600, "CDELT2": 1 / 3600}
    saved("1.fits", field(PLACES), **cards)
    saved("2.fits", field(PLACES, seed=2))
    table = listed(tmp_path, [("1.fits", ""), ("2.fits", "")])
    with pytest.raises(DataError, match=r"'2\.fits' has 0\.58 arcsec/px beside 1 of '1\.fits'"):
        extracted(tmp_path, table)


def test_integers_with_an_offset_and_a_named_extension(tmp_path: Path) -> None:
    pixels = field(PLACES)
    counts = (pixels + 40_000).round().astype(np.uint16)
    other = np.zeros((200, 200), np.float32)
    path = tmp_path / "frame.fits"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(other, name="A"), fits.ImageHDU(counts, name="B")]
    ).writeto(path)
    frame = read_frame(path, DETECTION, files(hdu="B"))
    assert np.median(frame.sky) == pytest.approx(40_500, abs=3)
    with pytest.raises(DataError, match="holds 2 images"):
        read_frame(path, DETECTION, files())


@pytest.mark.parametrize("background", ["median", "mesh"])
def test_missing_pixels_leave_the_sky_alone(background: str, saved: Saved) -> None:
    pixels = field(PLACES)
    pixels[:, 150:] = np.nan
    detection = DETECTION.model_copy(update={"background": background, "background_box": 50})
    frame = read_frame(saved("frame.fits", pixels), detection, files())
    assert frame.bad.sum() == 200 * 50
    assert np.isfinite(frame.pixels).all()
    assert np.median(frame.pixels[~frame.bad]) == pytest.approx(0, abs=0.5)


def test_a_mesh_follows_a_gradient(saved: Saved) -> None:
    pixels = field(PLACES) + np.linspace(0, 100, 200)
    path = saved("frame.fits", pixels.astype(np.float32))
    mesh = DETECTION.model_copy(update={"background_box": 25})
    assert read_frame(path, mesh, files()).noise == pytest.approx(5, rel=0.3)
    flat = DETECTION.model_copy(update={"background": "median"})
    assert read_frame(path, flat, files()).noise > 20


def test_saturation_is_read_from_the_header(saved: Saved) -> None:
    path = saved("frame.fits", field(PLACES), SATURATE=800.0)
    assert read_frame(path, DETECTION, files()).saturated.any()
    assert not read_frame(path, DETECTION, files(saturation=1e5)).saturated.any()


def test_cards_and_bad_pixels_of_other_extensions_count(saved: Saved, tmp_path: Path) -> None:
    """SATURATE in the primary header, hot pixels in a DQ extension, an area of no data."""
    with fits.open(saved("frame.fits", field(PLACES))) as hdus:
        pixels, header = hdus[0].data.astype("f4"), hdus[0].header
    first = fits.PrimaryHDU()
    first.header["SATURATE"] = 800.0
    dq = np.zeros(pixels.shape, "i2")
    dq[5, 7] = 16
    pixels[5, 7], pixels[:, :20] = 5000.0, -999.0
    image = fits.ImageHDU(pixels, header, name="SCI")
    fits.HDUList([first, image, fits.ImageHDU(dq, name="DQ")]).writeto(tmp_path / "mef.fits")
    frame = read_frame(tmp_path / "mef.fits", DETECTION, files())
    assert frame.saturated.any()
    assert frame.bad[5, 7] or frame.saturated[5, 7]
    assert frame.bad[:, :20].all()
    assert not frame.bad[:, 25:].all()


@pytest.mark.realdata
def test_a_real_crowded_plate(galadapt_data: Path, tmp_path: Path) -> None:
    folder = galadapt_data / "starfields"
    table = listed(tmp_path, [("M6707HH.fits", "circular")])
    source = {"directory": str(folder), "pixel_scale": 1.7}
    stars = extracted(tmp_path, table, detection=StarDetection(), **source)
    frames = pd.read_csv(tmp_path / "per_frame.csv")
    assert frames["detector"].tolist() == ["daofind"]
    assert frames["n_detected"][0] > 500
    assert 80 < len(stars) < 250
    assert stars["fwhm"].median() == pytest.approx(4, abs=1.5)
    with StampSet(tmp_path / "stamps.h5") as stamps:
        images = stamps.images()
    # A real star in the middle: its core is bright in all but a few crowded stamps.
    core = images[:, 28:33, 28:33].max(axis=(1, 2))
    assert (core > 5 * frames["noise"][0]).mean() > 0.95


def test_configuration_of_files_and_shares() -> None:
    assert FrameFiles(path="frames.csv").kind == "files"
    with pytest.raises(ValidationError, match="train \\+ validation must be below 1"):
        FrameSplits(train=0.8, validation=0.2)
