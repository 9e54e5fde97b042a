"""Images in forms that users really have give the plain form's numbers, or one sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS, Sip
from forms import (
    DEC,
    RA,
    SCALE,
    SHAPE,
    SIGMA,
    ZERO_POINT,
    assert_same,
    measure,
    plain_header,
    plain_pixels,
    render,
    tangent,
    write_catalogue,
    write_plain,
)

from galadapt.core.errors import DataError
from galadapt.core.packed import fits_files, is_fits_name, stem
from galadapt.sky import open_mosaic
from galadapt.sky.bad_pixels import _sample


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("plain")
    catalogue = write_catalogue(folder / "c.csv")
    return measure(write_plain(folder / "plain.fits"), catalogue)


@pytest.fixture
def catalogue(tmp_path) -> Path:
    return write_catalogue(tmp_path / "catalogue.csv")


def _refused(message: str, path: Path, **options) -> str:
    with pytest.raises(DataError, match=message) as caught, open_mosaic(path, **options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the pixel at the object -----------------------------------------------------------------


def _projected(projection: str, dec: float, turn: float = 0.0, aspect: float = 1.0):
    """WCS and shape of an image around (RA, dec) whose reference point is on the equator."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = [RA, 0.0]
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = np.diag([-1.0, 1.0]) @ turned @ np.diag([1.0, aspect]) * SCALE / 3600
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.set()
    ((x, y),) = wcs.all_world2pix([[RA, dec]], 1)
    step = 2 * SCALE / 3600
    corners = [
        (RA + a * step * SHAPE[1] / 4 / np.cos(np.radians(dec)), dec + b * step * SHAPE[0] / 4)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    around = wcs.all_world2pix(corners, 1)
    width, height = (int(np.ptp(around[:, k])) for k in (0, 1))
    wcs.wcs.crpix = [1.0 - x + (width + 1) / 2, 1.0 - y + (height + 1) / 2]
    wcs.wcs.set()
    return wcs, (height, width)


@pytest.mark.parametrize(
    ("projection", "dec", "turn", "aspect"),
    [
        ("CAR", 60.0, 0.0, 1.0),
        ("CAR", -45.0, 0.0, 1.0),
        ("MER", 50.0, 0.0, 1.0),
        ("CEA", 40.0, 0.0, 1.0),
        ("AIT", 30.0, 0.0, 1.0),
        ("SFL", 40.0, 0.0, 1.0),
        ("TAN", 15.0, 0.0, 1.0),
        ("TAN", 0.0, 0.5, 0.7),
    ],
)
def test_the_pixel_at_the_object_counts(tmp_path, plain, projection, dec, turn, aspect):
    """Pixels far from the reference point are narrower, smaller or larger than there."""
    wcs, shape = _projected(projection, dec, turn, aspect)
    header = wcs.to_header()
    header.update(BUNIT="e-/s", ABZP=ZERO_POINT)
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(render(wcs, shape, RA, dec), header).writeto(path)
    catalogue = write_catalogue(tmp_path / "c.csv", RA, dec)
    found = measure(path, catalogue)
    assert_same(found, plain, 0.03)


def test_the_area_of_the_pixel_at_the_object_counts(tmp_path, plain):
    wcs, shape = _projected("CAR", 60.0)
    header = wcs.to_header()
    header["BUNIT"] = "MJy/sr"
    area = SCALE * SCALE * 0.5 / 206264.806**2
    factor = 10 ** (0.4 * (8.90 - ZERO_POINT)) / 1e6 / area
    path = tmp_path / "image.fits"
    pixels = render(wcs, shape, RA, 60.0) * np.float32(factor)
    fits.PrimaryHDU(pixels, header).writeto(path)
    assert_same(measure(path, write_catalogue(tmp_path / "c.csv", RA, 60.0)), plain, 0.03)


@pytest.mark.parametrize(
    ("projection", "dec", "turn", "message"),
    [("CAR", 60.0, 0.5, "the pixels are sheared by"), ("TAN", 40.0, 0.7, "are sheared by")],
)
def test_sheared_pixels_are_refused(tmp_path, projection, dec, turn, message):
    wcs, shape = _projected(projection, dec, turn)
    header = wcs.to_header()
    header["BUNIT"] = "e-/s"
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros(shape, "f4"), header).writeto(path)
    assert "resample the image to a tangent plane" in _refused(message, path, pixel_scale=SCALE)


def test_pixels_that_change_over_the_image_are_refused(tmp_path):
    wcs = tangent(projection="CAR", dec=0.0, scale=100.0)
    wcs.wcs.crpix = [200.5, -1800.0]
    header = wcs.to_header()
    header["BUNIT"] = "e-/s"
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros(SHAPE, "f4"), header).writeto(path)
    _refused("the size of the pixels varies over the image by", path, pixel_scale=100.0)


def test_outside_a_distortion_that_cannot_be_inverted_is_outside(tmp_path):
    wcs = tangent()
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[3, 0] = b[0, 3] = -2e-8
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    header = wcs.to_header(relax=True)
    header["BUNIT"] = "e-/s"
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(plain_pixels(), header).writeto(path)
    rng = np.random.default_rng(3)
    with open_mosaic(path) as mosaic:
        ra, dec = RA + rng.uniform(-2, 2, 300), DEC + rng.uniform(-2, 2, 300)
        far = np.hypot((ra - RA) * np.cos(np.radians(DEC)), dec - DEC) * 3600 > 60
        x, y = mosaic.positions(ra, dec)
        inside = (x > 0) & (x < SHAPE[1]) & (y > 0) & (y < SHAPE[0])
        assert not (inside & far).any()
        back = mosaic.positions(*mosaic.sky(np.array([10.0, 390.0]), np.array([20.0, 300.0])))
        np.testing.assert_allclose(back, [[10, 390], [20, 300]], atol=0.1)


@pytest.mark.parametrize(
    ("cards", "remark"),
    [
        ({"RADESYS": "GSC1"}, "RADESYS is 'GSC1', which is not known; positions taken as ICRS"),
        ({"RADESYS": "J2000"}, None),
        ({"RADESYS": "fk5"}, None),
        ({"RADESYS": "icrs"}, None),
        ({"RADESYS": "GAPPT"}, "taken as ICRS"),
        ({"RADESYS": "FK5/2000"}, None),
        ({"RADESYS": "ICRF"}, None),
        ({"RADESYS": None, "RADECSYS": "fk5", "EQUINOX": "J2000.0"}, None),
        ({"RADESYS": "GAPPT", "EQUINOX": 2000.0}, "taken as ICRS"),
    ],
)
def test_frames_that_astropy_cannot_name(tmp_path, plain, catalogue, cards, remark):
    found = measure(write_plain(tmp_path / "image.fits", **cards), catalogue)
    assert_same(found, plain, 1e-3, 1e-3)
    said = " ".join(found.attrs["remarks"])
    assert (remark or "") in said
    assert ("not known" in said) == (remark is not None)


@pytest.mark.parametrize(
    ("axis", "frame"), [("G", "galactic"), ("E", "barycentricmeanecliptic"), ("S", "supergalactic")]
)
@pytest.mark.parametrize("radesys", [None, "ICRS", "FK5"])
def test_other_coordinates_are_named_by_their_axes(tmp_path, axis, frame, radesys):
    """RADESYS beside galactic axes does not make them equatorial."""
    cards = {"CTYPE1": f"{axis}LON-TAN", "CTYPE2": f"{axis}LAT-TAN", "RADESYS": radesys}
    middle = SkyCoord(RA, DEC, unit="deg", frame=frame).icrs
    with open_mosaic(write_plain(tmp_path / "image.fits", **cards)) as mosaic:
        x, y = mosaic.positions(middle.ra.deg, middle.dec.deg)
    np.testing.assert_allclose((x, y), ((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2), atol=0.1)


def test_coordinates_of_no_sky_are_refused(tmp_path):
    path = write_plain(tmp_path / "image.fits", CTYPE1="TLON-TAN", CTYPE2="TLAT-TAN")
    _refused("unreadable WCS .coordinates along TLON are not those of the sky.; repair", path)


def test_more_axes_than_the_image_has(tmp_path, plain, catalogue):
    cards = {"WCSAXES": 3, "CTYPE3": "STOKES", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0}
    assert_same(
        measure(write_plain(tmp_path / "image.fits", **cards), catalogue), plain, 1e-3, 1e-3
    )


# --- zero points ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "source"),
    [
        ({"MAGZERO": ZERO_POINT}, "MAGZERO, taken as AB as no card names its system"),
        ({"MAGZPT": ZERO_POINT, "MAGSYS": "AB"}, "from MAGZPT"),
        ({"MAGZPT": ZERO_POINT - 1.251, "MAGSYS": "VEGA", "FILTER": "F160W"}, "+1.251 mag for F16"),
        ({"PHOTZP": ZERO_POINT - 1.251, "PHOTSYS": "Vegamag", "FILTER": "F160W"}, "PHOTSYS"),
        ({"MAGZP": ZERO_POINT - 1.85, "ORIGIN": "2MASS", "FILTER": "k"}, "+1.850 mag for 2MASS K"),
        ({"MAGZP": ZERO_POINT - 2.699, "TELESCOP": "WISE", "BAND": 1}, "mag for WISE 1"),
        ({"MAGZPT": ZERO_POINT - 1.379, "INSTRUME": "WFCAM", "FILTER": "H"}, "mag for WFCAM H"),
        ({"FLUXMAG0": 10 ** (0.4 * ZERO_POINT)}, "FLUXMAG0"),
        ({"PHOTFNU": 3631 * 10 ** (-0.4 * ZERO_POINT)}, "PHOTFNU"),
        ({"MAGZERO": 0.0, "ABZP": ZERO_POINT}, "from ABZP"),
        ({"MAGZERO": 0.0, "PHOTFLAM": 1.9276e-20, "PHOTPLAM": 15369.176}, "PHOTFLAM and PHOTPLAM"),
        ({"MAGZPT": ZERO_POINT + 2.2411, "MAGSYS": "ST", "PHOTPLAM": 15369.176}, "MAGSYS = 'ST'"),
        ({"ABZP": str(ZERO_POINT)}, "from ABZP"),
    ],
)
def test_every_zero_point_is_that_of_ab_magnitudes(tmp_path, plain, catalogue, cards, source):
    path = write_plain(tmp_path / "image.fits", **{"ABZP": None, **cards})
    found = measure(path, catalogue)
    assert_same(found, plain, 0.003, 1e-3)
    assert source in " ".join(found.attrs["remarks"])


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"ABZP": None, "MAGZPT": 24.6, "MAGSYS": "VEGA"}, r"MAGZPT = 24.6 is no AB zero point"),
        ({"ABZP": None, "MAGZPT": 24.6, "PHOTSYS": "luptitude"}, "PHOTSYS = 'luptitude'"),
        ({"MAGSYS": "VEGA"}, "ABZP is an AB zero point but MAGSYS = 'VEGA'; give --zero-point"),
        ({"ABZP": None, "MAGZP": 20.5, "TELESCOP": "WISE"}, "as TELESCOP = 'WISE'"),
        (
            {"ABZP": None, "MAGZPT": 22.15, "MAGSYS": "VEGA"}
            | {"INSTRUME": "NICMOS", "FILTER": "F160W"},
            "MAGZPT = 22.15 is no AB zero point",
        ),
    ],
)
def test_other_systems_are_refused(tmp_path, cards, message):
    path = write_plain(tmp_path / "image.fits", **cards)
    _refused(message, path)
    with open_mosaic(path, zero_point=25.0) as mosaic:
        assert mosaic.zero_point == 25.0


@pytest.mark.parametrize(
    ("instrument", "band", "in_ab", "in_vega"),
    [
        # STScI's tables of zero points: WFC3/IR, 6 March 2012; ACS/WFC, 1 April 2016.
        ("WFC3", "F098M", 25.6674, 25.1057),
        ("WFC3", "F105W", 26.2687, 25.6236),
        ("WFC3", "F110W", 26.8223, 26.0628),
        ("WFC3", "F125W", 26.2303, 25.3293),
        ("WFC3", "F140W", 26.4524, 25.3761),
        ("WFC3", "F160W", 25.9463, 24.6949),
        ("ACS", "F435W", 25.665, 25.763),
        ("ACS", "F475W", 26.056, 26.149),
        ("ACS", "F606W", 26.498, 26.405),
        ("ACS", "F775W", 25.667, 25.272),
        ("ACS", "F814W", 25.944, 25.517),
        ("ACS", "F850LP", 24.858, 24.332),
        # Hewett et al. (2006), table 7; Gonzalez-Fernandez et al. (2018), appendix D.
        *(("WFCAM", *row, 0) for row in {"Z": 0.528, "Y": 0.634, "J": 0.938}.items()),
        *(("WFCAM", *row, 0) for row in {"H": 1.379, "K": 1.900}.items()),
        *(("VIRCAM", *row, 0) for row in {"Z": 0.502, "Y": 0.600, "J": 0.916}.items()),
        *(("VIRCAM", *row, 0) for row in {"H": 1.366, "Ks": 1.827}.items()),
        # The explanatory supplement of WISE, IV.4.h; Blanton & Roweis (2007).
        *(("WISE", *row, 0) for row in {"1": 2.699, "2": 3.339, "3": 5.174, "4": 6.620}.items()),
        *(("2MASS", *row, 0) for row in {"J": 0.91, "H": 1.39, "K": 1.85}.items()),
    ],
)
def test_vega_offsets_are_those_published(tmp_path, instrument, band, in_ab, in_vega):
    cards = {"INSTRUME": instrument, "FILTER": band, "MAGSYS": "VEGA", "MAGZPT": 1 + in_vega}
    path = write_plain(tmp_path / "image.fits", ABZP=None, **cards)
    with open_mosaic(path) as mosaic:
        assert mosaic.zero_point == pytest.approx(1 + in_ab, abs=6e-4)


def test_a_zero_point_of_nothing_is_none(tmp_path):
    path = write_plain(tmp_path / "image.fits", ABZP=None, MAGZERO=0.0)
    remarks: list[str] = []
    with open_mosaic(path, remark=remarks.append) as mosaic:
        assert mosaic.zero_point is None
    assert "MAGZERO is 0, which stands for none; it is not used" in " ".join(remarks)


# --- header cards ------------------------------------------------------------------------------


def _spoilt(path: Path, **raw: str) -> Path:
    """Replace cards by text that is no FITS, in the file's bytes."""
    content = path.read_bytes()
    for name, text in raw.items():
        start = content.index(f"{name:<8}=".encode())
        content = content[:start] + f"{name:<8}= {text}".ljust(80).encode() + content[start + 80 :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("text", ["NaN", "Inf", "25,9463", "1000 s", "'open", "1e", "--"])
@pytest.mark.parametrize("card", ["EXPTIME", "ABZP", "BUNIT", "EQUINOX", "SATURATE", "RADESYS"])
def test_cards_that_cannot_be_parsed(tmp_path, plain, catalogue, card, text):
    base = {"EQUINOX": 2000.0, "SATURATE": 1e5}
    path = _spoilt(write_plain(tmp_path / "image.fits", **base), **{card: text})
    options = {"zero_point": ZERO_POINT} if card == "ABZP" else {}
    if card == "BUNIT":
        with pytest.raises(DataError, match=r"BUNIT is|unit '"):
            measure(path, catalogue)
        options["unit"] = "e-/s"
    found = measure(path, catalogue, **options)
    assert_same(found, plain, 1e-3, 1e-3)


@pytest.mark.parametrize("card", ["CRPIX1", "CRVAL2", "CDELT1", "PC1_1", "BSCALE", "LONPOLE"])
@pytest.mark.parametrize("text", ["NaN", "'NaN'", "1,5", "'here'"])
def test_cards_that_place_or_scale_pixels_must_be_numbers(tmp_path, card, text):
    pixels = np.round(plain_pixels() / 1e-4).astype("i4")
    path = write_plain(tmp_path / "image.fits", pixels, BSCALE=1e-4, BZERO=0.0, PC1_1=1.0)
    content = path.read_bytes()
    if card.encode() not in content:
        pytest.skip("astropy writes no such card")
    _refused("the card|not a readable FITS file", _spoilt(path, **{card: text}))


def test_numbers_in_quotes_are_numbers(tmp_path, plain, catalogue):
    path = write_plain(tmp_path / "image.fits")
    value = fits.getheader(path)["CRPIX1"]
    assert_same(measure(_spoilt(path, CRPIX1=f"'{value}'"), catalogue), plain, 1e-3, 1e-3)


def test_cards_of_the_primary_header_count(tmp_path, plain, catalogue):
    primary = fits.PrimaryHDU()
    primary.header.update(ABZP=ZERO_POINT, BUNIT="e-/s", SATURATE=3.0, EXPTIME=500.0)
    header = plain_header(ABZP=None, BUNIT=None, EXPTIME=None)
    image = fits.ImageHDU(plain_pixels(), header)
    fits.HDUList([primary, image]).writeto(tmp_path / "ext.fits")
    packed = fits.CompImageHDU(plain_pixels(), header, quantize_level=0, compression_type="GZIP_1")
    fits.HDUList([primary, packed]).writeto(tmp_path / "packed.fits")
    for name in ("ext.fits", "packed.fits"):
        assert_same(measure(tmp_path / name, catalogue), plain, 1e-3, 1e-3)
        with open_mosaic(tmp_path / name) as mosaic:
            assert (mosaic.exposure_time, mosaic.saturation) == (500.0, 3.0)


def test_the_wcs_of_the_primary_header_counts(tmp_path, plain, catalogue):
    image = fits.ImageHDU(plain_pixels(), fits.Header({"BUNIT": "e-/s"}))
    fits.HDUList([fits.PrimaryHDU(header=plain_header()), image]).writeto(tmp_path / "a.fits")
    found = measure(tmp_path / "a.fits", catalogue)
    assert_same(found, plain, 1e-3, 1e-3)
    assert "the WCS is that of the primary header" in " ".join(found.attrs["remarks"])


def test_asinh_stacks_are_made_linear(tmp_path, plain, catalogue):
    offset, softening = 0.01, 0.02
    squeezed = 2.5 * np.log10(np.e) * np.arcsinh((plain_pixels() - offset) / (2 * softening))
    cards = {"BSOFTEN": softening, "BOFFSET": offset}
    path = write_plain(tmp_path / "image.fits", squeezed.astype("f8"), **cards)
    assert_same(measure(path, catalogue), plain, 1e-3, 1e-3)
    path = write_plain(tmp_path / "half.fits", squeezed, BSOFTEN=softening)
    _refused("its pixels are asinh magnitudes .* without both numbers", path)


# --- containers --------------------------------------------------------------------------------


def _zip(path: Path, content: bytes, method=zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("image.fits", content)


_CONTAINERS = {
    "stored.fits": _zip,
    "zip.fits.zip": lambda path, content: _zip(path, content, zipfile.ZIP_DEFLATED),
    "twice.fits.gz": lambda p, c: p.write_bytes(gzip.compress(gzip.compress(c))),
    "bz2.fits.bz2": lambda p, c: p.write_bytes(bz2.compress(c)),
    "xz.fits.xz": lambda p, c: p.write_bytes(lzma.compress(c)),
    "both.fits": lambda p, c: p.write_bytes(gzip.compress(bz2.compress(c))),
}


@pytest.mark.parametrize("name", _CONTAINERS)
def test_containers_give_the_same_pixels(tmp_path, name):
    path, rms = write_plain(tmp_path / "image.fits"), tmp_path / "rms.fits"
    fits.PrimaryHDU(np.full(SHAPE, SIGMA, "f4")).writeto(rms)
    _CONTAINERS[name](tmp_path / name, path.read_bytes())
    packed = tmp_path / f"rms-{name}"
    _CONTAINERS[name](packed, rms.read_bytes())
    with open_mosaic(tmp_path / name, rms=packed) as mosaic:
        np.testing.assert_array_equal(mosaic.read()[0], plain_pixels())
        np.testing.assert_allclose(mosaic.read()[1], SIGMA**-2.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#ASDF 1.0.0\n", "is an ASDF file, not a FITS file; write the image"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not a FITS file"),
        (b"\x1f\x9d\x90abc", r"compressed by the old Unix compress \(.Z\)"),
        (b"\x28\xb5\x2f\xfdabc", "compressed by Zstandard"),
        (b"<!DOCTYPE html><html>", "is a web page, not a FITS file"),
        (b'{"error": "no such file"}', "is a JSON document"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "image.fits"
    path.write_bytes(content)
    _refused(message, path)


def test_an_archive_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.fits", b"1")
        archive.writestr("b.fits", b"2")
    _refused("is a zip archive of 2 files; unpack it", tmp_path / "two.zip")


def test_names_of_fits_files(tmp_path):
    names = ["10.fits", "2.FIT", "a.fits.gz", "b.fts", "c.ftz", "d.fits.fz", "e.fit.bz2", "f.fz"]
    for name in [*names, "notes.txt", ".hidden.fits", "g.fits.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in fits_files(tmp_path, "")] == [*names[2:], "2.FIT", "10.fits"]
    assert [stem(name) for name in names] == ["10", "2", "a", "b", "c", "d", "e", "f"]
    assert not is_fits_name("fits")


# --- bad pixels ---------------------------------------------------------------------------------


def _hot() -> tuple[np.ndarray, np.ndarray]:
    """Pixels with hot ones, and where they are: not on a galaxy."""
    pixels, hot = plain_pixels().copy(), np.zeros(SHAPE, bool)
    hot[::37, ::41] = True
    pixels[hot] = 50.0
    return pixels, hot


def _sci_err_dq(path: Path, pixels, dq, primary=None, name="DQ", err="ERR", **cards) -> Path:
    first = fits.PrimaryHDU()
    first.header.update(primary or {})
    noise = np.full(SHAPE, SIGMA if err == "ERR" else SIGMA**2, "f4")
    mask = fits.ImageHDU(dq, name=name)
    mask.header.update(cards)
    image = fits.ImageHDU(pixels, plain_header(), name="SCI")
    fits.HDUList([first, image, fits.ImageHDU(noise, name=err), mask]).writeto(path)
    return path


ACS = {"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC"}


@pytest.mark.parametrize(
    ("value", "other", "primary", "cards"),
    [
        (16, 0, {}, {}),
        (1, 4, {"TELESCOP": "JWST"}, {}),
        (16, 512, {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR"}, {}),
        (16, 64, {**ACS, "DATE-OBS": "2004-10-08"}, {}),
        (16, 64, ACS, {}),
        (64, 0, {**ACS, "DATE-OBS": "2004-10-07"}, {}),
        (1, 32, {}, {"MP_BAD": 0, "MP_DETECTED": 5}),
    ],
    ids=["any", "jwst", "wfc3", "acs", "acs of unknown date", "early acs", "rubin"],
)
def test_dq_planes_mark_bad_pixels(tmp_path, value, other, primary, cards):
    """Bits of detections and of corrected pixels are on galaxies; they lose none."""
    pixels, hot = _hot()
    dq = np.where(hot, value, 0).astype("i4")
    dq[100:200, 100:200] |= other
    path = _sci_err_dq(tmp_path / "image.fits", pixels, dq, primary, **cards)
    with open_mosaic(path) as mosaic:
        data, weight = mosaic.read()
    np.testing.assert_array_equal(weight == 0, hot)
    np.testing.assert_array_equal(data, np.where(hot, 0, plain_pixels()))


def test_bits_that_are_given_count(tmp_path):
    pixels, hot = _hot()
    dq = np.where(hot, 4, 0).astype("i4")
    dq[100:200, 100:200] |= 2
    path = _sci_err_dq(tmp_path / "image.fits", pixels, dq)
    for bits, expected in ((4, hot), (2, dq & 2 != 0), (0, np.zeros(SHAPE, bool))):
        with open_mosaic(path, bad_bits=bits) as mosaic:
            np.testing.assert_array_equal(mosaic.read()[1] == 0, expected)


def test_a_mask_that_marks_nearly_everything_is_refused(tmp_path):
    path = _sci_err_dq(tmp_path / "image.fits", plain_pixels(), np.ones(SHAPE, "i4"), name="MASK")
    _refused("its extension MASK marks 100 % of the pixels", path)


def test_variances_are_read(tmp_path):
    pixels, hot = _hot()
    path = _sci_err_dq(
        tmp_path / "lsst.fits", pixels, hot.astype("i4"), name="MASK", err="VARIANCE"
    )
    given = tmp_path / "var.fits"
    fits.PrimaryHDU(np.full(SHAPE, SIGMA**2, "f4")).writeto(given)
    ccd = CCDData(
        pixels, unit="electron / s", uncertainty=VarianceUncertainty(np.full(SHAPE, SIGMA**2)),
        mask=hot, wcs=tangent(),
    )  # fmt: skip
    ccd.write(tmp_path / "ccd.fits")
    cases = ((path, None), (tmp_path / "ccd.fits", None), (path, given))
    for image, variance in cases:
        with open_mosaic(image, variance=variance) as mosaic:
            weight = mosaic.read()[1]
        np.testing.assert_allclose(weight[~hot], SIGMA**-2, rtol=1e-5)
        assert not weight[hot].any()


@pytest.mark.parametrize(
    ("kind", "power"), [(StdDevUncertainty, 1), (VarianceUncertainty, 2), (InverseVariance, -2)]
)
def test_uncertainties_of_astropy_are_what_their_class_is(tmp_path, kind, power):
    uncertainty = kind(np.full(SHAPE, SIGMA**power))
    CCDData(plain_pixels(), unit="electron / s", uncertainty=uncertainty, wcs=tangent()).write(
        tmp_path / "ccd.fits"
    )
    with open_mosaic(tmp_path / "ccd.fits") as mosaic:
        np.testing.assert_allclose(mosaic.read()[1], SIGMA**-2, rtol=1e-5)


def test_masks_given_mark_by_any_value_but_an_instruments_own_dq(tmp_path):
    """A user's labels are no bits; what is not known to be good is bad."""
    pixels, hot = _hot()
    image = _sci_err_dq(
        tmp_path / "image.fits", pixels, np.zeros(SHAPE, "i4"), {"TELESCOP": "JWST"}
    )
    marks = np.where(hot, 2.0, 0.0)
    unknown = np.zeros(SHAPE, bool)
    unknown[5:9, 5:9] = True
    files = {"mask": (marks, ""), "dq": (marks, "DQ"), "good": (1.0 - (marks > 0), "")}
    for name, (values, extension) in files.items():
        values = np.where(unknown, np.nan, values).astype("f4")
        hdu = fits.ImageHDU(values, name=extension)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / f"{name}.fits")
    for name, expected in (("mask", hot | unknown), ("dq", unknown), ("good", hot | unknown)):
        with open_mosaic(
            image, mask=tmp_path / f"{name}.fits", invert_mask=name == "good"
        ) as mosaic:
            np.testing.assert_array_equal(mosaic.read()[1] == 0, expected, err_msg=name)


@pytest.mark.parametrize("value", [-1.0, -99.0, -999.0, 0.0, -32768.0, 1e30])
@pytest.mark.parametrize("kind", ["plain", "dithered", "dithered 2"])
def test_values_that_stand_for_no_data(tmp_path, value, kind):
    pixels = plain_pixels().copy()
    pixels[:, :30], pixels[300:] = value, value
    lost = np.zeros(SHAPE, bool)
    lost[:, :30] = lost[300:] = True
    path = tmp_path / "image.fits"
    if kind == "plain":
        write_plain(path, pixels)
    elif abs(value) > 1e4:
        pytest.skip("such values leave compression no step for the sky")
    else:
        method = 1 if kind == "dithered" else 2
        fits.CompImageHDU(
            pixels, plain_header(), quantize_method=method, quantize_level=16, dither_seed=7,
        ).writeto(path)  # fmt: skip
    with open_mosaic(path) as mosaic:
        weight = mosaic.read()[1]
        np.testing.assert_array_equal(mosaic.read(280, 320, 10, 60)[1], weight[280:320, 10:60])
    assert (weight[lost] > 0).mean() < 0.003
    assert (weight[~lost] == 0).sum() <= 3


def test_no_data_is_said_and_holes_are_no_data_too(tmp_path):
    pixels = plain_pixels().copy()
    pixels[:, :30] = -999.0
    pixels[200, 200] = -999.0
    path, remarks = write_plain(tmp_path / "image.fits", pixels), []
    with open_mosaic(path, remark=remarks.append) as mosaic:
        assert mosaic.read()[1][200, 200] == 0
    assert "areas that hold exactly -999 are taken as no data" in " ".join(remarks)


def test_zeros_under_a_weight_map_that_knows_nothing_of_them(tmp_path):
    pixels = plain_pixels().copy()
    pixels[:60] = 0
    image, weight = write_plain(tmp_path / "image.fits", pixels), tmp_path / "weight.fits"
    fits.PrimaryHDU(np.full(SHAPE, SIGMA**-2.0)).writeto(weight)
    with open_mosaic(image, weight) as mosaic:
        assert not mosaic.read()[1][:60].any()
    model = write_plain(tmp_path / "model.fits", np.maximum(pixels - 0.05, 0))
    with open_mosaic(model, weight) as mosaic:
        assert (mosaic.read()[1] > 0).all()


def test_whole_numbers_keep_their_equal_neighbours(tmp_path):
    counts = np.random.default_rng(0).poisson(0.8, SHAPE) + 5
    counts[:, :30] = -32768
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(counts.astype("i2"), plain_header()).writeto(path)
    fits.PrimaryHDU(counts.astype("f4"), plain_header()).writeto(tmp_path / "float.fits")
    for name in (path, tmp_path / "float.fits"):
        with open_mosaic(name) as mosaic:
            weight = mosaic.read()[1]
        assert not weight[:, :30].any()
        assert (weight[:, 30:] > 0).all()


@pytest.mark.parametrize("kind", ["i4", "f4"])
def test_blank_areas_of_whole_numbers_are_no_data_and_zero_counts_are(tmp_path, kind):
    """An archive's 0 in a sky of 300, or of none; a 0 of counts is a measurement."""
    rng = np.random.default_rng(0)
    skies = {"sky": rng.normal(300, 9, SHAPE), "subtracted": rng.normal(0, 9, SHAPE)}
    for name, sky in skies.items():
        sky[:, :30] = 0
        fits.PrimaryHDU(np.rint(sky).astype(kind), plain_header()).writeto(
            tmp_path / f"{name}.fits"
        )
        with open_mosaic(tmp_path / f"{name}.fits") as mosaic:
            weight = mosaic.read()[1]
        assert not weight[:, :30].any()
        # Zeros beside the area may extend it.
        assert (weight[:, 30:] == 0).sum() <= 6
    # No noise can be measured in so few counts, so the image is not opened.
    _, values, whole, _ = _sample(rng.poisson(0.2, SHAPE).astype(kind))
    assert whole and values == []


def test_a_clipped_star_is_no_hole(tmp_path):
    pixels = plain_pixels().copy()
    pixels[150:155, 150:155] = 100.0
    with open_mosaic(write_plain(tmp_path / "image.fits", pixels)) as mosaic:
        assert (mosaic.read()[1] > 0).all()


@pytest.mark.parametrize("value", [1e4, 1e10, 1e15, np.inf, np.nan])
def test_rms_of_no_data_is_judged_by_the_rest_of_the_map(tmp_path, value):
    noise = np.full(SHAPE, SIGMA, "f4")
    noise[:200, :] = value
    maps = {"rms": noise, "variance": noise**2, "weight": noise**-2.0}
    image = write_plain(tmp_path / "image.fits")
    for kind, pixels in maps.items():
        fits.PrimaryHDU(pixels.astype("f8")).writeto(tmp_path / "map.fits", overwrite=True)
        with open_mosaic(image, **{kind: tmp_path / "map.fits"}) as mosaic:
            weight = mosaic.read()[1]
        assert not weight[:200].any()
        np.testing.assert_allclose(weight[200:], SIGMA**-2, rtol=1e-4)
