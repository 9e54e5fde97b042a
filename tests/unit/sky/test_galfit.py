"""The catalogues of van der Wel et al., as text and in the forms VizieR gives."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from galadapt.core.errors import DataError
from galadapt.sky.catalogues import GALFIT, read_galfit

HEADER = "#   NUMBER RA DEC f mag dmag re dre n dn q dq pa dpa sn\n#\n"
GOOD = "30 150.1 2.2 0 22.9877 0.067 0.46356 0.048 4.3899 0.568 0.3468 0.029 -18.09 2.78 72.09\n"
NO_FIT = "31 150.2 2.3 3" + " -999" * 10 + " 21.4726\n"


def _catalog(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.realdata
def test_reads_the_real_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    table = read_galfit(path)
    assert len(table) == 6000
    assert (table["flag"] == 3).sum() == 12
    assert table.loc[table["flag"] == 3, "magnitude"].isna().all()
    row = table[table["id"] == 30].iloc[0]
    assert (row["magnitude"], row["effective_radius"], row["position_angle"]) == (
        *(22.9877, 0.46356, -18.0946),
    )


def test_what_is_printed_is_read_under_our_names(tmp_path):
    comments = "# objects of NUMBER 1\n"
    first, second = read_galfit(
        _catalog(tmp_path / "a.txt", comments + HEADER + GOOD + NO_FIT)
    ).to_dict("records")
    assert first["ellipticity"] == 1 - 0.3468
    assert (first["ellipticity_error"], first["position_angle_error"]) == (0.029, 2.78)
    assert (second["id"], second["flag"], second["ra"], second["sn"]) == (31, 3, 150.2, 21.4726)
    assert np.isnan([second["magnitude"], second["ellipticity"], second["effective_radius"]]).all()


def test_absurd_values_are_kept_for_the_survey(tmp_path):
    absurd = GOOD.replace("0.46356", "1e30").replace("4.3899", "nan")
    table = read_galfit(_catalog(tmp_path / "a.txt", HEADER + GOOD + absurd))
    assert table["effective_radius"].iloc[1] == 1e30
    assert np.isnan(table["sersic_index"].iloc[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table is empty"),
        (HEADER, "table has no rows; check that it was written completely"),
        (GOOD, "no line names the columns"),
        (
            HEADER.replace(" re ", " rad ").replace("sn", "snr") + GOOD,
            r"lacks the column\(s\) re, sn;",
        ),
        (HEADER + GOOD + "32 150.1 2.2 0 22\n", "row 2 has not the header's 15 columns"),
        (
            HEADER + GOOD.replace("22.9877", "bright"),
            r"column 'mag' holds text \('bright'\)",
        ),
        (HEADER + GOOD.replace(" 0 22", " 0.5 22"), "column 'f' must hold integers"),
        (HEADER + GOOD.replace("30 150", "30.5 150"), "column 'NUMBER' must hold integers"),
        ('{"not": "a catalogue"}', "is a JSON document"),
    ],
)
def test_broken_catalogues_are_named(tmp_path, text, message):
    path = _catalog(tmp_path / "cat.txt", text)
    with pytest.raises(DataError, match=message) as caught:
        read_galfit(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_binary_file_is_no_catalogue(tmp_path):
    (tmp_path / "cat.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="not a readable table"):
        read_galfit(tmp_path / "cat.txt")
    with pytest.raises(DataError, match="no such table"):
        read_galfit(tmp_path / "absent.txt")


# --- VizieR's forms -------------------------------------------------------------------------

NAMES = ("Seq", "RAJ2000", "DEJ2000", "Q", "mag", "e_mag", "r", "e_r", "n", "e_n", "q", "e_q")
NAMES += ("PA", "e_PA", "S/N")


def _table(rows: int = 3) -> Table:
    columns: dict[str, object] = {name: np.arange(rows) + k + 0.25 for k, name in enumerate(NAMES)}
    columns |= {"Seq": np.arange(rows) + 7, "Q": np.arange(rows) % 3}
    return Table({"F": ["H"] * rows, **columns})


def _expected(rows: int = 3) -> pd.DataFrame:
    table = _table(rows)
    columns = {ours: np.asarray(table[name]) for ours, name in zip(GALFIT, NAMES, strict=True)}
    columns["ellipticity"] = 1 - columns.pop("axis_ratio")
    columns["ellipticity_error"] = columns.pop("axis_ratio_error")
    return pd.DataFrame(columns)


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
    found = read_galfit(_write(tmp_path, kind, _table()))
    pd.testing.assert_frame_equal(found, _expected())


@pytest.mark.parametrize("kind", ["fits", "vot", "csv", "tsv"])
def test_other_filters_are_left_out(tmp_path, kind):
    table = _table(4)
    table["F"] = ["H", "J", "H", "Y"]
    assert read_galfit(_write(tmp_path, kind, table))["id"].to_list() == [7, 9]
    table["F"] = ["J"] * 4
    with pytest.raises(DataError, match="no row of filter H"):
        read_galfit(_again(tmp_path, kind, table))


def _again(folder: Path, kind: str, table: Table) -> Path:
    (folder / "again").mkdir()
    return _write(folder / "again", kind, table)


@pytest.mark.parametrize("kind", ["fits", "vot", "tsv"])
def test_missing_values_are_nan_and_no_fit(tmp_path, kind):
    table = _table()
    table["mag"] = MaskedColumn(table["mag"], mask=[False, True, False])
    table["Q"] = MaskedColumn(table["Q"], mask=[False, True, False])
    found = read_galfit(_write(tmp_path, kind, table))
    assert np.isnan(found["magnitude"].iloc[1])
    assert found["flag"].to_list() == [0, 3, 2]


def test_units_are_turned_into_ours(tmp_path):
    table = _table()
    table["r"].unit = units.arcmin
    table["PA"].unit = units.rad
    found = read_galfit(_write(tmp_path, "fits", table))
    np.testing.assert_allclose(found["effective_radius"], _expected()["effective_radius"] * 60)
    angle = np.degrees(_expected()["position_angle"])
    np.testing.assert_allclose(found["position_angle"], angle)
    table["r"].unit = units.pix
    with pytest.raises(DataError, match="column 'r' is in 'pix', which cannot be turned into 'arc"):
        read_galfit(_again(tmp_path, "fits", table))


def test_several_tables_in_one_answer_are_joined(tmp_path):
    path = _write(tmp_path, "tsv", _table())
    more = _table()
    more["Seq"] += 10
    path.write_text(path.read_text() + "\n" + _again(tmp_path, "tsv", more).read_text())
    assert read_galfit(path)["id"].to_list() == [7, 8, 9, 17, 18, 19]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.remove_column("r"), r"lacks the column\(s\) re; .* fetch all its columns"),
        (lambda t: t.replace_column("Seq", t["mag"]), "'Seq' must hold integers"),
        (lambda t: t.replace_column("mag", ["bright"] * 3), "'mag' holds text"),
        (lambda t: t.remove_rows([0, 1, 2]), "has no rows|no row of filter"),
    ],
)
def test_broken_tables_are_named(tmp_path, edit, message):
    table = _table()
    edit(table)
    path = _write(tmp_path, "fits", table)
    with pytest.raises(DataError, match=message) as caught:
        read_galfit(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", ["fits", "vot", "fits.gz", "csv", "tsv"])
def test_truncated_tables_are_named(tmp_path, kind):
    path = _write(tmp_path, kind, _table(200))
    whole = path.read_bytes()
    for keep in (len(whole) // 2, len(whole) // 3):
        path.write_bytes(whole[:keep].rstrip(b"0123456789. \t"))
        with pytest.raises(DataError, match="fetch it again") as caught:
            read_galfit(path)
        assert "\n" not in str(caught.value)
