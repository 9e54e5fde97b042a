"""Tables in files of every kind."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.io import ascii, fits
from astropy.io.votable import parse as parse_votable
from astropy.table import Column, MaskedColumn, Table, vstack

from galadapt.core.errors import DataError, not_of_the_file, reading
from galadapt.core.files import require, split_extension
from galadapt.core.log import log
from galadapt.core.packed import is_packed, kind_of, unpacked

#: Words for units that astropy lacks.
_UNIT_WORDS = {"px": "pix", "pixel": "pix", "pixels": "pix", "hours": "hourangle", "h": "hourangle"}

#: A unit behind a column's name, in brackets.
_NAMED_UNIT = re.compile(r"^(.*?\S)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]$")

#: Metadata of Parquet files that astropy has written: masks, units, positions.
_ASTROPY_PARQUET = b"table_meta_yaml"


def read_any_table(
    path: Path,
    known: Collection[str] = (),
    *,
    text: bool | Collection[str] = False,
    which: int | str | None = None,
) -> tuple[pd.DataFrame, dict[str, u.UnitBase]]:
    """Read FITS, VOTable, Parquet, ECSV, SExtractor's or VizieR's text, or separated values.

    The format is recognised by the content, also of a compressed file. `known` are names of columns
    in upper case: of several tables the one that has most of them is read, and a comment with one
    of them is the header of a text that has no other. Cells of separated values are text in all
    columns (`text` is True) or in those of these names (in upper case): names may look like
    numbers. `which` is the number or name of the table to read, where a file holds several.

    Returns:
        The table, without columns of arrays, positions as columns ``<name>.ra`` and ``<name>.dec``
        [deg, ICRS]; the units of its columns, as far as it gives them. Its `attrs` hold "ucds", by
        column, and "as_text", the columns kept as text.

    Raises:
        DataError: the file is missing, empty, not a whole table, or holds several that may be
            meant.
    """
    if not path.is_file():
        remedy = "correct the path"
        if split_extension(path)[0].is_file():
            remedy = "name the table with --table, not behind the path"
        raise DataError(f"{path}: no such table; {remedy}")
    with reading(path, "cannot be read", "check the file", OSError), path.open("rb") as file:
        start = file.read(65536)
    if not start.strip():
        raise DataError(f"{path}: the table is empty; check that it was written completely")
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="galadapt-") as folder:
            warnings.simplefilter("ignore")
            plain = unpacked(path, Path(folder)) if is_packed(start) else path
            with plain.open("rb") as file:
                start = file.read(65536)
            table = _read(path, plain, start, known, text, which)
            frame, units = _flat(table)
    except DataError:
        raise
    except Exception as error:
        # Readers of many formats fail in as many ways.
        not_of_the_file(path, error)
        kind = kind_of(start)
        if kind is not None:
            raise DataError(f"{path}: is {kind[0]}, not a table; {kind[1]}") from None
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{path}: not a readable table ({reason}); fetch it again, or give FITS, VOTable, "
            "Parquet, ECSV or CSV"
        ) from None
    if len(frame) == 0:
        raise DataError(f"{path}: the table has no rows; check that it was written completely")
    return frame, units


def bare_name(name: str) -> tuple[str, str]:
    """Split a column's name into the name itself and the unit in brackets behind it, or ""."""
    found = _NAMED_UNIT.match(name.strip())
    return (found[1], found[2]) if found else (name.strip(), "")


def _flat(table: Table) -> tuple[pd.DataFrame, dict[str, u.UnitBase]]:
    """Columns of numbers and text, positions as two columns each; their units."""
    # Imported here: coordinates take a second, which tables without them need not.
    from astropy.coordinates import SkyCoord

    columns: dict[str, Column] = {}
    ucds: dict[str, str] = {}
    for name in table.colnames:
        column = table[name]
        if isinstance(column, SkyCoord):
            if column.ndim == 1:
                place = column.icrs
                for axis, angle in (("ra", place.ra), ("dec", place.dec)):
                    columns[f"{name}.{axis}"] = _plain_column(angle.to(u.deg))
                    ucds[f"{name}.{axis}"] = f"pos.eq.{axis}"
            continue
        if isinstance(column, u.Quantity):
            column = _plain_column(column)
        if not isinstance(column, Column) or column.ndim != 1:
            continue
        columns[name] = column
        if column.meta.get("ucd"):
            ucds[name] = str(column.meta["ucd"]).lower()
    flat = Table(list(columns.values()), names=list(columns), copy=False)
    flat.convert_bytestring_to_unicode()
    frame = flat.to_pandas()
    units = {}
    for name in columns:
        unit = _unit(flat[name].unit)
        if unit is None and (written := bare_name(name)[1]):
            unit = _unit(unit_called(written))
        if unit is not None:
            units[name] = unit
    frame.attrs.update(ucds=ucds, as_text=list(table.meta.get("as_text", ())))
    return frame, units


def _plain_column(values: Any) -> Column:
    """Column of a quantity, masked where it is."""
    mask = getattr(values, "mask", None)
    numbers = np.asarray(getattr(values, "unmasked", values).value, float)
    if mask is None or not np.any(mask):
        return Column(numbers, unit=values.unit)
    return MaskedColumn(numbers, mask=np.asarray(mask), unit=values.unit)


def _read(
    path: Path,
    plain: Path,
    start: bytes,
    known: Collection[str],
    as_text: bool | Collection[str],
    which: int | str | None,
) -> Table:
    """Read the table of `path`, which lies unpacked at `plain` and begins with `start`."""
    if start.startswith(b"SIMPLE  ="):
        return _from_fits(path, plain, known, which)
    if start.startswith(b"PAR1"):
        return _from_parquet(plain)
    if start.lstrip().startswith((b"<?xml", b"<VOTABLE", b"\xef\xbb\xbf<")):
        return _from_votable(path, plain, known, which)
    if kind_of(start) is not None:
        raise ValueError("another kind of file")
    text = plain.read_text(encoding="utf-8-sig")
    if text.startswith("# %ECSV"):
        return Table.read(text, format="ascii.ecsv")
    if text.split(maxsplit=2)[:2] == ["#", "1"]:
        return Table.read(text, format="ascii.sextractor")
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if _is_rule(line)]
    if rules:
        return _from_vizier(path, lines, rules, known, as_text)
    return _from_text(path, lines, known, as_text)


def _from_parquet(path: Path) -> Table:
    import pyarrow.parquet

    if _ASTROPY_PARQUET in (pyarrow.parquet.read_schema(path).metadata or {}):
        return Table.read(path, format="parquet")
    return Table.from_pandas(pd.read_parquet(path))


def _from_votable(
    path: Path, plain: Path, known: Collection[str], which: int | str | None
) -> Table:
    tables = list(parse_votable(str(plain)).iter_tables())
    named = [(one.name or one.ID or "", [field.name for field in one.fields]) for one in tables]
    return tables[_chosen(named, known, which, path)].to_table(use_names_over_ids=True)


def _chosen(
    tables: Sequence[tuple[str, Sequence[str]]],
    known: Collection[str],
    which: int | str | None,
    path: Path,
) -> int:
    """Number, from 0, of the table to read among several, each with its name and columns.

    Raises:
        DataError: there is none, or several may be meant.
    """
    if not tables:
        raise DataError(f"{path}: holds no table; give the catalogue, not the image")
    listed = ", ".join(
        f"{number} ({name or 'unnamed'}: {', '.join(list(columns)[:4])})"
        for number, (name, columns) in enumerate(tables, start=1)
    )
    if which is not None:
        for number, (name, _) in enumerate(tables, start=1):
            if which in (number, name) or str(which) == str(number):
                return number - 1
        raise DataError(f"{path}: has no table '{which}'; it has {listed}")
    scores = [_count(columns, known) for _, columns in tables]
    best = max(scores)
    fitting = [number for number, score in enumerate(scores) if 2 * score > best or score == best]
    if len(fitting) > 1:
        raise DataError(
            f"{path}: holds {len(tables)} tables, of which {len(fitting)} may be meant: {listed}; "
            "name one with --table, or write it to a file of its own"
        )
    if len(tables) > 1 and best == 0:
        raise DataError(f"{path}: holds {len(tables)} tables, {listed}; name one with --table")
    if len(tables) > 1 and sum(score > 0 for score in scores) > 1:
        log.info(f"{path}: table {fitting[0] + 1} of {listed} is read")
    return fitting[0]


def _count(names: Sequence[str], known: Collection[str]) -> int:
    return sum(name.upper() in known or bare_name(name)[0].upper() in known for name in names)


def _from_fits(path: Path, plain: Path, known: Collection[str], which: int | str | None) -> Table:
    with fits.open(plain, memmap=False) as hdus:
        kinds = fits.BinTableHDU | fits.TableHDU
        tables = [
            hdu for hdu in hdus if isinstance(hdu, kinds) and not isinstance(hdu, fits.CompImageHDU)
        ]
        # SExtractor's LDAC files hold a table with the image's header before the objects.
        objects = [hdu for hdu in tables if hdu.name != "LDAC_IMHEAD"]
        named = [(hdu.name, hdu.columns.names) for hdu in objects or tables]
        hdu = (objects or tables)[_chosen(named, known, which, path)]
        table = Table.read(hdu, unit_parse_strict="silent")
        for number, name in enumerate(hdu.columns.names, start=1):
            ucd = hdu.header.get(f"TUCD{number}")
            if ucd and name in table.colnames and isinstance(table[name], Column):
                table[name].meta["ucd"] = str(ucd)
        return table


def _is_rule(line: str) -> bool:
    """Tell whether a line is the row of dashes between units and values in VizieR's text."""
    return "-" in line and any(sign in line for sign in "\t|;") and not set(line) - set("-\t|; ")


def _from_vizier(
    path: Path,
    lines: list[str],
    rules: list[int],
    known: Collection[str],
    as_text: bool | Collection[str],
) -> Table:
    """VizieR's text: tables of names, units, a rule, and rows up to a blank line or a comment."""
    tables = []
    for rule in rules:
        sign = next(sign for sign in "\t;|" if sign in lines[rule])
        rows = []
        for line in lines[rule + 1 :]:
            if not line.strip() or line.startswith("#"):
                break
            rows.append(line)
        table = _separated(lines[rule - 2], rows, sign, as_text)
        for name, unit in zip(table.colnames, lines[rule - 1].split(sign), strict=False):
            table[name].unit = u.Unit(unit, parse_strict="silent") if unit.strip() else None
        tables.append(table)
    most = max(_count(table.colnames, known) for table in tables)
    alike = [table for table in tables if _count(table.colnames, known) == most]
    if any(table.colnames != alike[0].colnames for table in alike):
        _chosen([("", table.colnames) for table in alike], known, None, path)
    return vstack(alike, metadata_conflicts="silent")


def _from_text(
    path: Path, lines: list[str], known: Collection[str], as_text: bool | Collection[str]
) -> Table:
    """Comma-, tab-, semicolon- or blank-separated text; the names may stand in a comment."""
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    comments = [line.strip("# \t") for line in lines if line.lstrip().startswith("#")]
    first = rows[0] if rows else ""
    sign = next((sign for sign in ",\t;" if sign in first), " ")

    def count(line: str) -> int:
        return _count(_split(line, sign), known)

    header = max(reversed(comments), key=count, default="")
    if count(header) and not count(first):
        table = _separated(header, rows, sign, as_text)
    else:
        table = _separated(first, rows[1:], sign, as_text)
    _check_comments(path, lines, sign, len(table.colnames))
    return table


def _check_comments(path: Path, lines: list[str], sign: str, cells: int) -> None:
    """Refuse comments among the rows that look like rows: an identifier may begin with #."""
    begun = 0
    for number, line in enumerate(lines, start=1):
        begun += bool(line.strip()) and not line.lstrip().startswith("#")
        if begun < 2 or not re.match(r"\s*#\S", line):
            continue
        words = _split(line.strip(), sign)
        numbers = [word for word in words[1:] if re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", word)]
        if cells > 1 and len(words) == cells and numbers:
            raise DataError(
                f"{path}: line {number} is a comment but has the cells of a row ('{line[:40]}'); "
                "quote its first cell if it is an object, or remove the line"
            )


def _split(line: str, sign: str) -> list[str]:
    return [word.strip().strip('"') for word in (line.split(sign) if sign != " " else line.split())]


def _separated(
    header: str, rows: list[str], sign: str, as_text: bool | Collection[str] = False
) -> Table:
    names = _split(header, sign)
    if not any(re.search("[A-Za-z]", name) for name in names):
        raise ValueError("no line names the columns")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"column '{twice[0]}' appears twice")
    if not rows:
        return Table(names=names)
    options: dict[str, Any] = {"format": "ascii.no_header", "delimiter": sign}
    if sign in "\t|":
        rows = ["\t".join(_split(line, sign)) for line in rows]
        options = {"format": "ascii.tab", "data_start": 0}
    if isinstance(as_text, bool):
        kept = names if as_text else []
    else:
        kept = [name for name in names if {name.upper(), bare_name(name)[0].upper()} & set(as_text)]
    if kept:
        options["converters"] = {name: [ascii.convert_numpy(str)] for name in kept}
    try:
        table = Table.read(rows, names=names, guess=False, **options)
        table.meta["as_text"] = kept
        return table
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
    require(table, needed, path)
    return table


def read_csv_columns(path: Path, only: Callable[[str], bool]) -> pd.DataFrame:
    """Read some columns, chosen by their names, of a CSV, plain or gzipped: all cells as text.

    For published tables of millions of cells, of which few are needed.

    Raises:
        DataError: the file is missing, empty, or not a whole table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; correct the path")
    with reading(path, "not a readable table", "fetch it again"):
        # Names such as NA are names; only an empty cell is missing.
        table = pd.read_csv(
            path,
            dtype=str,
            skipinitialspace=True,
            usecols=only,
            keep_default_na=False,
            na_values=[""],
        )
    table.columns = table.columns.astype(str).str.strip()
    if len(table) == 0 and len(table.columns):
        raise DataError(f"{path}: the table has no rows; check that it was written completely")
    return table


def check_names(table: pd.DataFrame, column: str, known: Sequence[str], path: Path) -> None:
    """Raise a DataError if a cell of a column is neither one of some names nor empty."""
    unknown = table[~table[column].isin([*known, "", np.nan])]
    if len(unknown):
        raise DataError(
            f"{path}: row {unknown.index[0] + 1}: {column} {unknown[column].iloc[0]!r} is none of "
            f"{', '.join(known)}; rename it or leave it empty"
        )


def read_columns(
    path: Path,
    columns: Iterable[str],
    defaults: Mapping[str, float] | None = None,
    *,
    units: Mapping[str, u.UnitBase] = MappingProxyType({}),
    pixel_scale: float | None = None,
    which: int | str | None = None,
) -> pd.DataFrame:
    """Read these numeric columns of a table; `defaults` are values of those that may be missing.

    Args:
        units: Units that columns are brought to where the table gives one.
        pixel_scale: Of the pixels among them [arcsec/px].
        which: The table to read, where a file holds several.

    Raises:
        DataError: as `read_any_table`, a cell is no number (the message names the row, counted
            from 1 without the header), or a column is in a unit of another kind.
    """
    wanted, defaults = list(columns), defaults or {}
    needed = [name for name in wanted if name not in defaults]
    table, written = read_any_table(path, {name.upper() for name in needed}, which=which)
    require(table, needed, path)
    found = pd.DataFrame(index=range(len(table)))
    for name in wanted:
        if name not in table:
            found[name] = defaults[name]
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        broken = np.flatnonzero(numbers.isna() & table[name].notna())
        if len(broken):
            value = table[name].iloc[broken[0]]
            raise DataError(
                f"{path}: row {broken[0] + 1}: {name} is {value!r}, not a number; correct it"
            )
        if numbers.isna().any():
            numbers = pd.Series(numbers.to_numpy(float, na_value=np.nan))
        if name in units and name in written:
            numbers = numbers * in_unit(written[name], units[name], pixel_scale, name, path)
        found[name] = numbers.to_numpy()
    return found


def in_unit(
    unit: u.UnitBase, wanted: u.UnitBase, pixel_scale: float | None, name: str, path: Path
) -> float:
    """Factor from a column's unit to the wanted one, pixels [arcsec/px] included; a DataError."""
    if unit.is_equivalent(wanted):
        return float(unit.to(wanted))
    if pixel_scale is not None:
        if unit.is_equivalent(u.pix) and wanted.is_equivalent(u.arcsec):
            return float(unit.to(u.pix) * (pixel_scale * u.arcsec).to_value(wanted))
        if unit.is_equivalent(u.arcsec) and wanted.is_equivalent(u.pix):
            return float(unit.to(u.arcsec) / pixel_scale)
    raise DataError(
        f"{path}: column '{name}' is in '{unit}', which cannot be turned into '{wanted}'; give it "
        f"in '{wanted}', or its own unit in units"
    )
