"""Images of every kind: what is read, what is refused, and what resampling keeps."""

from __future__ import annotations

import bz2
import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip
from field_files import write_mosaic
from scipy.ndimage import center_of_mass

from galadapt.core.errors import DataError
from galadapt.sky import Remarks, edge_level, open_mosaic
from galadapt.surveys.field import tangent_wcs

SIGMA = 0.01


def _noise(shape=(150, 200), seed=1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, SIGMA, shape).astype("f4")


def _header(shape=(150, 200), scale=0.06, unit="ELECTRONS/S", wcs=True, **cards) -> fits.Header:
    header = tangent_wcs(shape, scale).to_header() if wcs else fits.Header()
    if unit is not None:
        header["BUNIT"] = unit
    for name, value in cards.items():
        header[name] = value
    return header


def _write(path: Path, data=None, scale=0.06, unit="ELECTRONS/S", wcs=True, **cards) -> Path:
    data = _noise() if data is None else data
    header = _header(data.shape[-2:], scale, unit, wcs, **cards)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return path


def _map(path: Path, value: float, shape=(150, 200)) -> Path:
    fits.PrimaryHDU(np.full(shape, value, "f4")).writeto(path, overwrite=True)
    return path


def _refused(message: str, *arguments, **settings) -> str:
    with pytest.raises(DataError, match=message) as caught, open_mosaic(*arguments, **settings):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- reading --------------------------------------------------------------------------------


def test_a_mosaic_is_read_as_it_was_written(tmp_path):
    data = _noise()
    write_mosaic(tmp_path / "drz.fits", data, tangent_wcs(data.shape, 0.06), {}, "ELECTRONS/S")
    wht = _map(tmp_path / "wht.fits", SIGMA**-2)
    with open_mosaic(tmp_path / "drz.fits", wht) as mosaic:
        assert (mosaic.shape, mosaic.unit, mosaic.zero_point) == (data.shape, "e-/s", None)
        assert mosaic.pixel_scale == pytest.approx(0.06)
        read, weight = mosaic.read(20, 60, 30, 100)
        np.testing.assert_array_equal(read, data[20:60, 30:100])
        assert (read.dtype, weight.dtype) == (np.dtype("f4"), np.dtype("f4"))
        np.testing.assert_allclose(weight, SIGMA**-2, rtol=1e-6)
        ra, dec = mosaic.sky(99.5, 74.5)
        assert (ra, dec) == (pytest.approx(150.1), pytest.approx(2.3))
        assert mosaic.sky(0, 74.5)[0] > ra
        with pytest.raises(ValueError, match="not inside 150 x 200 px"):
            mosaic.read(0, 151, 0, 10)


def _fpack(path: Path, data: np.ndarray) -> None:
    fits.CompImageHDU(data, _header(), quantize_level=0, compression_type="GZIP_2").writeto(path)


def _rice(path: Path, data: np.ndarray) -> None:
    fits.CompImageHDU(data, _header(), compression_type="RICE_1", quantize_level=64).writeto(path)


def _scaled(path: Path, data: np.ndarray) -> None:
    hdu = fits.PrimaryHDU(np.round((data - 1) / 1e-5).astype("i4"), _header())
    hdu.header["BSCALE"], hdu.header["BZERO"] = 1e-5, 1.0
    hdu.writeto(path)


def _blanked(path: Path, data: np.ndarray) -> None:
    _scaled(path, data)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BLANK"] = -5
        hdus[0].data[0, 0] = -5


def _extension(path: Path, data: np.ndarray) -> None:
    other = fits.ImageHDU(np.zeros((3, 3), "f4"), name="DQ")
    image = fits.ImageHDU(data, _header(), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), other, image]).writeto(path)


def _zipped(path: Path, data: np.ndarray, opener=gzip.open) -> None:
    plain = path.with_suffix(".plain")
    _write(plain, data)
    with opener(path, "wb") as packed:
        packed.write(plain.read_bytes())


@pytest.mark.parametrize(
    ("writer", "tolerance"),
    [
        (_fpack, 0),
        (_rice, 4e-4),
        (_scaled, 1e-5),
        (_blanked, 1e-5),
        (_extension, 0),
        (_zipped, 0),
        (lambda path, data: _zipped(path, data, bz2.open), 0),
        (lambda path, data: _write(path, data.astype(">f8")), 0),
    ],
    ids=["fpack", "rice", "scaled", "blanked", "extension", "gzip", "bzip2", "float64"],
)
def test_formats_give_the_same_pixels(tmp_path, writer, tolerance, monkeypatch):
    data = _noise()
    writer(tmp_path / "image.fits", data)
    rms = _map(tmp_path / "rms.fits", SIGMA)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with open_mosaic(tmp_path / "image.fits", rms=rms) as mosaic:
        read, weight = mosaic.read(33, 140, 7, 190)
        assert (mosaic.read(0, 1, 0, 1)[1] == 0) == (writer is _blanked)
    np.testing.assert_allclose(read, data[33:140, 7:190], rtol=0, atol=tolerance)
    assert (weight > 0).all()
    assert not list(temporary.iterdir())


def test_what_is_not_read_is_not_touched(tmp_path):
    """A memory map: opening a large mosaic and reading a corner costs a corner."""
    path = tmp_path / "large.fits"
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2)])
    header.update(NAXIS1=30_000, NAXIS2=30_000)
    header.update(_header((30_000, 30_000)))
    with path.open("wb") as file:
        file.write(header.tostring().encode())
        file.truncate(file.tell() + 30_000**2 * 4)
    if path.stat().st_blocks * 512 > 2**24:
        pytest.skip("this file system has no sparse files")
    with open_mosaic(path, path) as mosaic:
        data, weight = mosaic.read(100, 200, 300, 500)
    assert data.shape == (100, 200)
    assert not weight.any()


def test_an_extension_is_named_when_several_could_be_meant(tmp_path):
    path = tmp_path / "two.fits"
    first, second = _noise(seed=1), _noise(seed=2)
    images = [fits.ImageHDU(k, _header(), name=n) for k, n in ((first, "A"), (second, "B"))]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    message = _refused("holds 2 images", path)
    assert (
        "extensions 1 (A), 2 (B); name one with --hdu, or behind the path: two.fits[1]" in message
    )
    for hdu in ("B", 2):
        with open_mosaic(path, hdu=hdu) as mosaic:
            np.testing.assert_array_equal(mosaic.read()[0], second)
    _refused(r"has no extension C; images are in 1 \(A\), 2 \(B\)", path, hdu="C")
    _refused("extension 0 is no plane image", path, hdu=0)


MAPS = {"weight": SIGMA**-2, "rms": SIGMA, "variance": SIGMA**2, "exposure": 7.0}


@pytest.fixture
def many(tmp_path) -> Path:
    """One file of an image and its maps, in extensions of names that mean nothing."""
    planes = [
        _noise(seed=1),
        _noise(seed=2),
        *(np.full((150, 200), k, "f4") for k in MAPS.values()),
    ]
    bad = np.zeros((150, 200), "u1")
    bad[:, :50] = 1
    names = ["PIC", "PIC", *(f"PLANE_{kind}" for kind in MAPS), "SPOTS"]
    hdus = [fits.ImageHDU(k, _header(), name=n) for k, n in zip([*planes, bad], names, strict=True)]
    hdus[1].ver = 2
    path = tmp_path / "many.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


@pytest.mark.parametrize(("number", "kind"), list(enumerate(MAPS, start=3)))
def test_any_extension_of_any_file_can_be_named(many, number, kind):
    for image, seed in (("[PIC]", 1), ("[1]", 1), ("[2]", 2), ("[pic,2]", 2)):
        for name in (f"[PLANE_{kind}]", f"[{number}]"):
            maps = {kind: f"{many}{name}", "mask": f"{many}[SPOTS]"}
            with open_mosaic(f"{many}{image}", **maps) as mosaic:
                read, weight = mosaic.read()
            assert (weight[:, :50] == 0).all()
            np.testing.assert_array_equal(read[:, 50:], _noise(seed=seed)[:, 50:])
            np.testing.assert_allclose(weight[:, 50:], SIGMA**-2, rtol=0.08)


def test_an_extension_that_is_not_there_is_one_sentence(many, tmp_path):
    listed = r"images are in 1 \(PIC\), 2 \(PIC\), 3 \(PLANE_WEIGHT\)"
    for kind in (*MAPS, "mask"):
        for absent in ("SKY", "99"):
            said = _refused(rf"many.fits: has no extension {absent}; {listed}", f"{many}[1]",
                            **{kind: f"{many}[{absent}]"})  # fmt: skip
            assert said.count("many.fits") == 1
    _refused(rf"has no extension PIC,3; {listed}", f"{many}[PIC,3]")
    _refused("extension 0 is no plane image", f"{many}[0]")
    _refused(r"name one behind the path: many.fits\[1\]", f"{many}[1]", weight=many)
    _refused("no.fits: no such weight file", f"{many}[1]", weight=tmp_path / "no.fits[1]")
    whole = tmp_path / "of[this]name.fits"
    _write(whole)
    with open_mosaic(whole) as mosaic:
        assert mosaic.shape == (150, 200)


@pytest.mark.parametrize(("name", "value"), [("IVAR", SIGMA**-2), ("ERR", SIGMA)])
def test_maps_in_the_same_file_are_found(tmp_path, name, value):
    path = tmp_path / "mef.fits"
    primary = fits.PrimaryHDU()
    primary.header["ABMAGZP"], primary.header["EXPTIME"] = 26.5, 200.0
    image = fits.ImageHDU(_noise(), _header(), name="SCI")
    other = fits.ImageHDU(np.full((150, 200), value, "f4"), name=name)
    fits.HDUList([primary, image, other]).writeto(path)
    with open_mosaic(path) as mosaic:
        np.testing.assert_allclose(mosaic.read()[1], SIGMA**-2, rtol=1e-6)
        assert (mosaic.zero_point, mosaic.exposure_time) == (26.5, 200.0)


def test_an_exposure_extension_called_weight_is_taken_as_relative(tmp_path, capsys):
    path = tmp_path / "mef.fits"
    image = fits.ImageHDU(_noise(), _header(), name="SCI")
    other = fits.ImageHDU(np.full((150, 200), 800.0, "f4"), name="WHT")
    fits.HDUList([fits.PrimaryHDU(), image, other]).writeto(path)
    with open_mosaic(path) as mosaic:
        assert np.median(mosaic.read()[1] ** -0.5) == pytest.approx(SIGMA, rel=0.05)
    assert "noise from its extension WHT, taken as exposure" in capsys.readouterr().err


# --- what is no data ------------------------------------------------------------------------


def test_pixels_without_data_have_no_weight_and_no_value(tmp_path):
    data = _noise().astype("f8")
    data[:10], data[20, 20], data[21, 21] = np.nan, np.inf, 1e39
    image = _write(tmp_path / "image.fits", data)
    weight = np.full(data.shape, SIGMA**-2, "f4")
    weight[30], weight[31], weight[32] = np.nan, -1, 0
    fits.PrimaryHDU(weight).writeto(tmp_path / "wht.fits")
    mask = np.zeros(data.shape, "i2")
    mask[40:42] = 4
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    with open_mosaic(image, tmp_path / "wht.fits", mask=tmp_path / "mask.fits") as mosaic:
        read, got = mosaic.read()
    lost = np.zeros(data.shape, bool)
    lost[:10] = lost[20, 20] = lost[21, 21] = lost[30:33] = lost[40:42] = True
    np.testing.assert_array_equal(got == 0, lost)
    assert not read[lost].any()
    with open_mosaic(
        image, tmp_path / "wht.fits", mask=tmp_path / "mask.fits", invert_mask=True
    ) as mosaic:
        assert np.flatnonzero(mosaic.read()[1].any(axis=1)).tolist() == [40, 41]


def test_blank_areas_are_no_data_but_a_lone_zero_is(tmp_path):
    data = _noise()
    data[:, :25], data[100, 100] = 0, 0
    with open_mosaic(_write(tmp_path / "image.fits", data)) as mosaic:
        weight = mosaic.read()[1]
        np.testing.assert_array_equal(mosaic.read(50, 60, 20, 30)[1], weight[50:60, 20:30])
    assert not weight[:, :25].any()
    assert (weight[:, 25:] > 0).all()


# --- noise ----------------------------------------------------------------------------------


def test_noise_is_measured_where_no_map_is_given(tmp_path):
    level = np.where(np.arange(640) < 320, 1.0, 3.0)
    data = _noise((512, 640)) * level
    rows, columns = np.indices(data.shape)
    for x, y in ((100, 100), (500, 300), (250, 400)):
        data += 5 * np.exp(-np.hypot(columns - x, rows - y) / 6)
    with open_mosaic(_write(tmp_path / "image.fits", data)) as mosaic:
        weight = mosaic.read()[1]
        np.testing.assert_array_equal(mosaic.read(60, 200, 300, 410)[1], weight[60:200, 300:410])
    rms = weight**-0.5
    assert np.median(rms[:, :250]) == pytest.approx(SIGMA, rel=0.05)
    assert np.median(rms[:, 390:]) == pytest.approx(3 * SIGMA, rel=0.05)
    assert rms[:, :250].max() < 1.2 * SIGMA


def test_an_exposure_map_is_scaled_to_the_noise(tmp_path):
    exposure = np.where(np.arange(256) < 128, 100.0, 900.0) * np.ones((256, 1))
    data = _noise((256, 256)) / np.sqrt(exposure / 100)
    image = _write(tmp_path / "image.fits", data)
    fits.PrimaryHDU(exposure).writeto(tmp_path / "exp.fits")
    with open_mosaic(image, exposure=tmp_path / "exp.fits") as mosaic:
        rms = mosaic.read()[1] ** -0.5
    assert rms[0, 0] == pytest.approx(SIGMA, rel=0.05)
    assert rms[0, 0] / rms[0, -1] == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "value"), [("weight", SIGMA), ("rms", SIGMA**-2), ("weight", (SIGMA * 500) ** -2)]
)
def test_maps_that_contradict_the_image_are_refused(tmp_path, kind, value):
    """A noise given as weight, a weight given as noise, counts labelled as a rate."""
    image, other = _write(tmp_path / "image.fits"), _map(tmp_path / "map.fits", value)
    message = _refused("the noise of .* times that of this", image, **{kind: other})
    assert "as --weight, a noise as --rms, and a relative or exposure map as --exposure" in message


@pytest.mark.parametrize("kind", ["weight", "rms", "variance"])
@pytest.mark.parametrize("cards", [{"BUNIT": "s"}, {"BUNIT": "Seconds"}, {"EXTNAME": "EXP"}])
def test_a_map_of_seconds_is_an_exposure_map(tmp_path, kind, cards):
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(np.full((150, 200), MAPS[kind], "f4"), fits.Header(cards)).writeto(path)
    image = _write(tmp_path / "image.fits")
    said = _refused(
        "map.fits: an exposure map, as .*; give it as --exposure", image, **{kind: path}
    )
    assert f"no {kind}" in said
    with open_mosaic(image, exposure=path) as mosaic:
        assert np.median(mosaic.read()[1]) ** -0.5 == pytest.approx(SIGMA, rel=0.04)


@pytest.mark.parametrize(
    ("name", "time", "said"),
    [
        ("field_exp.fits", None, "may be an exposure map, by its name"),
        ("ExpMap.fits", None, "may be an exposure map, by its name"),
        ("other.fits", SIGMA**-2, "may be an exposure map, as its largest values are the image's"),
        ("other.fits", 2 * SIGMA**-2, None),
        ("experiment.fits", None, None),
    ],
)
def test_a_map_that_may_be_an_exposure_map_is_doubted(tmp_path, capsys, name, time, said):
    """Its factor may be right by chance: then only names and EXPTIME tell."""
    cards = {} if time is None else {"EXPTIME": time}
    image = _write(tmp_path / "image.fits", **cards)
    remark = Remarks()
    with open_mosaic(image, _map(tmp_path / name, SIGMA**-2), remark=remark):
        pass
    found = [text for text in remark.texts if "exposure map" in text]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


#: Noise that rises threefold over an image, as in a mosaic of few exposures.
UNEVEN = SIGMA * np.repeat(np.linspace(1, 3, 512)[None], 512, axis=0)


@pytest.mark.parametrize(
    ("kind", "power", "said"),
    [
        ("weight", -2, None),
        ("rms", 1, None),
        ("variance", 2, None),
        ("weight", 1, "falls as it rises in this weight map"),
        ("rms", -2, "falls as it rises in this rms map"),
        ("rms", 2, "changes as the power 0.5 of that of this rms map"),
        ("variance", 1, "changes as the power 2.0 of that of this variance map"),
    ],
)
def test_a_map_of_another_kind_is_known_by_its_trend(tmp_path, kind, power, said):
    """Each map is given the factor with which its level agrees with the image."""
    noise = np.random.default_rng(5).normal(0, UNEVEN)
    image = _write(tmp_path / "image.fits", noise.astype("f4"))
    level = {"weight": (2 * SIGMA) ** -2, "rms": 2 * SIGMA, "variance": (2 * SIGMA) ** 2}[kind]
    values = level * (UNEVEN / (2 * SIGMA)) ** power
    fits.PrimaryHDU(values.astype("f4")).writeto(tmp_path / "map.fits")
    remark, maps = Remarks(), {kind: tmp_path / "map.fits"}
    if said is not None and "falls" in said:
        _refused(said, image, **maps)
        return
    with open_mosaic(image, remark=remark, **maps):
        pass
    found = [text for text in remark.texts if "map" in text]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("rms", "rms", None),
        ("exposure", "exp", None),
        ("weight", "exp", "exposure map"),
        ("rms", "exp", "falls as it rises"),
        ("weight", "rms", "falls as it rises"),
        ("variance", "rms", "variance map"),
    ],
)
def test_real_maps_are_not_used_silently_for_another(galadapt_data, kind, name, said):
    start = galadapt_data / "f160w_field" / "HST_macs1149_f160w_"
    remark, maps = Remarks(), {kind: f"{start}{name}.fits"}
    if said is not None and "falls" in said:
        _refused(said, f"{start}drz.fits", **maps)
        return
    with open_mosaic(f"{start}drz.fits", remark=remark, **maps):
        pass
    assert [said in text for text in remark.texts if "map" in text] == (
        [] if said is None else [True]
    )


def test_a_doubtful_map_is_said(tmp_path, capsys):
    image, other = _write(tmp_path / "image.fits"), _map(tmp_path / "map.fits", SIGMA / 6)
    with open_mosaic(image, rms=other):
        pass
    assert "times that of this rms map" in capsys.readouterr().err


def test_an_image_without_noise_needs_a_map(tmp_path):
    image = _write(tmp_path / "image.fits", np.ones((150, 200), "f4"))
    _refused("no noise can be measured, as the image is empty or constant; give a weight", image)
    with open_mosaic(image, rms=_map(tmp_path / "rms.fits", 1.0)) as mosaic:
        assert (mosaic.read()[1] == 1).all()
    _refused("--weight and --rms are given; give one", image, image, rms=image)


# --- units and zero point -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("ELECTRONS/S", "e-/s"),
        ("e-/s", "e-/s"),
        ("electron s-1", "e-/s"),
        ("COUNTS/S", "counts/s"),
        ("cps", "counts/s"),
        ("adu / s", "counts/s"),
    ],
)
def test_rates_are_recognised(tmp_path, written, unit):
    with open_mosaic(_write(tmp_path / "image.fits", unit=written)) as mosaic:
        assert (mosaic.unit, mosaic.zero_point) == (unit, None)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("COUNTS", "BUNIT is 'COUNTS', not a rate; give --unit 'counts' to divide by EXPTIME"),
        ("electrons", "BUNIT is 'electrons', not a rate"),
        (None, "BUNIT is missing, so the unit of the pixels is unknown; give --unit"),
        ("erg/s/cm2/Angstrom", "neither a rate nor a flux density per frequency"),
        ("furlong", "unit 'furlong' is neither a rate"),
    ],
)
def test_other_units_are_refused(tmp_path, written, message):
    _refused(message, _write(tmp_path / "image.fits", unit=written))


@pytest.mark.parametrize("written", [None, "erg/s/cm2/Angstrom", "furlong"])
def test_a_zero_point_of_one_image_unit_needs_no_unit(tmp_path, written):
    image = _write(tmp_path / "image.fits", unit=written)
    with open_mosaic(image, zero_point=25.0) as mosaic:
        assert (mosaic.zero_point, mosaic.factor) == (25.0, 1.0)
    _refused("not a rate", _write(tmp_path / "image.fits", unit="COUNTS"), zero_point=25.0)


def test_counts_are_divided_when_told(tmp_path, capsys):
    image = _write(tmp_path / "image.fits", _noise() * 50, unit="COUNTS", EXPTIME=50.0, MAGZPT=29.0)
    with open_mosaic(image, rms=_map(tmp_path / "rms.fits", SIGMA * 50), unit="counts") as mosaic:
        read, weight = mosaic.read()
        assert (mosaic.unit, mosaic.exposure_time, mosaic.zero_point) == ("counts/s", 50.0, None)
    np.testing.assert_allclose(read, _noise(), atol=1e-8)
    np.testing.assert_allclose(weight, SIGMA**-2, rtol=1e-5)
    assert "MAGZPT may be that of counts, not of counts/s" in capsys.readouterr().err


def test_counts_need_an_exposure_time(tmp_path, capsys):
    image = _write(tmp_path / "image.fits", unit="COUNTS", EXPTIME=0.0)
    _refused(r"as EXPTIME is '0.0'; set it in the header \[s\]", image, unit="counts")
    image = _write(tmp_path / "image.fits", unit="COUNTS", EXPTIME=1.0)
    with open_mosaic(image, unit="counts"):
        pass
    assert "EXPTIME is 1 s; check" in capsys.readouterr().err


def test_a_told_unit_wins_with_a_word(tmp_path, capsys):
    with open_mosaic(_write(tmp_path / "image.fits", unit="COUNTS"), unit="e-/s") as mosaic:
        assert mosaic.unit == "e-/s"
    assert "BUNIT is 'COUNTS'; taken as 'e-/s', as given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unit", "zero_point"),
    [
        ("Jy", 8.90),
        ("uJy", 23.90),
        ("nJy", 31.40),
        ("nanomaggy", 22.5),
        # JWST handbooks: -6.10 - 2.5 log10(pixel area in sr).
        ("MJy/sr", -6.10 - 2.5 * np.log10((0.06 / 206264.806) ** 2)),
        ("erg/s/cm2/Hz", -48.60),
    ],
)
def test_calibrated_units_give_the_zero_point(tmp_path, unit, zero_point):
    with open_mosaic(_write(tmp_path / "image.fits", unit=unit), zero_point=None) as mosaic:
        assert mosaic.zero_point == pytest.approx(zero_point, abs=0.005)


@pytest.mark.parametrize(
    ("cards", "zero_point"),
    [
        ({"ABMAGZP": 25.9}, 25.9),
        ({"MAGZERO": 30.0}, 30.0),
        ({"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176}, 25.946),
        ({"PHOTFLAM": 0.0, "PHOTPLAM": 15369.176}, None),
        ({"ABMAGZP": "unknown"}, None),
    ],
)
def test_zero_points_of_headers(tmp_path, cards, zero_point):
    with open_mosaic(_write(tmp_path / "image.fits", **cards)) as mosaic:
        expected = None if zero_point is None else pytest.approx(zero_point, abs=1e-3)
        assert mosaic.zero_point == expected


def test_zero_points_that_contradict(tmp_path, capsys):
    image = _write(tmp_path / "image.fits", ABMAGZP=25.9)
    with open_mosaic(image, zero_point=25.898) as mosaic:
        assert mosaic.zero_point == 25.898
    assert "zero point" not in capsys.readouterr().err
    with open_mosaic(image, zero_point=23.0) as mosaic:
        assert mosaic.zero_point == 23.0
    assert "zero point by ABMAGZP is 25.9000, --zero-point is 23.0000, which is used" in (
        capsys.readouterr().err
    )
    _refused("by ABMAGZP is -99, which is no AB", _write(tmp_path / "image.fits", ABMAGZP=-99.0))


# --- the sky --------------------------------------------------------------------------------


def _turned(path: Path, turn: float, flip: bool, scale=0.1, order=("RA---TAN", "DEC--TAN")) -> Path:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = np.array([[1.0 if flip else -1.0, 0], [0, 1]]) @ np.array([[c, s], [-s, c]])
    value = [10.0, 60.0]
    if order[0].startswith("DEC"):
        matrix, value = matrix[::-1], value[::-1]
    header = fits.Header({"BUNIT": "e-/s", "CTYPE1": order[0], "CTYPE2": order[1]})
    for row in (0, 1):
        header[f"CRVAL{row + 1}"], header[f"CRPIX{row + 1}"] = value[row], (100.5, 75.5)[row]
        for column in (0, 1):
            header[f"CD{row + 1}_{column + 1}"] = matrix[row, column] * scale / 3600
    fits.PrimaryHDU(_noise(), header).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("pixel_scale", [None, 0.06, 0.15])
@pytest.mark.parametrize("order", [("RA---TAN", "DEC--TAN"), ("DEC--TAN", "RA---TAN")])
@pytest.mark.parametrize(("turn", "flip"), [(0, False), (30, False), (-75, False), (30, True)])
def test_places_and_angles_on_any_orientation(tmp_path, turn, flip, order, pixel_scale):
    path = _turned(tmp_path / "image.fits", turn, flip, order=order)
    with open_mosaic(path, pixel_scale=pixel_scale) as mosaic:
        ratio = 0.1 / mosaic.pixel_scale
        x, y = mosaic.positions(10.0, 60.0)
        middle = (100 * ratio - 0.5, 75 * ratio - 0.5)
        assert (x, y) == (pytest.approx(middle[0]), pytest.approx(middle[1]))
        # Ten pixels north, then what lies there.
        north = mosaic.positions(10.0, 60.0 + 10 * mosaic.pixel_scale / 3600)
        angle = np.radians(turn)
        offset = (north[0] - x, north[1] - y)
        assert offset == (
            pytest.approx(-10 * np.sin(angle), abs=1e-3),
            pytest.approx(10 * np.cos(angle), abs=1e-3),
        )
        assert mosaic.sky(*north)[1] == pytest.approx(60.0 + 10 * mosaic.pixel_scale / 3600)
        got = mosaic.angle(np.full(2, 10.0), np.full(2, 60.0), np.array([0.0, 40.0]))
        expected = (np.array([0.0, -40.0 if flip else 40.0]) + np.degrees(angle) + 90) % 180 - 90
        np.testing.assert_allclose(got, expected, atol=0.01)


def test_galactic_headers_are_understood(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["GLON-TAN", "GLAT-TAN"], [-2e-5, 2e-5]
    wcs.wcs.crval, wcs.wcs.crpix = [121.1743, -21.5733], [100.5, 75.5]
    header = wcs.to_header()
    header["BUNIT"] = "e-/s"
    fits.PrimaryHDU(_noise(), header).writeto(tmp_path / "m31.fits")
    with open_mosaic(tmp_path / "m31.fits") as mosaic:
        # M31 by both its names.
        x, y = mosaic.positions(10.6847, 41.2690)
        assert np.hypot(x - 99.5, y - 74.5) * mosaic.pixel_scale < 1
        ra, dec = mosaic.sky(x, y)
        assert (ra, dec) == (pytest.approx(10.6847), pytest.approx(41.2690))


def test_places_off_the_sky_are_nan(tmp_path):
    with open_mosaic(_write(tmp_path / "image.fits")) as mosaic:
        ra, dec = np.array([150.1, 330.1, np.nan, 10.0]), np.array([2.3, -2.3, 2.0, 120.0])
        x, y = mosaic.positions(ra, dec)
        assert np.isfinite(x).tolist() == np.isfinite(y).tolist() == [True, False, False, False]


def test_without_wcs_pixels_remain(tmp_path):
    image = _write(tmp_path / "image.fits", wcs=False)
    with open_mosaic(image) as mosaic:
        assert not mosaic.has_wcs
        assert np.isnan(mosaic.pixel_scale)
        assert np.isnan(mosaic.sky(np.zeros(3), np.zeros(3))).all()
        assert mosaic.read(0, 5, 0, 5)[0].shape == (5, 5)
        with pytest.raises(DataError, match=r"no celestial WCS .* give positions in pixels"):
            mosaic.positions(150.1, 2.3)
    _refused("pixel scale is unknown.*give --native-pixel-scale", image, pixel_scale=0.06)
    with open_mosaic(image, pixel_scale=0.12, native_pixel_scale=0.06) as mosaic:
        assert mosaic.shape == (75, 100)


def test_absurd_wcs_is_refused(tmp_path):
    header = fits.Header({"BUNIT": "e-/s", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    fits.PrimaryHDU(_noise(), header).writeto(tmp_path / "image.fits")
    _refused("a pixel is 3.6e.03 x 3.6e.03 arcsec; repair CD or CDELT", tmp_path / "image.fits")
    image = _write(tmp_path / "image.fits")
    _refused("WCS gives 0.0600 arcsec per pixel, --native-pixel-scale 0.2", image, None,
             native_pixel_scale=0.2)  # fmt: skip
    _refused("too coarse to be resampled to 0.005", image, pixel_scale=0.005)
    _refused("smaller than one pixel of 60 arcsec", image, pixel_scale=60.0)


def test_pixels_that_are_not_square(tmp_path):
    data = _noise()
    wcs = tangent_wcs(data.shape, 0.06)
    wcs.wcs.cd = np.array([[-0.06, 0], [0, 0.12]]) / 3600
    header = wcs.to_header()
    header["BUNIT"] = "e-/s"
    fits.PrimaryHDU(data, header).writeto(tmp_path / "image.fits")
    _refused("0.0600 x 0.1200 arcsec, not square; resample it to square", tmp_path / "image.fits")
    with open_mosaic(tmp_path / "image.fits", pixel_scale=0.06) as mosaic:
        assert mosaic.shape == (300, 200)
        read = mosaic.read()[0]
    np.testing.assert_allclose(read[::2], data / 2, rtol=1e-5)
    assert read.sum() == pytest.approx(data.sum(), rel=1e-4)


# --- resampling -----------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [0.03, 0.05, 0.0601, 0.0613, 0.08, 0.1003, 0.18])
def test_resampling_keeps_flux_and_place(tmp_path, wanted):
    rows, columns = np.indices((200, 240))
    data = np.exp(-((columns - 121.3) ** 2 + (rows - 96.8) ** 2) / (2 * 4.0**2))
    image = _write(tmp_path / "image.fits", data + _noise(data.shape).astype("f8") * 1e-4)
    rms = _map(tmp_path / "rms.fits", SIGMA * 1e-4, data.shape)
    with open_mosaic(image, rms=rms) as native:
        ra, dec = native.sky(121.3, 96.8)
    with open_mosaic(image, rms=rms, pixel_scale=wanted) as mosaic:
        same = abs(wanted / 0.06 - 1) <= 0.01
        assert mosaic.pixel_scale == pytest.approx(0.06 if same else wanted, rel=1e-9)
        read, weight = mosaic.read()
        x, y = mosaic.positions(ra, dec)
    assert read.sum() == pytest.approx(data.sum(), rel=1e-3)
    centre = center_of_mass(read.astype(float))
    assert abs(centre[1] - x) < 0.02
    assert abs(centre[0] - y) < 0.02
    # A variance of flux per pixel: an image of white noise has it.
    if wanted in (0.18, 0.03):
        assert weight[20, 20] ** -0.5 * 1e4 == pytest.approx(SIGMA * {0.18: 3, 0.03: 0.25}[wanted])


def test_resampled_noise_is_as_the_weight_says(tmp_path):
    image = _write(tmp_path / "image.fits", _noise((600, 600)))
    rms = _map(tmp_path / "rms.fits", SIGMA, (600, 600))
    for wanted in (0.04, 0.1):
        with open_mosaic(image, rms=rms, pixel_scale=wanted) as mosaic:
            read, weight = mosaic.read()
        assert (read * np.sqrt(weight)).std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("wanted", [0.037, 0.1])
def test_resampling_does_not_depend_on_the_box(tmp_path, wanted):
    data = _noise()
    data[50:60, 70:90] = np.nan
    image = _write(tmp_path / "image.fits", data)
    with open_mosaic(image, pixel_scale=wanted) as mosaic:
        read, weight = mosaic.read()
        ny, nx = mosaic.shape
        for side in (7, 40):
            for y in range(0, ny, side):
                for x in range(0, nx, side):
                    box = np.s_[y : min(y + side, ny), x : min(x + side, nx)]
                    part = mosaic.read(box[0].start, box[0].stop, box[1].start, box[1].stop)
                    np.testing.assert_array_equal(part[0], read[box])
                    np.testing.assert_array_equal(part[1], weight[box])
        # Any share of a lost pixel loses the output pixel, and no other.
        ratio = 0.06 / wanted
        lost = np.zeros((ny, nx), bool)
        lost[
            int(50 * ratio) : int(np.ceil(60 * ratio)),
            int(70 * ratio) : -(-int(9000 * ratio) // 100),
        ] = True
        np.testing.assert_array_equal(weight == 0, lost)


# --- refusals -------------------------------------------------------------------------------


def test_weight_of_another_shape_or_place_is_refused(tmp_path):
    image = _write(tmp_path / "image.fits")
    wht = _map(tmp_path / "wht.fits", 1.0, (40, 40))
    _refused(r"weight map of \(40, 40\) px for a mosaic of \(150, 200\) px", image, wht)
    header = tangent_wcs((150, 200), 0.06, ra=150.2).to_header()
    fits.PrimaryHDU(np.ones((150, 200)), header).writeto(wht, overwrite=True)
    _refused("its WCS lies 5.* px from that of .*; give the weight map of the same", image, wht)


@pytest.mark.parametrize("keep", [0, 100, 2000, 6000, 60_000])
def test_truncated_images_are_refused(tmp_path, keep):
    path = _write(tmp_path / "image.fits")
    path.write_bytes(path.read_bytes()[:keep])
    _refused("not a readable FITS file .*; fetch it again", path)


def test_truncated_archives_are_refused(tmp_path):
    path = tmp_path / "image.fits.gz"
    _zipped(path, _noise())
    path.write_bytes(path.read_bytes()[:-5000])
    _refused("image.fits.gz: not a readable FITS file", path)


def test_what_is_no_image_is_refused(tmp_path):
    path = tmp_path / "image.fits"
    path.write_text("hello")
    _refused("not a readable FITS", path)
    fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    _refused("holds no 2-D image", path)
    _write(path, np.zeros((3, 20, 20), "f4"))
    _refused(r"holds a cube of \(3, 20, 20\) px, no 2-D image; write the plane", path)
    _refused("absent.fits: no such mosaic file; check the path", tmp_path / "absent.fits")


# --- real files -----------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("kind", ["measured", "rms", "exposure"])
def test_a_real_header_and_its_noise(galadapt_data, kind):
    """Three ways to the same noise: the simulator's rms map, its exposures, the pixels."""
    stem = str(galadapt_data / "f160w_field" / "HST_macs1149_f160w_")
    maps = {} if kind == "measured" else {kind: f"{stem}{kind[:3]}.fits"}
    with open_mosaic(f"{stem}drz.fits", **maps) as mosaic:
        assert (mosaic.shape, mosaic.unit) == ((667, 667), "e-/s")
        assert mosaic.zero_point == pytest.approx(25.946, abs=0.001)
        assert mosaic.exposure_time == pytest.approx(91051.5, abs=0.1)
        rms = mosaic.read()[1] ** -0.5
    assert np.median(rms) == pytest.approx(0.0070, rel=0.1)
    assert np.percentile(rms, 10) == pytest.approx(0.0020, rel=0.15)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("xmm_epic/0085110101_image_500_2000_51.2ks.fits", {}, "BUNIT is missing"),
        (
            "xmm_epic/0085110101_image_500_2000_51.2ks.fits",
            {"unit": "counts/s", "pixel_scale": 0.06},
            "no celestial WCS",
        ),
        ("starfields/M13_blue_0001.fits", {}, "BUNIT is missing"),
        ("starfields/M6707HH.fits", {}, "BUNIT is missing"),
        (
            "starfields/M6707HH.fits",
            {"unit": "counts/s", "pixel_scale": 0.06},
            "pixels of 1.7 arcsec are too coarse",
        ),
    ],
)
def test_other_skies_are_refused(galadapt_data, name, settings, message):
    _refused(message, galadapt_data / name, **settings)


def test_stale_distortion_is_not_applied(tmp_path):
    """Drizzled mosaics keep polynomials that their CTYPE denies; astropy would apply them."""
    cards = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": 1e-3}
    with open_mosaic(_write(tmp_path / "image.fits", **cards)) as mosaic:
        x, _ = mosaic.positions(*mosaic.sky(199.0, 75.0))
        ra, _ = mosaic.sky(199.0, 75.0)
    assert x == pytest.approx(199.0)
    assert ra == pytest.approx(150.1 - 99.5 * 0.06 / 3600 / np.cos(np.radians(2.3)), abs=1e-8)


@pytest.mark.parametrize("wanted", [None, 0.1, 0.05])
def test_the_wcs_of_the_grid_is_that_of_its_pixels(tmp_path, wanted):
    wcs = tangent_wcs((150, 200), 0.06)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[1, 1], b[0, 2] = 3e-5, -2e-5, 4e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    header = wcs.to_header(relax=True)
    header["BUNIT"] = "e-/s"
    fits.PrimaryHDU(_noise(), header).writeto(tmp_path / "image.fits")
    with open_mosaic(tmp_path / "image.fits", pixel_scale=wanted) as mosaic:
        x, y = np.array([3.0, 50.0, 80.0]), np.array([70.0, 4.0, 80.0])
        written = WCS(mosaic.wcs().to_header(relax=True))
        np.testing.assert_allclose(written.all_pix2world(x, y, 0), mosaic.sky(x, y), atol=1e-9)
        back = mosaic.positions(*mosaic.sky(x, y))
        np.testing.assert_allclose(back, (x, y), atol=1e-3)


def test_remarks_on_many_images_are_said_once(tmp_path, capsys):
    remark = Remarks()
    for number in range(3):
        with open_mosaic(_write(tmp_path / f"{number}.fits"), remark=remark):
            pass
    assert capsys.readouterr().err.count("the noise is measured in the image") == 1


@pytest.mark.parametrize(("sky", "level"), [(0.0, 0.0), (2.0, 0.0), (50.0, 50.0), (-50.0, -50.0)])
def test_the_level_beyond_an_edge(sky, level):
    """Light of a few sigma at the edge is the galaxy's; a sky that was never subtracted stays."""
    data = np.random.default_rng(0).normal(sky, 1.0, (40, 40))
    found, scatter = edge_level(data, np.ones(data.shape, bool), 40)
    assert found == pytest.approx(level, abs=0.2)
    assert scatter == pytest.approx(1.0, abs=0.1)
    assert edge_level(data, np.zeros(data.shape, bool), 40) == (0.0, 0.0)
