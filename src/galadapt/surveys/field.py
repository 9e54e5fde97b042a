"""The files of a survey field, as CANDELS publishes them.

A field is a mosaic (``drz``, e-/s, with a celestial WCS), its weight map (``wht``, inverse variance
in the mosaic's unit) and a GALFIT text catalogue in the format of van der Wel et al. (2012, 2014):
comment lines starting with ``#``, the last commented line with words naming the columns.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.errors import DataError
from galadapt.files import atomic, write_text

#: Columns of the GALFIT catalogues of van der Wel et al.; `re` [arcsec] is the semi-major axis.
CATALOG_COLUMNS = (
    *("NUMBER", "RA", "DEC", "f", "mag", "dmag", "re", "dre"),
    *("n", "dn", "q", "dq", "pa", "dpa", "sn"),
)

#: Value of every fitted column when GALFIT gave no fit (flag 3).
NO_FIT = -999.0

#: GALFIT flags of van der Wel et al. (2012), section 3.
FLAG_GOOD, FLAG_SUSPICIOUS, FLAG_BAD, FLAG_NO_FIT = range(4)

#: Spellings of "electrons per second" met in archives, without blanks and in lower case.
_RATE_UNITS = frozenset(
    f"{electron}{per}"
    for electron in ("electrons", "electron", "elec", "e-", "e")
    for per in ("/s", "/sec", "/second", "s-1", "s^-1", "s**-1", ".s-1")
)


@dataclass(frozen=True)
class Mosaic:
    """An open mosaic: arrays are memory-mapped, read only where they are sliced.

    Attributes:
        drz: Image (ny, nx) [e-/s].
        wht: Inverse variance (ny, nx) [(e-/s)^-2]; 0 where there is no data.
        wcs: Celestial coordinates of `drz`.
        pixel_scale: Mean pixel scale [arcsec/px].
    """

    drz: np.ndarray
    wht: np.ndarray
    wcs: WCS
    pixel_scale: float


@contextlib.contextmanager
def open_mosaic(drz: str | Path, wht: str | Path) -> Iterator[Mosaic]:
    """Open a mosaic and its weight map.

    Raises:
        DataError: a file is missing, broken or without an image, the unit is not e-/s, there is no
            celestial WCS, or the shapes differ.
    """
    with contextlib.ExitStack() as stack:
        image, header = _open_image(stack, Path(drz))
        weight, _ = _open_image(stack, Path(wht))
        if image.shape != weight.shape:
            raise DataError(
                f"{wht}: weight map of {weight.shape} px for a mosaic of {image.shape} px ({drz}); "
                "give the weight map of the same mosaic"
            )
        unit = str(header.get("BUNIT", "")).strip()
        if unit.lower().replace(" ", "") not in _RATE_UNITS:
            raise DataError(
                f"{drz}: BUNIT is '{unit}', not ELECTRONS/S; divide counts by the exposure time "
                "and set BUNIT"
            )
        wcs = _celestial(header, Path(drz))
        scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
        yield Mosaic(image, weight, wcs, scale)


def _open_image(stack: contextlib.ExitStack, path: Path) -> tuple[np.ndarray, fits.Header]:
    if not path.is_file():
        raise DataError(f"{path}: no such mosaic; check the path or rerun the stage that writes it")
    try:
        with warnings.catch_warnings():
            # Astropy only warns of a truncated file; such a mosaic must not be measured.
            warnings.simplefilter("error", AstropyWarning)
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            hdus = stack.enter_context(fits.open(path, memmap=True))
            hdu = next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS") == 2), None)
            data = None if hdu is None else hdu.data
    except (OSError, ValueError, TypeError, AstropyWarning) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable FITS file ({reason}); fetch it again") from None
    if hdu is None or data is None:
        raise DataError(f"{path}: holds no 2-D image; give the file of the mosaic itself")
    return data, hdu.header


def _celestial(header: fits.Header, path: Path) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header)
        except Exception as error:
            reason = str(error).strip().split("\n")[-1].rstrip(".")
            raise DataError(f"{path}: unreadable WCS ({reason}); repair the header") from None
    if not wcs.has_celestial:
        raise DataError(
            f"{path}: no celestial WCS in the header (CTYPE1 = '{header.get('CTYPE1', '')}'); "
            "catalogue positions cannot be found without it"
        )
    return wcs.celestial


def image_angle(wcs: WCS, ra: np.ndarray, dec: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn position angles on the sky into angles on the image.

    Args:
        wcs: Celestial WCS of the image.
        ra: Right ascension [deg] (N,).
        dec: Declination [deg] (N,).
        angle: Position angle [deg], from north through east (N,).

    Returns:
        Angle [deg] in [-90, 90), counter-clockwise from +y, whatever the image's orientation.
    """
    step = 0.1 / 3600
    x, y = wcs.world_to_pixel_values(ra, dec)
    turn = np.radians(angle)
    to_x, to_y = wcs.world_to_pixel_values(
        ra + step * np.sin(turn) / np.cos(np.radians(dec)), dec + step * np.cos(turn)
    )
    return (np.degrees(np.arctan2(-(to_x - x), to_y - y)) + 90) % 180 - 90


def tangent_wcs(
    shape: tuple[int, int], pixel_scale: float, ra: float = 150.1, dec: float = 2.3
) -> WCS:
    """A gnomonic WCS with north up and east left, centred on (ra, dec) [deg]."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) * pixel_scale / 3600
    return wcs


def write_mosaic(
    path: str | Path, image: np.ndarray, wcs: WCS, cards: Mapping[str, Any], unit: str
) -> None:
    """Write one float32 FITS image, atomically.

    Args:
        path: Destination.
        image: (ny, nx).
        wcs: Celestial WCS.
        cards: Further header cards.
        unit: BUNIT.
    """
    header = wcs.to_header()
    # CANDELS gives the CD matrix; PC with CDELT says the same but not to every old tool.
    for key in ("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"):
        header.remove(key, ignore_missing=True)
    matrix = wcs.pixel_scale_matrix
    for row in range(2):
        for column in range(2):
            header[f"CD{row + 1}_{column + 1}"] = float(matrix[row, column])
    header["BUNIT"] = unit
    header.update(dict(cards))
    with atomic(path) as temporary:
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(temporary)


def write_catalog(path: str | Path, table: pd.DataFrame, comments: Sequence[str] = ()) -> None:
    """Write a GALFIT catalogue in the format of van der Wel et al.

    Args:
        path: Destination, written atomically.
        table: At least `CATALOG_COLUMNS`.
        comments: Lines put above the column names.
    """
    lines = [f"# {line}" for line in comments]
    lines += ["#   " + "  ".join(f"{name:>9}" for name in CATALOG_COLUMNS), "#"]
    for row in table[list(CATALOG_COLUMNS)].itertuples(index=False):
        number, ra, dec, flag, *values = row
        fields = [f"{int(number)}", f"{ra:.7f}", f"{dec:.7f}", f"{int(flag)}"]
        lines.append(" ".join(fields + [f"{value:.6g}" for value in values]))
    write_text(path, "\n".join(lines) + "\n")


def read_catalog(path: str | Path) -> pd.DataFrame:
    """Read a GALFIT catalogue in the format of van der Wel et al.

    Absurd values and rows without a fit (-999) are kept: judging them is the selection's work.

    Returns:
        `CATALOG_COLUMNS`; NUMBER and f as integers, the rest float64.

    Raises:
        DataError: the file is missing, is not such a catalogue, lacks a column or has no row, a
            value is not a number, or NUMBER or f is not an integer.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such catalogue; check the path or rerun the stage that writes it"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: not a text catalogue; give a GALFIT catalogue with a # header"
        ) from None
    names = _column_names(lines, path)
    missing = [name for name in CATALOG_COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path}: catalogue lacks the column(s) {', '.join(missing)}; name them in the # header"
        )
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not rows:
        raise DataError(f"{path}: catalogue has no rows; check that it was written completely")
    try:
        table = text_tables.read(rows, format="no_header", names=names, guess=False)
    except (text_tables.InconsistentTableError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(
            f"{path}: rows do not match the {len(names)} columns of the header ({reason}); "
            "repair the row"
        ) from None
    columns: dict[str, np.ndarray] = {}
    for name in CATALOG_COLUMNS:
        values = np.ma.filled(table[name], np.nan) if table[name].dtype.kind in "if" else None
        if values is None:
            raise DataError(f"{path}: column '{name}' holds text; it must hold numbers only")
        if name in ("NUMBER", "f"):
            if not np.array_equal(values, np.round(values)):
                raise DataError(f"{path}: column '{name}' must hold integers; repair it")
            columns[name] = values.astype(np.int64)
        else:
            columns[name] = values.astype(np.float64)
    return pd.DataFrame(columns)


def _column_names(lines: list[str], path: Path) -> list[str]:
    for line in lines:
        words = line.lstrip().lstrip("#").split()
        if line.lstrip().startswith("#") and words[:1] == ["NUMBER"]:
            return words
    raise DataError(
        f"{path}: no header line '# NUMBER RA DEC ...'; give a GALFIT catalogue in the format of "
        "van der Wel et al."
    )
