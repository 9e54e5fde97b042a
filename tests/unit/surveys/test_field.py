"""Catalogues: round trips, and every way they can be broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError
from galadapt.surveys import field

HEADER = "#   NUMBER RA DEC f mag dmag re dre n dn q dq pa dpa sn\n#\n"
GOOD = "30 150.1 2.2 0 22.9877 0.067 0.46356 0.048 4.3899 0.568 0.3468 0.029 -18.09 2.78 72.09\n"
NO_FIT = "31 150.2 2.3 3" + " -999" * 10 + " 21.4726\n"


def _catalog(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.realdata
def test_reads_the_real_catalogue(galadapt_data):
    path = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    table = field.read_catalog(path)
    assert len(table) == 6000
    assert (table["f"] == 3).sum() == 12
    assert (table.loc[table["f"] == 3, "mag"] == -999).all()
    row = table[table["NUMBER"] == 30].iloc[0]
    assert (row["mag"], row["re"], row["pa"]) == (22.9877, 0.46356, -18.0946)


def test_catalogue_survives_a_round_trip(tmp_path):
    first = field.read_catalog(_catalog(tmp_path / "a.txt", HEADER + GOOD + NO_FIT))
    field.write_catalog(tmp_path / "b.txt", first, ["made by a test"])
    pd.testing.assert_frame_equal(field.read_catalog(tmp_path / "b.txt"), first)
    assert (tmp_path / "b.txt").read_text().startswith("# made by a test\n")


def test_absurd_values_are_kept_for_the_selection(tmp_path):
    absurd = GOOD.replace("0.46356", "1e30").replace("4.3899", "nan")
    table = field.read_catalog(_catalog(tmp_path / "a.txt", HEADER + GOOD + absurd))
    assert table["re"].iloc[1] == 1e30
    assert np.isnan(table["n"].iloc[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header line '# NUMBER RA DEC ...'"),
        (HEADER, "catalogue has no rows; check that it was written completely"),
        (GOOD, "no header line '# NUMBER RA DEC ...'"),
        (HEADER.replace(" re ", " ").replace("sn", "") + GOOD, r"lacks the column\(s\) re, sn;"),
        (HEADER + GOOD + "32 150.1 2.2 0 22\n", "rows do not match the 15 columns"),
        (HEADER + GOOD.replace("22.9877", "bright"), "column 'mag' holds text"),
        (HEADER + GOOD.replace(" 0 22", " 0.5 22"), "column 'f' must hold integers"),
        (HEADER + GOOD.replace("30 150", "30.5 150"), "column 'NUMBER' must hold integers"),
        ('{"not": "a catalogue"}', "no header line"),
    ],
)
def test_broken_catalogues_are_named(tmp_path, text, message):
    path = _catalog(tmp_path / "cat.txt", text)
    with pytest.raises(DataError, match=message) as caught:
        field.read_catalog(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_binary_file_is_no_catalogue(tmp_path):
    (tmp_path / "cat.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="not a text catalogue"):
        field.read_catalog(tmp_path / "cat.txt")
    with pytest.raises(DataError, match="no such catalogue"):
        field.read_catalog(tmp_path / "absent.txt")
