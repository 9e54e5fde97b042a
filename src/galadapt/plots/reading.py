"""Reading the tables that figures are drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.files import read_table


def read_columns(path: Path, wanted: Iterable[str]) -> pd.DataFrame:
    """Read a table that must have certain columns.

    Raises:
        DataError: the table is missing or unreadable, or lacks one of them.
    """
    table = read_table(path)
    missing = sorted(set(wanted) - set(table.columns))
    if missing:
        raise DataError(f"{path}: lacks the column(s) {', '.join(missing)}; rerun its stage")
    return table
