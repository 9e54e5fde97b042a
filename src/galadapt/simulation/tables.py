"""Reading a user's own table: CSV, FITS or Parquet, chosen by the suffix."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from galadapt.core.errors import DataError


def read_columns(
    path: Path, columns: Iterable[str], defaults: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Read numeric columns of a table.

    Args:
        path: ``.csv``, ``.parquet``, ``.fits`` or ``.fit``.
        columns: Names that must be there; others are dropped.
        defaults: Values of columns that may be missing.

    Returns:
        The columns in the given order, as float64 (id as it is).

    Raises:
        DataError: the file is missing, unreadable or empty, lacks a column, or a cell is no number;
            the message names the row, counted from 1 without the header.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; correct the path")
    try:
        table = _read(path)
    except (ValueError, OSError, TypeError, KeyError) as error:
        line = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable table ({line}); replace it") from None
    table.columns = [str(name) for name in table.columns]
    wanted = list(columns)
    for name, value in (defaults or {}).items():
        if name not in table:
            table[name] = value
    missing = ", ".join(f"'{name}'" for name in wanted if name not in table)
    if missing:
        several = "columns" if "," in missing else "column"
        raise DataError(f"{path}: lacks the {several} {missing}; add what is missing")
    if table.empty:
        raise DataError(f"{path}: the table has no rows; give at least one")
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


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix in (".fits", ".fit"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return Table.read(path, format="fits").to_pandas()
    if path.suffix == ".csv":
        return pd.read_csv(path)
    raise ValueError("its name must end in .csv, .fits or .parquet")
