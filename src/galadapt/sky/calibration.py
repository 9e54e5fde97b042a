"""Scale, unit and zero point of an image by its header, and what contradicts it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from astropy import units

from galadapt.core.errors import DataError
from galadapt.core.photometry import choose_zero_point, stmag_zero_point
from galadapt.sky.fits_files import Plane
from galadapt.sky.headers import Cards, exposure_time
from galadapt.sky.sky import local_scales

#: Spellings met in archives, without blanks and in lower case.
_PER_SECOND = ("/s", "/sec", "/second", "/seconds", "s-1", "s^-1", "s**-1", ".s-1", "*s**-1")
_ELECTRONS = ("electrons", "electron", "elec", "e-", "e")
_COUNTS = ("counts", "count", "cts", "ct", "dn", "adu", "photons", "photon", "ph")
_MAGGIES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy")

#: Cards that hold an AB zero point by their names.
_AB_CARDS = ("ABMAGZP", "ABZP", "ABMAG0", "MAGZP_AB", "ZP_AB", "ZPAB")

#: Cards that hold the magnitude of one image unit, of a system that another card may name.
ZERO_POINT_CARDS = (*("MAGZERO", "MAGZPT", "MAGZP", "PHOTZP", "ZEROPNT", "ZEROPOINT", "MAG_ZP"),)

#: Cards that name the photometric system.
_SYSTEM_CARDS = ("MAGSYS", "PHOTSYS", "MAGZSYS", "PHOTSYST", "MAGTYPE", "ZPSYS", "ZP_SYS")

#: Archives that give zero points in the Vega system without naming it, by words in INSTRUME,
#: TELESCOP, ORIGIN or SURVEY.
_VEGA_ARCHIVES = ("WISE", "2MASS", "WFCAM", "VIRCAM", "UKIDSS", "VISTA")

#: AB minus Vega magnitudes by band [mag].
_VEGA_OFFSETS = {
    # HST, differences of STScI's zero points: WFC3/IR of 6 March 2012; ACS/WFC of 1 April 2016, by
    # the calibration of Bohlin (2016, AJ 152, 60), from the documentation of acstools.acszpt 1.0.
    **{"F098M": 0.562, "F105W": 0.645, "F110W": 0.760, "F125W": 0.901, "F140W": 1.076},
    **{"F160W": 1.251, "F435W": -0.098, "F475W": -0.093, "F606W": 0.093, "F775W": 0.395},
    **{"F814W": 0.427, "F850LP": 0.526},
    # 2MASS: Blanton & Roweis (2007). WISE: the explanatory supplement, IV.4.h.
    **{"2MASS J": 0.91, "2MASS H": 1.39, "2MASS K": 1.85, "2MASS KS": 1.85},
    **{"WISE 1": 2.699, "WISE 2": 3.339, "WISE 3": 5.174, "WISE 4": 6.620},
    # UKIDSS: Hewett et al. (2006). VISTA: Gonzalez-Fernandez et al. (2018).
    **{f"{survey} {band}": offset for survey in ("WFCAM", "UKIDSS") for band, offset in
       (("Z", 0.528), ("Y", 0.634), ("J", 0.938), ("H", 1.379), ("K", 1.900))},
    **{f"{survey} {band}": offset for survey in ("VIRCAM", "VISTA") for band, offset in
       (("Z", 0.502), ("Y", 0.600), ("J", 0.916), ("H", 1.366), ("KS", 1.827))},
}  # fmt: skip

#: ABmag minus STmag of a source at a pivot wavelength of 1 Angstrom [mag], as in
#: `galadapt.core.photometry.stmag_zero_point`: 21.10 - 2.408.
_ST_TO_AB = 18.692

#: Pixel scales that agree to this share are one: no resampling, no contradiction.
SCALE_TOLERANCE = 0.01

_COARSEST = 8.0  #: native pixels may be so many output pixels wide


def native_scales(plane: Plane, given: float | None) -> np.ndarray:
    """Pixel scale in x and in y at the middle of an image [arcsec/px]; NaN when unknown.

    Raises:
        DataError: the WCS contradicts the scale given, or the pixels differ over the image.
    """
    path = plane.cards.path
    if plane.sky is None:
        return np.full(2, np.nan if given is None else given)
    scales = local_scales(plane.sky, plane.shape, path, plane.cards.remark)
    if given is not None and np.any(np.abs(scales / given - 1) > SCALE_TOLERANCE):
        raise DataError(
            f"{path}: the WCS gives {scales.mean():.4f} arcsec per pixel, "
            f"--native-pixel-scale {given:g}; leave --native-pixel-scale out or repair the header"
        )
    return np.asarray(scales)


def wanted_scale(scales: np.ndarray, wanted: float | None, path: Path) -> float:
    """Pixel scale to read at [arcsec/px]: as wanted, or the file's own."""
    if wanted is None:
        if abs(scales[0] / scales[1] - 1) > SCALE_TOLERANCE:
            raise DataError(
                f"{path}: pixels are {scales[0]:.4f} x {scales[1]:.4f} arcsec, not square; "
                "resample it to square ones (drizzle, SWarp)"
            )
        return float(scales.mean())
    if np.isnan(scales).any():
        raise DataError(
            f"{path}: the pixel scale is unknown, as the header has no celestial WCS; give "
            "--native-pixel-scale [arcsec]"
        )
    if (scales / wanted > _COARSEST).any():
        raise DataError(
            f"{path}: pixels of {scales.mean():.3g} arcsec are too coarse to be resampled to "
            f"{wanted:g} arcsec; give a sharper image or a network for this scale"
        )
    # The grid is exactly the wanted one, or exactly the file's.
    same = (np.abs(scales / wanted - 1) <= SCALE_TOLERANCE).all()
    return float(scales.mean()) if same else float(wanted)


def unit_of(cards: Cards, given: str | None, zero_point: float | None) -> tuple[str, float]:
    """Unit of the pixels as they are read, and what the file's are multiplied with for it.

    With a `zero_point` given of one image unit, a unit that is missing or unknown does not matter.
    """
    path, remark = cards.path, cards.remark
    written = cards.text("BUNIT")
    kind = unit_kind(written if given is None else given)
    if given is not None and written and kind != unit_kind(written):
        remark(f"{path}: BUNIT is '{written}'; taken as '{given}', as given")
    if kind in ("e-", "counts"):
        if given is None:
            raise DataError(
                f"{path}: BUNIT is '{written}', not a rate; give --unit 'counts' to divide by "
                "EXPTIME, where the zero point is that of 1 count/s; or 'counts/s', where it is "
                "that of the pixels as they are, as in most coadded images"
            )
        time = exposure_time(cards)
        if time is None:
            raise DataError(
                f"{path}: counts cannot be divided by the exposure time, as EXPTIME is "
                f"'{cards.raw('EXPTIME')}'; set it in the header [s]"
            )
        if time == 1:
            remark(f"{path}: EXPTIME is 1 s; check that the image does hold counts of 1 s")
        return f"{kind}/s", 1 / time
    if kind is not None:
        return kind, 1.0
    if given is None and zero_point is not None and "mag" not in written.lower():
        remark(
            f"{path}: BUNIT is '{written}'; the zero point given is that of its pixels as they are"
        )
        return written or "unit", 1.0
    if given is None and not written:
        raise DataError(
            f"{path}: BUNIT is missing, so the unit of the pixels is unknown; give --unit: 'e-/s', "
            "'counts/s', 'counts' or a flux density such as 'nJy' or 'MJy/sr'"
        )
    raise DataError(
        f"{path}: unit '{written if given is None else given}' is neither a rate nor a flux "
        "density per frequency; give --unit: 'e-/s', 'counts/s', 'counts' or one such as 'nJy' or "
        "'MJy/sr'"
    )


def unit_kind(text: str) -> str | None:
    """Name a unit: "e-/s", "counts/s", "e-", "counts", a flux density as in astropy, or None."""
    plain = text.lower().replace(" ", "")
    for per, suffix in ((_PER_SECOND, "/s"), (("",), "")):
        for names, name in ((_ELECTRONS, "e-"), (_COUNTS, "counts")):
            if plain in {one + end for one in names for end in per}:
                return name + suffix
    if plain == "cps":
        return "counts/s"
    if plain in _MAGGIES:
        return "nmgy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", units.UnitsWarning)
            unit = units.Unit(text.strip())
    except (ValueError, TypeError):
        return None
    if unit.is_equivalent(units.Jy) or unit.is_equivalent(units.Jy / units.sr):
        return str(unit)
    return None


def _calibrated(unit: str, scales: np.ndarray, path: Path) -> float | None:
    """AB zero point of a flux density per pixel; None for a rate."""
    if unit in ("e-/s", "counts/s") or unit_kind(unit) is None:
        return None
    if unit == "nmgy":
        return 22.5
    flux = units.Unit(unit)
    if not flux.is_equivalent(units.Jy):
        if np.isnan(scales).any():
            raise DataError(
                f"{path}: unit '{unit}' needs the area of a pixel; give "
                "--native-pixel-scale [arcsec]"
            )
        flux = flux * (float(np.prod(scales)) * units.arcsec**2)
    return float((1 * flux).to_value(units.ABmag))


def zero_point_of(
    cards: Cards, given: float | None, unit: str, divided: bool, scales: np.ndarray
) -> float | None:
    """AB magnitude of one unit: as given, else from the unit, else from the header, else None.

    Raises:
        DataError: nothing is given, and the header's zero point is in a system that cannot be
            turned into AB magnitudes, or contradicts itself.
    """
    path = cards.path
    known = _calibrated(unit, scales, path)
    source = f"unit '{unit}'"
    if known is None:
        known, source = _from_cards(cards, divided, given is not None)
        if known is not None and given is None:
            cards.remark(f"{path}: zero point {known:.4f} (AB) from {source}")
    return choose_zero_point(given, known, source, path, cards.remark)


def _from_cards(cards: Cards, divided: bool, given: bool) -> tuple[float | None, str]:
    """AB zero point by the header, and the cards it comes from."""
    path = cards.path
    card, value = _zero_point_card(cards)
    # Cards may mean a count or a count per second.
    if card and divided:
        if not given:
            cards.remark(f"{path}: {card} may be that of counts, not of counts/s; it is not used")
    elif value is not None and given:
        # Only compared with the one given.
        return (value, card) if not _system(cards, card)[1] else (None, "")
    elif value is not None:
        found = _in_ab(cards, card, value)
        if found is not None:
            return found
    flam, plam = cards.number("PHOTFLAM"), cards.number("PHOTPLAM")
    if flam is not None and plam is not None and min(flam, plam) > 0:
        return stmag_zero_point(flam, plam), "PHOTFLAM and PHOTPLAM"
    fnu = cards.number("PHOTFNU")
    if fnu is not None and fnu > 0:
        return float((fnu * units.Jy).to_value(units.ABmag)), "PHOTFNU"
    if value is None or divided:
        return None, ""
    raise DataError(
        f"{path}: {card} = {value:g} is no AB zero point, as {_system(cards, card)[1]}, and its "
        "offset from AB is not known for this band; give --zero-point, the AB magnitude of 1 image "
        "unit"
    )


def _zero_point_card(cards: Cards) -> tuple[str, float | None]:
    for name in (*_AB_CARDS, *ZERO_POINT_CARDS):
        value = cards.number(name)
        if value == 0:
            cards.remark(f"{cards.path}: {name} is 0, which stands for none; it is not used")
        elif value is not None:
            return name, value
    flux = cards.number("FLUXMAG0")
    if flux is not None and flux > 0:
        return "FLUXMAG0", float(2.5 * np.log10(flux))
    return "", None


def _system(cards: Cards, card: str) -> tuple[str, str]:
    """Photometric system of a card that is not AB ("VEGA", "ST", other text), and its source."""
    for name in _SYSTEM_CARDS:
        written = cards.text(name)
        plain = written.upper().replace(" ", "").replace("_", "")
        if not plain or plain in ("AB", "ABMAG", "ABMAGS", "ABMAGNITUDE", "ABSYSTEM", "MAG(AB)"):
            continue
        kind = "VEGA" if "VEGA" in plain else "ST" if plain in ("ST", "STMAG") else written
        return kind, f"{name} = '{written}'"
    if card in _AB_CARDS or card == "FLUXMAG0" or any(cards.text(n) for n in _SYSTEM_CARDS):
        return "", ""
    for name in ("INSTRUME", "TELESCOP", "ORIGIN", "SURVEY"):
        text = cards.text(name).upper()
        if any(archive in text for archive in _VEGA_ARCHIVES):
            return "VEGA", f"{name} = '{cards.text(name)}'"
    return "", ""


def _in_ab(cards: Cards, card: str, value: float) -> tuple[float, str] | None:
    """Turn a header's zero point into one for AB magnitudes, and name its cards; None: unknown."""
    system, source = _system(cards, card)
    if not system:
        named = card in _AB_CARDS or any(cards.text(name) for name in _SYSTEM_CARDS)
        return value, card if named else f"{card}, taken as AB as no card names its system"
    if card in _AB_CARDS:
        raise DataError(
            f"{cards.path}: {card} is an AB zero point but {source}; give --zero-point, the AB "
            "magnitude of 1 image unit"
        )
    if system == "VEGA":
        band, offset = _vega_offset(cards)
        if offset is not None:
            return value + offset, f"{card} and {source}, {offset:+.3f} mag for {band}"
    plam = cards.number("PHOTPLAM")
    if system == "ST" and plam is not None and plam > 0:
        return value - 5 * float(np.log10(plam)) + _ST_TO_AB, f"{card}, {source} and PHOTPLAM"
    return None


def _vega_offset(cards: Cards) -> tuple[str, float | None]:
    """Band of an image, and AB minus Vega magnitude in it where that is known."""
    band = ""
    for name in ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "BAND", "PHOTMODE"):
        band = band or ("" if "CLEAR" in (text := cards.text(name).upper()) else text)
    # NICMOS has other filters by the names F110W and F160W.
    if any("NICMOS" in cards.text(name).upper() for name in ("INSTRUME", "PHOTMODE")):
        return band, None
    for word in re.split(r"[\s,/_]+", band):
        if word in _VEGA_OFFSETS:
            return word, _VEGA_OFFSETS[word]
    for name in ("INSTRUME", "TELESCOP", "ORIGIN", "SURVEY"):
        text = cards.text(name).upper()
        for archive in _VEGA_ARCHIVES:
            offset = _VEGA_OFFSETS.get(f"{archive} {band}") if archive in text else None
            if offset is not None:
                return f"{archive} {band}", offset
    return band, None
