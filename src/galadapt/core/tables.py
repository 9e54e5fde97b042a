"""Reading a user's own table: CSV, ECSV, FITS or Parquet, chosen by the suffix."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError


def read_user_table(
    path: Path,
    needed: Iterable[str] = (),
    *,
    text: bool = False,
    only: Callable[[str], bool] | None = None,
) -> pd.DataFrame:
    """Read a table.

    Args:
        path: ``.csv``, ``.csv.gz``, ``.ecsv``, ``.parquet``, ``.fits`` or ``.fit``.
        needed: Columns that must be there.
        text: Whether the cells of a CSV stay text: names may look like numbers.
        only: Chooses the columns of a CSV that are read, by their names; None: all.

    Raises:
        DataError: the file is missing, unreadable or empty, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; correct the path")
    try:
        table = _read(path, text, only)
    except Exception as error:
        # Each reader fails with errors of its own.
        line = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path}: not a readable table ({line}); replace it") from None
    table.columns = [str(name).strip() for name in table.columns]
    require_columns(table, needed, path)
    if len(table) == 0 and (only is None or len(table.columns)):
        raise DataError(f"{path}: the table has no rows; give at least one")
    return table


def _read(path: Path, text: bool, only: Callable[[str], bool] | None) -> pd.DataFrame:
    if path.name.endswith((".csv", ".csv.gz")):
        return pd.read_csv(path, dtype=str if text else None, skipinitialspace=True, usecols=only)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    formats = {".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits"}
    if path.suffix not in formats:
        raise ValueError("its name must end in .csv, .ecsv, .fits or .parquet")
    from astropy.table import Table
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        table = Table.read(path, format=formats[path.suffix])
    table.convert_bytestring_to_unicode()
    return table[[name for name in table.colnames if table[name].ndim == 1]].to_pandas()


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
    """Read numeric columns of a table.

    Args:
        path: As `read_user_table`.
        columns: Names that must be there; others are dropped.
        defaults: Values of columns that may be missing.

    Returns:
        The columns in the given order, as float64 (id as it is).

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
