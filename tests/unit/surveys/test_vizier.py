"""GALFIT catalogues in the forms VizieR gives."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from galadapt.core.errors import DataError
from galadapt.surveys.field import CATALOG_COLUMNS, read_catalog

NAMES = ("Seq", "RAJ2000", "DEJ2000", "Q", "mag", "e_mag", "r", "e_r", "n", "e_n", "q", "e_q")
NAMES += ("PA", "e_PA", "S/N")


def _table(rows: int = 3) -> Table:
    columns: dict[str, object] = {name: np.arange(rows) + k + 0.25 for k, name in enumerate(NAMES)}
    columns |= {"Seq": np.arange(rows) + 7, "Q": np.arange(rows) % 3}
    return Table({"F": ["H"] * rows, **columns})


def _expected(rows: int = 3) -> pd.DataFrame:
    table = _table(rows)
    frame = pd.DataFrame(
        {ours: np.asarray(table[name]) for ours, name in zip(CATALOG_COLUMNS, NAMES, strict=True)}
    )
    return frame.astype({"NUMBER": np.int64, "f": np.int64})


def _write(folder: Path, kind: str, table: Table) -> Path:
    path = folder / f"catalogue.{kind}"
    if kind == "tsv":
        header = "\t".join(table.colnames)
        rule = "\t".join("-" * 5 for _ in table.colnames)
        units_line = "\t".join(" " for _ in table.colnames)
        rows = [
            "\t".join(f"{str(v) if v is not np.ma.masked else '':>8}" for v in r) for r in table
        ]
        path.write_text("\n".join(["#VizieR", "", header, units_line, rule, *rows, ""]))
    elif kind == "fits.gz":
        table.write(folder / "plain.fits")
        path.write_bytes(gzip.compress((folder / "plain.fits").read_bytes()))
    else:
        formats = {"fits": "fits", "vot": "votable", "csv": "ascii.csv"}
        table.write(path, format=formats[kind])
    return path


@pytest.mark.parametrize("kind", ["fits", "fits.gz", "vot", "csv", "tsv"])
def test_every_form_gives_the_same_table(tmp_path, kind):
    found = read_catalog(_write(tmp_path, kind, _table()))
    pd.testing.assert_frame_equal(found, _expected())


@pytest.mark.parametrize("kind", ["fits", "vot", "csv", "tsv"])
def test_other_filters_are_left_out(tmp_path, kind):
    table = _table(4)
    table["F"] = ["H", "J", "H", "Y"]
    assert read_catalog(_write(tmp_path, kind, table))["NUMBER"].to_list() == [7, 9]
    table["F"] = ["J"] * 4
    with pytest.raises(DataError, match="no row of filter H"):
        read_catalog(_again(tmp_path, kind, table))


def _again(folder: Path, kind: str, table: Table) -> Path:
    (folder / "again").mkdir()
    return _write(folder / "again", kind, table)


@pytest.mark.parametrize("kind", ["fits", "vot", "tsv"])
def test_missing_values_are_nan_and_no_fit(tmp_path, kind):
    table = _table()
    table["mag"] = MaskedColumn(table["mag"], mask=[False, True, False])
    table["Q"] = MaskedColumn(table["Q"], mask=[False, True, False])
    found = read_catalog(_write(tmp_path, kind, table))
    assert np.isnan(found["mag"].iloc[1])
    assert found["f"].to_list() == [0, 3, 2]


def test_units_are_turned_into_ours(tmp_path):
    table = _table()
    table["r"].unit = units.arcmin
    table["PA"].unit = units.rad
    found = read_catalog(_write(tmp_path, "fits", table))
    np.testing.assert_allclose(found["re"], _expected()["re"] * 60)
    np.testing.assert_allclose(found["pa"], np.degrees(_expected()["pa"]))
    table["r"].unit = units.pix
    with pytest.raises(DataError, match="column 'r' is in 'pix', not in arcsec; convert it"):
        read_catalog(_again(tmp_path, "fits", table))


def test_several_tables_in_one_answer_are_joined(tmp_path):
    path = _write(tmp_path, "tsv", _table())
    more = _table()
    more["Seq"] += 10
    path.write_text(path.read_text() + "\n" + _again(tmp_path, "tsv", more).read_text())
    assert read_catalog(path)["NUMBER"].to_list() == [7, 8, 9, 17, 18, 19]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.remove_column("r"), r"lacks the column\(s\) re; fetch all its columns"),
        (lambda t: t.replace_column("Seq", t["mag"]), "'NUMBER' must hold integers"),
        (lambda t: t.replace_column("RAJ2000", ["10 00 1.2"] * 3), "'RAJ2000' holds text"),
        (lambda t: t.remove_rows([0, 1, 2]), "has no rows|no row of filter"),
    ],
)
def test_broken_tables_are_named(tmp_path, edit, message):
    table = _table()
    edit(table)
    path = _write(tmp_path, "fits", table)
    with pytest.raises(DataError, match=message) as caught:
        read_catalog(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", ["fits", "vot", "fits.gz", "csv", "tsv"])
def test_truncated_tables_are_named(tmp_path, kind):
    path = _write(tmp_path, kind, _table(200))
    whole = path.read_bytes()
    for keep in (len(whole) // 2, len(whole) // 3):
        path.write_bytes(whole[:keep].rstrip(b"0123456789. \t"))
        with pytest.raises(DataError, match="fetch it again") as caught:
            read_catalog(path)
        assert "\n" not in str(caught.value)
