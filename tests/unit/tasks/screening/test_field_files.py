"""The user's images: what becomes a field, and what is refused with which sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from pydantic import ValidationError

from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet
from galadapt.tasks.screening.files import read_fields
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits, ImageFolder, TableFile

SIDE, SCALE = 40, 16.0


def _counts(shape: tuple[int, int] = (80, 80), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(2.0, shape).astype(np.int32)


def _write(path: Path, pixels: np.ndarray, scale: float = 8.0, **cards: Any) -> None:
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"] = 1.0, 1.0
    header["CRVAL1"], header["CRVAL2"] = 10.0, 20.0
    header["CDELT1"], header["CDELT2"] = -scale / 3600, scale / 3600
    for name, value in ({"EXPOSURE": 1000.0} | cards).items():
        if value is None:
            header.remove(name, ignore_missing=True)
        else:
            header[name] = value
    fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True)


def _table(folder: Path, **columns: list[Any]) -> FieldFiles:
    pd.DataFrame(columns).to_csv(folder / "list.csv", index=False)
    return FieldFiles(table=TableFile(path=str(folder / "list.csv")))


def _read(files: FieldFiles, folder: Path, splits: FieldSplits | None = None) -> StampSet:
    read_fields(
        files,
        SIDE,
        SCALE,
        splits or FieldSplits(),
        1,
        folder / "out.h5",
        folder / "rejected.csv",
        {"by": "test"},
    )
    return StampSet(folder / "out.h5")


def test_counts_over_exposure_in_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((80, 80), np.int32)
    pixels[40, 40] = 7
    pixels[10, 70] = 3
    _write(tmp_path / "a.fits", pixels, OBS_ID="0123456789", INSTRUME="EPN")
    stamps = _read(_table(tmp_path, image=["a.fits"], obs_class=["2.0"]), tmp_path)
    image = stamps.images(np.array([0]))[0]
    assert image[20, 20] == np.float32(7 / 1000)
    assert image[5, 35] == np.float32(3 / 1000)
    assert image.sum() == pytest.approx(10 / 1000)
    row = stamps.table.iloc[0]
    assert (row["label"], row["group"], row["camera"]) == ("2", "0123456789", "EPN")
    assert (row["counts"], row["exposure"]) == (10, 1000.0)
    assert stamps.metadata["domain"] == "survey"
    assert not stamps.has_masks


def test_mixed_shapes_and_scales_keep_their_counts(tmp_path: Path) -> None:
    sizes = {"whole": ((80, 80), 8.0), "odd": ((61, 73), 8.0), "other": ((97, 101), 6.3)}
    for name, (shape, scale) in sizes.items():
        _write(tmp_path / f"{name}.fits", _counts(shape), scale)
    # Small images are surrounded by nothing, large ones are cropped.
    _write(tmp_path / "large.fits", _counts((100, 100)), 8.0)
    names = [*sizes, "large"]
    stamps = _read(_table(tmp_path, image=[f"{name}.fits" for name in names]), tmp_path)
    images = stamps.images(np.arange(4))
    assert images.shape == (4, SIDE, SIDE)
    for k, name in enumerate(sizes):
        total = _counts(sizes[name][0]).sum()
        assert images[k].sum(dtype=float) * 1000 == pytest.approx(total, rel=1e-6)
    inner = _counts((100, 100))[10:90, 10:90]
    assert images[3] * 1000 == pytest.approx(inner.reshape(40, 2, 40, 2).sum(axis=(1, 3)), rel=1e-5)
    # Whole multiples leave whole counts.
    assert np.rint(images[1] * 1000) == pytest.approx(images[1] * 1000, abs=1e-3)


def test_another_scale_is_summed_by_area(tmp_path: Path) -> None:
    smooth = np.full((64, 64), 100, np.int32)
    _write(tmp_path / "a.fits", smooth, 12.5)
    image = _read(_table(tmp_path, image=["a.fits"]), tmp_path).images(np.array([0]))[0]
    assert image[10:30, 10:30] * 1000 == pytest.approx(100 * (16 / 12.5) ** 2, rel=1e-5)


def test_exposures_come_from_the_table_or_the_header(tmp_path: Path) -> None:
    _write(tmp_path / "a.fits", _counts())
    _write(tmp_path / "b.fits", _counts(), EXPOSURE=None, ONTIME=500.0)
    files = _table(tmp_path, image=["a.fits", "b.fits"], exposure=[250.0, None])
    assert _read(files, tmp_path).table["exposure"].tolist() == [250.0, 500.0]


def test_cards_of_the_primary_header_count(tmp_path: Path) -> None:
    _write(tmp_path / "plain.fits", _counts(), EXPOSURE=None)
    header = fits.getheader(tmp_path / "plain.fits")
    first = fits.PrimaryHDU()
    first.header.update(EXPOSURE=500.0, OBS_ID="0123", INSTRUME="EPN")
    packed = fits.CompImageHDU(_counts(), header, compression_type="RICE_1")
    fits.HDUList([first, packed]).writeto(tmp_path / "a.fits")
    row = _read(_table(tmp_path, image=["a.fits"]), tmp_path).table.iloc[0]
    assert (row["exposure"], row["group"], row["camera"]) == (500.0, "0123", "EPN")


def _spoil(pixels: np.ndarray, value: float) -> np.ndarray:
    spoiled = pixels.astype(np.float32)
    spoiled[3, 4] = value
    return spoiled


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "zero exposure": ({"EXPOSURE": 0.0}, "EXPOSURE is 0 s; give the exposure in the table"),
    "negative exposure": ({"EXPOSURE": -5.0}, "EXPOSURE is -5 s"),
    "no exposure": ({"EXPOSURE": None}, "has no exposure in the table nor in EXPOSURE, LIVETIME"),
    "text exposure": ({"EXPOSURE": "long"}, "EXPOSURE 'long' is no number; give seconds"),
    "negative counts": ({"pixels": _spoil(_counts(), -1)}, "holds negative counts"),
    "nan": ({"pixels": _spoil(_counts(), np.nan)}, "holds NaN or infinite pixels"),
    "all zero": ({"pixels": np.zeros((80, 80), np.int32)}, "every pixel is 0"),
    "rate": ({"pixels": _counts() / 1000.0}, "fractions of counts or a rate"),
    "rate by unit": ({"BUNIT": "counts/s"}, "fractions of counts or a rate"),
    "cube": ({"pixels": np.ones((3, 80, 80), np.int32)}, "holds a cube"),
    "too coarse": ({"scale": 20.0}, "coarser than the field's of 16"),
    "too large": ({"pixels": _counts((400, 400))}, "% of the counts lie beyond a field of 11"),
    "no scale": ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "give native_pixel_scale"),
    "oblong": ({"CDELT1": -1 / 3600}, "give an image with square pixels"),
}


def test_one_bad_image_is_rejected_with_its_reason(tmp_path: Path) -> None:
    _write(tmp_path / "good.fits", _counts())
    names = ["good.fits"]
    for k, (changes, _) in enumerate(BAD.values()):
        cards = dict(changes)
        pixels = cards.pop("pixels", _counts())
        _write(tmp_path / f"{k}.fits", pixels, cards.pop("scale", 8.0), **cards)
        names.append(f"{k}.fits")
    (tmp_path / "text.fits").write_text("not an image")
    (tmp_path / "cut.fits").write_bytes((tmp_path / "good.fits").read_bytes()[:4000])
    names += ["text.fits", "cut.fits", "missing.fits"]
    stamps = _read(_table(tmp_path, image=names), tmp_path)
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert stamps.table["image"].tolist() == ["good.fits"]
    assert rejected["id"].tolist() == list(range(1, len(names)))
    for (name, (_, sentence)), reason in zip(BAD.items(), rejected["reason"], strict=False):
        assert sentence in reason, name
    assert "not a readable FITS file" in rejected["reason"].iloc[-3]
    assert "not a readable FITS file" in rejected["reason"].iloc[-2]
    assert "missing.fits: no such image file" in rejected["reason"].iloc[-1]


def test_unknown_classes_are_rejected(tmp_path: Path) -> None:
    _write(tmp_path / "a.fits", _counts())
    files = _table(
        tmp_path,
        image=["a.fits"] * 5,
        label=["7", "good", "0", None, "5"],
        group=["a", "b", "c", "d", "e"],
    )
    stamps = _read(files, tmp_path)
    assert stamps.table["label"].tolist() == ["0", "", "5"]
    assert stamps.table["id"].tolist() == [2, 3, 4]
    reasons = pd.read_csv(tmp_path / "rejected.csv")["reason"]
    assert "class '7' is none of 0, 1, 2, 3, 4, 5; correct the table" in reasons[0]
    assert "class 'good' is none of" in reasons[1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,exposure\na.fits,5\n", "lacks the column 'image'; add what is missing"),
        ("image\n", "the table has no rows"),
        ("", "the table is empty"),
        ("image,split\na.fits,holdout\n", "split 'holdout' is none of train, validation, test"),
        ("image\nb.fits\n", "none of 1 images can be used; the first: .*b.fits: no such image"),
        (
            "image,split,group\na.fits,train,x\na.fits,test,x\n",
            "images of x are in several splits; give an observation one split",
        ),
    ],
)
def test_broken_lists(tmp_path: Path, text: str, sentence: str) -> None:
    _write(tmp_path / "a.fits", _counts())
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        _read(FieldFiles(table=TableFile(path=str(tmp_path / "list.csv"))), tmp_path)
    assert not (tmp_path / "out.h5").exists()


def test_missing_lists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such table; correct the path"):
        _read(FieldFiles(table=TableFile(path=str(tmp_path / "no.csv"))), tmp_path)
    with pytest.raises(DataError, match=r"no such folder; correct folder\.path"):
        _read(FieldFiles(folder=ImageFolder(path=str(tmp_path / "no"))), tmp_path)
    with pytest.raises(DataError, match="holds no FITS image"):
        _read(FieldFiles(folder=ImageFolder(path=str(tmp_path))), tmp_path)
    with pytest.raises(ValidationError, match="give either table or folder"):
        FieldFiles()
    with pytest.raises(ValidationError, match="must be below 1"):
        FieldSplits(train=0.8, validation=0.2)


def test_observations_stay_whole_and_classes_keep_their_shares(tmp_path: Path) -> None:
    _write(tmp_path / "a.fits", _counts((20, 20)))
    groups = [f"obs{k // 2:03d}" for k in range(240)]
    labels = [str(k // 2 % 3) for k in range(240)]
    files = _table(tmp_path, image=["a.fits"] * 240, group=groups, label=labels)
    table = _read(files, tmp_path).table
    assert len(table.groupby(["group", "split"])) == 120
    for _, members in table.groupby("label"):
        shares = members["split"].value_counts(normalize=True)
        assert shares["train"] == pytest.approx(0.7, abs=0.03)
        assert shares["validation"] == pytest.approx(0.15, abs=0.03)
    backwards = _table(tmp_path, image=["a.fits"] * 240, group=groups[::-1], label=labels[::-1])
    again = _read(backwards, tmp_path).table
    assert again["split"].tolist() == table["split"].tolist()[::-1]


def test_given_splits_are_kept(tmp_path: Path) -> None:
    _write(tmp_path / "a.fits", _counts())
    files = _table(
        tmp_path,
        image=["a.fits"] * 4,
        split=["test", None, "validation", None],
        group=["x", "x", "y", "z"],
    )
    assert _read(files, tmp_path).table["split"].tolist()[:3] == ["test", "test", "validation"]


def test_real_images(tmp_path: Path, galadapt_data: Path) -> None:
    """Three images of EPIC pn in detector coordinates, without a class."""
    folder = galadapt_data / "xmm_epic"
    files = FieldFiles(folder=ImageFolder(path=str(folder)), band="0.5-2 keV")
    read_fields(files, 162, 16.0, FieldSplits(), 1, tmp_path / "o.h5", tmp_path / "r.csv", {})
    with StampSet(tmp_path / "o.h5") as stamps:
        table, images = stamps.table, stamps.images(np.arange(3))
    assert len(pd.read_csv(tmp_path / "r.csv")) == 0
    assert table["group"].tolist() == ["0085110101", "0805050101", "0852030101"]
    assert table["exposure"].tolist() == pytest.approx([51203.57, 55832.65, 68055.37])
    assert sorted(table["split"]) == ["test", "train", "validation"]
    for k, path in enumerate(sorted(folder.glob("*.fits"))):
        total = fits.getdata(path).sum()
        assert table["counts"][k] == total
        assert images[k].sum(dtype=float) * table["exposure"][k] == pytest.approx(total, rel=1e-5)
    # The chips of pn measure 27 x 26 arcmin, of a field of 43.
    assert table["exposed_fraction"].to_numpy() == pytest.approx(0.37, abs=0.03)
