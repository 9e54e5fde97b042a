"""Random headers, catalogues and masks: the plain form's numbers, a sentence, or pixels said lost.

Never another traceback, and never another number without a word.
"""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from forms import ZERO_POINT, galaxies, measure, places, plain_header, plain_pixels, write_plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galadapt.core.errors import GaladaptError
from galadapt.sky.catalogues import read_objects

_RUNS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

#: Errors of a magnitude in the apertures of 32 px at the plain form's noise.
_MAGNITUDE_ERROR = 1.0857 * 0.004 * np.sqrt(np.pi * 32**2)


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="galadapt-fuzz-"))


@functools.cache
def _plain() -> pd.DataFrame:
    path = _folder() / "c.csv"
    ra, dec = places()
    pd.DataFrame({"id": galaxies()["id"], "ra": ra, "dec": dec}).to_csv(path, index=False)
    return measure(write_plain(_folder() / "plain.fits"), path)


def _judged(found: pd.DataFrame) -> None:
    """Within 3 errors, unless pixels of the object are known to be missing."""
    plain = _plain()
    error = _MAGNITUDE_ERROR / 10 ** (0.4 * (ZERO_POINT - plain["magnitude"]))
    off = (found["magnitude"] - plain["magnitude"]).abs()
    assert ((off <= 3 * error) | (found["lost"] > 0) | found["magnitude"].isna()).all()


_TEXTS = ["NaN", "Inf", "25,9463", "'J2000'", "'VEGA'", "'AB'", "''", "T", "1e400", "-99", "0", "#"]
_CARDS = [
    *("EXPTIME", "ABZP", "MAGZERO", "BUNIT", "RADESYS", "EQUINOX", "MAGSYS", "SATURATE", "GAIN"),
    *("PHOTFLAM", "PHOTPLAM", "BSCALE", "LONPOLE", "CUNIT1", "CTYPE1", "DATE-OBS", "A_ORDER"),
    *("MJD-OBS", "FILTER", "INSTRUME", "TELESCOP", "PV2_1", "CROTA2", "WCSAXES", "PC1_2"),
]

#: Cards that say where and how large pixels are, or what they mean: a wrong one is not noticed.
_DECISIVE = {"ABZP", "BSCALE", "PC1_2", "CROTA2", "LONPOLE", "PV2_1", "MAGZERO", "A_ORDER"}


@_RUNS
@given(st.dictionaries(st.sampled_from(_CARDS), st.sampled_from(_TEXTS), min_size=1, max_size=4))
def test_header_cards(cards):
    """Cards of any text, parsable or not."""
    _plain()
    path = _folder() / "cards.fits"
    write_plain(path)
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77)
    header, data = content[:end], content[2880 * (-(-(end + 80) // 2880)) :]
    kept = [header[k : k + 80] for k in range(0, end, 80)]
    for name, text in cards.items():
        kept = [card for card in kept if card[:8].strip() != name.encode()]
        kept.append(f"{name:<8}= {text:>20}".ljust(80).encode())
    joined = b"".join([*kept, b"END".ljust(80)])
    path.write_bytes(joined.ljust(2880 * (-(-len(joined) // 2880))) + data)
    try:
        found = measure(path, _folder() / "c.csv", zero_point=ZERO_POINT)
    except GaladaptError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
        return
    if not _DECISIVE & set(cards):
        _judged(found)


_NAMES = [
    *(("ra", "dec"), ("RAJ2000", "DEJ2000"), ("coord_ra", "coord_dec")),
    ("RA (deg)", "Dec [deg]"),
]


@_RUNS
@given(
    suffix=st.sampled_from(["csv", "fits", "vot", "ecsv", "parquet"]),
    unit=st.sampled_from(["deg", "rad", "arcmin", "hourangle", "sexagesimal", "mixin"]),
    names=st.sampled_from(
        [
            ("ra", "dec"),
            ("RAJ2000", "DEJ2000"),
            ("coord_ra", "coord_dec"),
            ("RA (deg)", "Dec (deg)"),
        ]
    ),
    text=st.sampled_from(["00{:03d}", "{}", "gal{}", "{}.10", "{}E3", "#{}"]),
    masked=st.sets(st.integers(0, 19), max_size=3),
)
def test_catalogues(suffix, unit, names, text, masked):
    """The same positions in any format, unit and name; masked cells are lost, identifiers kept."""
    ra, dec = places()
    identifiers = [text.format(number) for number in galaxies()["id"]]
    path = _folder() / f"fuzz.{suffix}"
    path.unlink(missing_ok=True)
    table: Table = QTable() if unit == "mixin" else Table()
    table["id"] = identifiers
    place = SkyCoord(ra, dec, unit="deg")
    if unit == "mixin" and suffix in ("fits", "ecsv", "parquet"):
        table["place"], masked = place, set()
    elif unit == "sexagesimal":
        table[names[0]] = place.ra.to_string("hour", sep=":", precision=7)
        table[names[1]], masked = place.dec.to_string("deg", sep=":", precision=7), set()
    else:
        one = u.Unit("deg" if unit == "mixin" or suffix == "csv" else unit)
        if suffix == "fits" and one == u.hourangle:
            one = u.rad
        if "(" in names[0]:
            one = u.deg
        mask = np.isin(np.arange(len(ra)), list(masked))
        for name, angle in zip(names, (ra, dec), strict=True):
            table[name] = MaskedColumn((angle * u.deg).to_value(one), mask=mask, unit=one)
    kinds = {"vot": "votable", "ecsv": "ascii.ecsv", "parquet": "parquet", "csv": "ascii.csv"}
    table.write(path, format=kinds.get(suffix, "fits"), overwrite=True)
    if suffix == "csv" and text.startswith("#"):
        path.write_text(re.sub(r"(?m)^#(\d+),", r'"#\1",', path.read_text()))
    try:
        found = read_objects(path)
    except GaladaptError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
        return
    kept = found["name"] if "name" in found else found["id"].astype(str)
    assert kept.tolist() == identifiers
    lost = np.isin(np.arange(len(ra)), list(masked))
    np.testing.assert_array_equal(np.isnan(found["ra"]), lost)
    np.testing.assert_allclose(found["ra"][~lost], ra[~lost], atol=1e-7)
    np.testing.assert_allclose(found["dec"][~lost], dec[~lost], atol=1e-7)


@_RUNS
@given(
    box=st.tuples(st.integers(0, 319), st.integers(0, 399), st.integers(1, 90), st.integers(1, 90)),
    value=st.sampled_from([-1.0, -99.0, -999.0, 0.0, np.nan, np.inf, 1e30, 50.0]),
    how=st.sampled_from(["value", "dq", "mask", "rms", "weight", "dithered"]),
    bit=st.sampled_from([1, 4, 16, 512]),
)
def test_mask_planes(box, value, how, bit):
    """Pixels spoilt in a box, marked in one of the usual ways."""
    _plain()
    pixels, folder = plain_pixels().copy(), _folder()
    spoilt = np.zeros(pixels.shape, bool)
    spoilt[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
    # Values that fill no area are not known to stand for anything.
    telling = how in ("dq", "mask", "rms", "weight") or (min(box[2:]) > 20 and value != 50.0)
    if not telling:
        return
    pixels[spoilt] = value
    path, options = folder / "mask.fits", {}
    if how == "dithered":
        if not np.isfinite(value) or abs(value) > 1e4:
            return
        fits.CompImageHDU(pixels, plain_header(), quantize_method=1, dither_seed=5).writeto(
            path, overwrite=True
        )
    elif how == "dq":
        image = fits.ImageHDU(pixels, plain_header(), name="SCI")
        dq = fits.ImageHDU(np.where(spoilt, bit, 0).astype("i4"), name="DQ")
        fits.HDUList([fits.PrimaryHDU(), image, dq]).writeto(path, overwrite=True)
    else:
        write_plain(path, pixels)
    maps = {
        "mask": spoilt.astype("i2") * bit,
        "rms": np.where(spoilt, 1e10, 0.004),
        "weight": np.where(spoilt, 1e-20, 0.004**-2.0),
    }
    if how in maps:
        fits.PrimaryHDU(maps[how]).writeto(folder / "map.fits", overwrite=True)
        options[how] = folder / "map.fits"
    try:
        found = measure(path, folder / "c.csv", **options)
    except GaladaptError as error:
        assert "\n" not in str(error)
        return
    _judged(found)
