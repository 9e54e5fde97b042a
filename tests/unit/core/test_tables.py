"""Tables of the user's own: formats, and what is refused with which sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from galadapt.core.errors import DataError
from galadapt.core.tables import check_names, read_columns, read_csv_columns, read_user_table


@pytest.mark.parametrize("name", ["t.csv", "t.ecsv", "t.fits", "t.parquet"])
def test_every_format_gives_the_same_table(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "value": [1.5, 2.5]})
    path = tmp_path / name
    if name == "t.csv":
        frame.to_csv(path, index=False)
    elif name == "t.parquet":
        frame.to_parquet(path)
    else:
        Table.from_pandas(frame).write(path)
    read = read_user_table(path, ["value"])
    assert read["name"].tolist() == ["a", "b"]
    assert read_columns(path, ["value", "other"], {"other": 3.0}).to_numpy().tolist() == [
        [1.5, 3.0],
        [2.5, 3.0],
    ]


def test_names_keep_their_zeros_and_images_in_cells_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("group, label\n0012,1\n0013,\n")
    table = read_user_table(tmp_path / "t.csv", ["label"], text=True)
    assert table["group"].tolist() == ["0012", "0013"]
    check_names(table, "label", ["1", "2"], tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"row 1: label '1' is none of 2, 3; rename it or leave"):
        check_names(table, "label", ["2", "3"], tmp_path / "t.csv")
    Table({"id": [1, 2], "stamp": np.zeros((2, 3, 3))}).write(tmp_path / "t.fits")
    assert list(read_user_table(tmp_path / "t.fits")) == ["id"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("no.csv", None, "no such table; correct the path"),
        ("t.csv", "", "table is empty; check that it was written completely"),
        ("t.fits", "SIMPLE  = and no more", "not a readable table"),
        ("t.txt", "1\n2\n", "not a readable table .no line names the columns."),
        ("t.csv", "x\n1\n", "lacks the columns 'a', 'b'; add what is missing"),
        ("t.csv", "a,b\n", "table has no rows; check that it was written completely"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    name: str, text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_user_table(tmp_path / name, ["a", "b"])
    assert "\n" not in str(caught.value)


def test_only_some_columns_of_a_packed_csv_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    pd.DataFrame({"a": ["01"], "b": [2], "c": [3]}).to_csv(path, index=False)
    table = read_csv_columns(path, lambda name: name in ("a", "c"))
    assert table.to_dict("list") == {"a": ["01"], "c": ["3"]}
    assert list(read_csv_columns(path, lambda name: name == "d").columns) == []
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="not a readable table"):
        read_csv_columns(path, lambda name: name == "a")
