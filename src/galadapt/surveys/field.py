"""The files of a survey field, as CANDELS publishes them.

A field is a mosaic (``drz``, e-/s, with a celestial WCS), its weight map (``wht``, inverse variance
in the mosaic's unit) and a GALFIT text catalogue in the format of van der Wel et al. (2012, 2014):
comment lines starting with ``#``, the last commented line with words naming the columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.wcs import WCS

from galadapt.core.errors import DataError
from galadapt.core.files import atomic, write_text
from galadapt.surveys import vizier

#: Columns of the GALFIT catalogues of van der Wel et al.; `re` [arcsec] is the semi-major axis.
CATALOG_COLUMNS = (
    *("NUMBER", "RA", "DEC", "f", "mag", "dmag", "re", "dre"),
    *("n", "dn", "q", "dq", "pa", "dpa", "sn"),
)

#: Value of every fitted column when GALFIT gave no fit (flag 3).
NO_FIT = -999.0

#: GALFIT flags of van der Wel et al. (2012), section 3.
FLAG_GOOD, FLAG_SUSPICIOUS, FLAG_BAD, FLAG_NO_FIT = range(4)


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
    with atomic(path) as temporary:
        fits.PrimaryHDU(image.astype(np.float32), _header(wcs, cards, unit)).writeto(temporary)


def write_bands(
    drz: str | Path,
    wht: str | Path,
    shape: tuple[int, int],
    wcs: WCS,
    cards: Mapping[str, Any],
    bands: Iterable[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Write a mosaic and its weight map some rows at a time, atomically.

    Args:
        drz: Destination of the mosaic.
        wht: Destination of the weight map.
        shape: (ny, nx).
        wcs: Celestial WCS.
        cards: Further header cards of both.
        bands: Pixels [e-/s] and weights [(e-/s)^-2] of consecutive rows, (rows, nx) each.
    """
    with contextlib.ExitStack() as stack:
        streams = []
        for path, unit in ((drz, "ELECTRONS/S"), (wht, "1/(ELECTRONS/S)^2")):
            header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2)])
            header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
            header.update(_header(wcs, cards, unit))
            temporary = stack.enter_context(atomic(path))
            streams.append(stack.enter_context(fits.StreamingHDU(str(temporary), header)))
        for band in bands:
            for stream, values in zip(streams, band, strict=True):
                stream.write(values.astype(np.float32))


def _header(wcs: WCS, cards: Mapping[str, Any], unit: str) -> fits.Header:
    header = wcs.to_header(relax=True)
    # CANDELS gives the CD matrix; PC with CDELT says the same but not to every old tool.
    for key in ("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"):
        header.remove(key, ignore_missing=True)
    matrix = wcs.pixel_scale_matrix
    for row in range(2):
        for column in range(2):
            header[f"CD{row + 1}_{column + 1}"] = float(matrix[row, column])
    header["BUNIT"] = unit
    header.update(dict(cards))
    return header


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
    """Read a GALFIT catalogue in the format of van der Wel et al., or in VizieR's forms of it.

    Absurd values and rows without a fit (-999) are kept: judging them is the selection's work.

    Returns:
        `CATALOG_COLUMNS`; NUMBER and f as integers, the rest float64. What VizieR leaves empty is
        NaN; an empty flag is 3, no fit.

    Raises:
        DataError: the file is missing, is not such a catalogue, lacks a column or has no row, a
            value is not a number, or NUMBER or f is not an integer.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such catalogue; check the path or rerun the stage that writes it"
        )
    if vizier.is_table(path):
        table = vizier.read_table(path)
        table["f"] = table["f"].fillna(FLAG_NO_FIT)
        if not len(table):
            raise DataError(f"{path}: catalogue has no rows; check that it was written completely")
        return pd.DataFrame({name: _typed(path, name, table[name]) for name in CATALOG_COLUMNS})
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
        columns[name] = _typed(path, name, values)
    return pd.DataFrame(columns)


def _typed(path: Path, name: str, values: Any) -> np.ndarray:
    if name not in ("NUMBER", "f"):
        return np.asarray(values, np.float64)
    if not np.array_equal(values, np.round(values)):
        raise DataError(f"{path}: column '{name}' must hold integers; repair it")
    return np.asarray(values).astype(np.int64)


def _column_names(lines: list[str], path: Path) -> list[str]:
    for line in lines:
        words = line.lstrip().lstrip("#").split()
        if line.lstrip().startswith("#") and words[:1] == ["NUMBER"]:
            return words
    raise DataError(
        f"{path}: no header line '# NUMBER RA DEC ...'; give a GALFIT catalogue in the format of "
        "van der Wel et al."
    )
