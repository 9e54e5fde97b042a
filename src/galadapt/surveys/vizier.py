"""GALFIT catalogues as VizieR gives them: FITS, VOTable, CSV or tab-separated text.

VizieR renames the columns of van der Wel et al. (2012; J/ApJS/203/24): Q is the flag, q the axis
ratio, F the filter, of which only F160W (H) is kept.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from astropy import units
from astropy.table import Column, MaskedColumn, Table, vstack
from astropy.utils.exceptions import AstropyWarning

from galadapt.core.errors import DataError

#: Our name of each column, and the names it goes by, the most specific first. Case matters.
NAMES = {
    "NUMBER": ("NUMBER", "Seq", "ID", "Num", "id", "recno"),
    "RA": ("RA", "RAJ2000", "RAdeg", "_RAJ2000", "_RA", "RA_ICRS", "ra"),
    "DEC": ("DEC", "DEJ2000", "DEdeg", "_DEJ2000", "_DE", "DE_ICRS", "Dec", "dec"),
    "f": ("f", "Q", "Flag", "flag", "Fl"),
    "mag": ("mag", "Hmag"),
    "dmag": ("dmag", "e_mag", "e_Hmag"),
    "re": ("re", "r", "Re", "Rad"),
    "dre": ("dre", "e_re", "e_r", "e_Re", "e_Rad"),
    "n": ("n",),
    "dn": ("dn", "e_n"),
    "q": ("q", "b/a"),
    "dq": ("dq", "e_q", "e_b/a"),
    "pa": ("pa", "PA"),
    "dpa": ("dpa", "e_pa", "e_PA"),
    "sn": ("sn", "S/N", "SNR", "S_N"),
}

#: Unit every column is turned into, where the file names another.
_UNITS = {"RA": "deg", "DEC": "deg", "re": "arcsec", "dre": "arcsec", "pa": "deg", "dpa": "deg"}

_FILTER, _F160W = "F", ("H", "F160W")


def is_table(path: Path) -> bool:
    """Tell whether a file is a FITS, VOTable, tab- or comma-separated table."""
    with path.open("rb") as stream:
        head = stream.read(65536)
    if head.startswith((b"SIMPLE  =", b"<?xml", b"<VOTABLE", b"\x1f\x8b")):
        return True
    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.strip()]
    if any(_is_rule(line) for line in lines):
        return True
    first = next((line for line in lines if not line.startswith("#")), "")
    words = {word.strip() for word in first.split(",")}
    return not words.isdisjoint(NAMES["RA"]) and not words.isdisjoint(NAMES["mag"])


def read_table(path: Path) -> pd.DataFrame:
    """Read such a table under the names of `NAMES`, all columns float64, missing values NaN.

    Raises:
        DataError: the file is broken, lacks a column, a column holds text or is in a unit that
            cannot be turned into ours, or no row is of F160W.
    """
    table = _parse(path)
    if _FILTER in table.colnames and table[_FILTER].dtype.kind in "OUS":
        bands = np.array([str(band).strip() for band in table[_FILTER]])
        wanted = np.isin(bands, _F160W)
        if not wanted.any():
            raise DataError(
                f"{path}: no row of filter {_F160W[0]} (F160W) in the column '{_FILTER}'; fetch "
                "the catalogue of F160W"
            )
        table = table[wanted]
    found = {
        name: next((alias for alias in aliases if alias in table.colnames), None)
        for name, aliases in NAMES.items()
    }
    missing = [name for name, alias in found.items() if alias is None]
    if missing:
        raise DataError(
            f"{path}: catalogue lacks the column(s) {', '.join(missing)}; fetch all its columns"
        )
    return pd.DataFrame(
        {name: _values(path, name, table[alias]) for name, alias in found.items() if alias}
    )


def _parse(path: Path) -> Table:
    with path.open("rb") as stream:
        head = stream.read(64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            if head.startswith((b"<?xml", b"<VOTABLE")):
                return Table.read(path, format="votable", table_id=0)
            if head.startswith((b"SIMPLE  =", b"\x1f\x8b")):
                return Table.read(path, format="fits", hdu=1)
        text = path.read_text(encoding="utf-8")
        if any(_is_rule(line) for line in text.splitlines()):
            return _tab_separated(text)
        return _rows([line for line in text.splitlines() if line[:1] != "#"], ",")
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"{path}: not a readable table ({reason}); fetch it again") from None


def _is_rule(line: str) -> bool:
    """VizieR's line of dashes between the units and the rows."""
    return "\t" in line and set(line.strip()) == {"-", "\t"}


def _tab_separated(text: str) -> Table:
    """Read VizieR's text: tables of a header, a line of units, a rule and rows up to a blank."""
    lines = text.splitlines()
    parts = []
    for rule in (number for number, line in enumerate(lines) if _is_rule(line)):
        end = next(
            (n for n in range(rule + 1, len(lines)) if not lines[n].strip() or lines[n][0] == "#"),
            len(lines),
        )
        if not set(lines[rule - 2].split("\t")).isdisjoint(NAMES["mag"]):
            parts.append(_rows([lines[rule - 2], *lines[rule + 1 : end]], "\t"))
    if not parts:
        raise ValueError("no table in it has magnitudes")
    return vstack(parts, metadata_conflicts="silent")


def _rows(lines: list[str], delimiter: str) -> Table:
    """Read rows strictly: one with too few fields was cut short and is an error."""
    padded = (line.split(delimiter) for line in lines)
    clean = ["\t".join(field.strip() for field in line) for line in padded]
    return Table.read(clean, format="ascii.tab", guess=False)


def _values(path: Path, name: str, column: Column) -> np.ndarray:
    if column.dtype.kind not in "ifub":
        if column.dtype.kind in "OUS" and len(column) == 0:
            return np.zeros(0)
        raise DataError(f"{path}: column '{column.name}' holds text; it must hold numbers only")
    values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan))
    unit = column.unit if isinstance(column, Column | MaskedColumn) else None
    if unit is None or name not in _UNITS:
        return values
    try:
        return values * units.Unit(unit).to(_UNITS[name])
    except (units.UnitConversionError, ValueError, TypeError):
        raise DataError(
            f"{path}: column '{column.name}' is in '{unit}', not in {_UNITS[name]}; convert it"
        ) from None
