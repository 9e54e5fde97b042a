"""Tables in files of every kind, and their columns as numbers in one unit."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.table import Table, vstack

from galadapt.core.errors import ConfigError, DataError

#: Words for units that astropy lacks.
_UNIT_WORDS = {"px": "pix", "pixel": "pix", "pixels": "pix", "hours": "hourangle", "h": "hourangle"}

#: First bytes of packed FITS files, and what unpacks them.
_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress}

#: What stands for a missing number in text, beside nothing.
_MISSING_WORDS = ("", "nan", "null", "--")


def read_any_table(
    path: Path, known: Collection[str]
) -> tuple[pd.DataFrame, dict[str, u.UnitBase]]:
    """Read FITS, VOTable, Parquet, ECSV, SExtractor's or VizieR's text, or separated values.

    The format is recognised by the content. `known` are names of columns in upper case: of several
    tables the one with most of them is read, and a comment with one of them is the header of a text
    that has no other.

    Returns:
        The table, without columns of arrays; the units of its columns, as far as it gives them.

    Raises:
        DataError: the file is missing, empty, or not a whole table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such catalogue; check the path")
    try:
        with path.open("rb") as file:
            start = file.read(65536)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    if not start.strip():
        raise DataError(f"{path}: catalogue is empty; check that it was written completely")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = _read(path, start, known)
            table.convert_bytestring_to_unicode()
            flat = [name for name in table.colnames if table[name].ndim == 1]
            frame = table[flat].to_pandas()
            units = {name: unit for name in flat if (unit := _unit(table[name].unit)) is not None}
    except DataError:
        raise
    except Exception as error:
        # Readers of many formats fail in as many ways.
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{path}: not a readable catalogue ({reason}); fetch it again, or give FITS, VOTable, "
            "Parquet, ECSV or CSV"
        ) from None
    if len(frame) == 0:
        raise DataError(f"{path}: catalogue has no rows; check that it was written completely")
    return frame, units


def _read(path: Path, start: bytes, known: Collection[str]) -> Table:
    if start.startswith((b"SIMPLE  =", *_PACKED)):
        return _from_fits(path, known)
    if start.startswith(b"PAR1"):
        return Table.from_pandas(pd.read_parquet(path))
    if start.lstrip().startswith((b"<?xml", b"<VOTABLE")):
        return Table.read(path, format="votable", table_id=0)
    text = path.read_text(encoding="utf-8-sig")
    if text.startswith("# %ECSV"):
        return Table.read(text, format="ascii.ecsv")
    if text.split(maxsplit=2)[:2] == ["#", "1"]:
        return Table.read(text, format="ascii.sextractor")
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if _is_rule(line)]
    return _from_vizier(lines, rules, known) if rules else _from_text(lines, known)


def _count(names: Sequence[str], known: Collection[str]) -> int:
    return sum(name.upper() in known for name in names)


def _from_fits(path: Path, known: Collection[str]) -> Table:
    content = path.read_bytes()
    # Astropy reads what there is of a packed file that was cut short, and does not complain.
    unpack = next((way for magic, way in _PACKED.items() if content.startswith(magic)), bytes)
    with fits.open(io.BytesIO(unpack(content))) as hdus:
        kinds = fits.BinTableHDU | fits.TableHDU
        tables = [number for number, hdu in enumerate(hdus) if isinstance(hdu, kinds)]
        if not tables:
            raise DataError(f"{path}: holds no table; give the catalogue, not the image")
        # SExtractor's LDAC files hold a table with the image's header before the objects.
        best = max(tables, key=lambda k: (_count(hdus[k].columns.names, known), -k))
        return Table.read(hdus[best], unit_parse_strict="silent")


def _is_rule(line: str) -> bool:
    """Tell whether a line is the row of dashes between units and values in VizieR's text."""
    return "-" in line and any(sign in line for sign in "\t|;") and not set(line) - set("-\t|; ")


def _from_vizier(lines: list[str], rules: list[int], known: Collection[str]) -> Table:
    """VizieR's text: tables of names, units, a rule, and rows up to a blank line or a comment."""
    tables = []
    for rule in rules:
        sign = next(sign for sign in "\t;|" if sign in lines[rule])
        rows = []
        for line in lines[rule + 1 :]:
            if not line.strip() or line.startswith("#"):
                break
            rows.append(line)
        table = _separated(lines[rule - 2], rows, sign)
        for name, unit in zip(table.colnames, lines[rule - 1].split(sign), strict=False):
            table[name].unit = u.Unit(unit, parse_strict="silent") if unit.strip() else None
        tables.append(table)
    most = max(_count(table.colnames, known) for table in tables)
    alike = [table for table in tables if _count(table.colnames, known) == most]
    return vstack(alike, metadata_conflicts="silent")


def _from_text(lines: list[str], known: Collection[str]) -> Table:
    """Comma-, tab-, semicolon- or blank-separated text; the names may stand in a comment."""
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    comments = [line.strip("# \t") for line in lines if line.lstrip().startswith("#")]
    first = rows[0] if rows else ""
    sign = next((sign for sign in ",\t;" if sign in first), " ")

    def count(line: str) -> int:
        return _count(_split(line, sign), known)

    header = max(reversed(comments), key=count, default="")
    if count(header) and not count(first):
        return _separated(header, rows, sign)
    return _separated(first, rows[1:], sign)


def _split(line: str, sign: str) -> list[str]:
    return [word.strip().strip('"') for word in (line.split(sign) if sign != " " else line.split())]


def _separated(header: str, rows: list[str], sign: str) -> Table:
    names = _split(header, sign)
    if not any(re.search("[A-Za-z]", name) for name in names):
        raise ValueError("no line names the columns")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"column '{twice[0]}' stands twice")
    if not rows:
        return Table(names=names)
    options: dict[str, Any] = {"format": "ascii.no_header", "delimiter": sign}
    if sign in "\t|":
        rows = ["\t".join(_split(line, sign)) for line in rows]
        options = {"format": "ascii.tab", "data_start": 0}
    try:
        return Table.read(rows, names=names, guess=False, **options)
    except ValueError as error:
        found = re.search(r"data line (\d+)", str(error))
        if found is None:
            raise
        raise ValueError(
            f"row {int(found[1]) + 1} has not the header's {len(names)} columns"
        ) from None


def _unit(written: Any) -> u.UnitBase | None:
    """Unit of a column; None where the table has none, or none that is known."""
    if isinstance(written, u.UnrecognizedUnit):
        written = _unit_called(str(written))
    return None if written is None or written == u.dimensionless_unscaled else written


def _unit_called(text: str) -> u.UnitBase | None:
    try:
        return u.Unit(_UNIT_WORDS.get(text.strip().lower(), text))
    except ValueError:
        return None


def given_unit(text: str, name: str) -> u.UnitBase:
    """Unit that a user gives for `name`; a ConfigError if astropy has none of this name."""
    unit = _unit_called(text)
    if unit is None:
        raise ConfigError(f"units.{name}: '{text}' is no unit; give deg, arcsec, pix...")
    return unit


def missing(values: pd.Series) -> np.ndarray:
    """Tell which values of a column are missing."""
    words = values.astype(str).str.strip().str.lower()
    return (values.isna() | words.isin(_MISSING_WORDS)).to_numpy()


def _parsed(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").astype(float).to_numpy(copy=True)


def numbers(values: pd.Series, name: str, path: Path) -> np.ndarray:
    """Values of a column as float64, missing ones NaN; a DataError names `path` and text in it."""
    found = _parsed(values)
    lost = values[np.isnan(found)]
    text = lost[~missing(lost)]
    if len(text):
        raise DataError(
            f"{path}: column '{values.name}' holds text ('{text.iloc[0]}'), not numbers; name "
            f"another column for {name}"
        )
    return found


def sky_angles(values: pd.Series, name: str, given: u.UnitBase | None, path: Path) -> np.ndarray:
    """Right ascension or declination [deg] from text: degrees, or with colons, letters or blanks.

    The `name` is ra or dec; without a `given` unit ra is in hours unless all are plain numbers.

    Raises:
        DataError: a row is no angle.
    """
    found = _parsed(values)
    written = ~missing(values)
    if np.isfinite(found[written]).all():
        return found * (given or u.deg).to(u.deg)
    unit = given or (u.hourangle if name == "ra" else u.deg)
    for row in np.flatnonzero(written):
        try:
            found[row] = Angle(values[row], unit=unit).deg
        except (ValueError, TypeError, u.UnitsError):
            raise DataError(
                f"{path}: row {row + 1} of column '{values.name}' is '{values[row]}', no angle; "
                "write degrees with a decimal point, or hours as 10:20:30.4"
            ) from None
    return found
