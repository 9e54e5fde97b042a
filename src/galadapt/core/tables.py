"""Tables in files of every kind."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.io import ascii, fits
from astropy.table import Table, vstack

from galadapt.core.errors import DataError, not_of_the_file

#: Words for units that astropy lacks.
_UNIT_WORDS = {"px": "pix", "pixel": "pix", "pixels": "pix", "hours": "hourangle", "h": "hourangle"}

#: First bytes of packed FITS files, and what unpacks them.
_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress}


def read_any_table(
    path: Path, known: Collection[str] = (), *, text: bool = False
) -> tuple[pd.DataFrame, dict[str, u.UnitBase]]:
    """Read FITS, VOTable, Parquet, ECSV, SExtractor's or VizieR's text, or separated values.

    The format is recognised by the content. `known` are names of columns in upper case: of several
    tables the one with most of them is read, and a comment with one of them is the header of a text
    that has no other. With `text` cells of separated values stay text: names may look like numbers.

    Returns:
        The table, without columns of arrays; the units of its columns, as far as it gives them.

    Raises:
        DataError: the file is missing, empty, or not a whole table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; correct the path")
    try:
        with path.open("rb") as file:
            start = file.read(65536)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    if not start.strip():
        raise DataError(f"{path}: the table is empty; check that it was written completely")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = _read(path, start, known, text)
            table.convert_bytestring_to_unicode()
            flat = [name for name in table.colnames if table[name].ndim == 1]
            frame = table[flat].to_pandas()
            units = {name: unit for name in flat if (unit := _unit(table[name].unit)) is not None}
    except DataError:
        raise
    except Exception as error:
        # Readers of many formats fail in as many ways.
        not_of_the_file(path, error)
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{path}: not a readable table ({reason}); fetch it again, or give FITS, VOTable, "
            "Parquet, ECSV or CSV"
        ) from None
    if len(frame) == 0:
        raise DataError(f"{path}: the table has no rows; check that it was written completely")
    return frame, units


def _read(path: Path, start: bytes, known: Collection[str], as_text: bool) -> Table:
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
    return _from_vizier(lines, rules, known) if rules else _from_text(lines, known, as_text)


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


def _from_text(lines: list[str], known: Collection[str], as_text: bool) -> Table:
    """Comma-, tab-, semicolon- or blank-separated text; the names may stand in a comment."""
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    comments = [line.strip("# \t") for line in lines if line.lstrip().startswith("#")]
    first = rows[0] if rows else ""
    sign = next((sign for sign in ",\t;" if sign in first), " ")

    def count(line: str) -> int:
        return _count(_split(line, sign), known)

    header = max(reversed(comments), key=count, default="")
    if count(header) and not count(first):
        return _separated(header, rows, sign, as_text)
    return _separated(first, rows[1:], sign, as_text)


def _split(line: str, sign: str) -> list[str]:
    return [word.strip().strip('"') for word in (line.split(sign) if sign != " " else line.split())]


def _separated(header: str, rows: list[str], sign: str, as_text: bool = False) -> Table:
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
    if as_text:
        options["converters"] = {"*": [ascii.convert_numpy(str)]}
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
        written = unit_called(str(written))
    return None if written is None or written == u.dimensionless_unscaled else written


def unit_called(text: str) -> u.UnitBase | None:
    """Return the unit of a name; None where there is none."""
    try:
        return u.Unit(_UNIT_WORDS.get(text.strip().lower(), text))
    except ValueError:
        return None


def read_user_table(
    path: Path, needed: Collection[str] = (), *, text: bool = False
) -> pd.DataFrame:
    """Read a table by `read_any_table`; a DataError if it lacks one of the needed columns."""
    table, _ = read_any_table(path, {name.upper() for name in needed}, text=text)
    require_columns(table, needed, path)
    return table


def read_csv_columns(path: Path, only: Callable[[str], bool]) -> pd.DataFrame:
    """Read some columns, chosen by their names, of a CSV, plain or gzipped: all cells as text.

    For published tables of millions of cells, of which few are needed.

    Raises:
        DataError: the file is missing, empty, or not a whole table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; correct the path")
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True, usecols=only)
    except Exception as error:
        # Packed files fail in ways of their own.
        not_of_the_file(path, error)
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path}: not a readable table ({reason}); fetch it again") from None
    table.columns = table.columns.astype(str).str.strip()
    if len(table) == 0 and len(table.columns):
        raise DataError(f"{path}: the table has no rows; check that it was written completely")
    return table


def require_columns(
    table: pd.DataFrame, needed: Iterable[str], path: Path, remedy: str = "add what is missing"
) -> None:
    """Raise a DataError, which ends in `remedy`, if the table of a file lacks a column."""
    missing = ", ".join(f"'{name}'" for name in needed if name not in table)
    if missing:
        several = "columns" if "," in missing else "column"
        raise DataError(f"{path}: lacks the {several} {missing}; {remedy}")


def check_names(table: pd.DataFrame, column: str, known: Sequence[str], path: Path) -> None:
    """Raise a DataError if a cell of a column is neither one of some names nor empty."""
    unknown = table[~table[column].isin([*known, "", np.nan])]
    if len(unknown):
        raise DataError(
            f"{path}: row {unknown.index[0] + 1}: {column} {unknown[column].iloc[0]!r} is none of "
            f"{', '.join(known)}; rename it or leave it empty"
        )


def read_columns(
    path: Path, columns: Iterable[str], defaults: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Read these numeric columns of a table; `defaults` are values of those that may be missing.

    Raises:
        DataError: as `read_user_table`, or a cell is no number; the message names the row, counted
            from 1 without the header.
    """
    wanted, defaults = list(columns), defaults or {}
    table = read_user_table(path, [name for name in wanted if name not in defaults])
    for name, value in defaults.items():
        if name not in table:
            table[name] = value
    table = table[wanted].reset_index(drop=True)
    for name in wanted:
        numbers = pd.to_numeric(table[name], errors="coerce")
        broken = np.flatnonzero(numbers.isna() & table[name].notna())
        if len(broken):
            value = table[name].iloc[broken[0]]
            raise DataError(
                f"{path}: row {broken[0] + 1}: {name} is {value!r}, not a number; correct it"
            )
        table[name] = numbers
    return table
