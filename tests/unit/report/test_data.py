"""Contact sheets: which stamps they show, and that they can be drawn from any stamp set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from galadapt.core.extraction_flags import Flag
from galadapt.core.quantity import PARAMETERS
from galadapt.report import data
from galadapt.stamps.format import write_stamps

COUNT = 20


def _table(measured=True):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"id": np.arange(COUNT), "split": "test"})
    for name in PARAMETERS:
        table[name] = rng.uniform(1, 2, COUNT)
    if measured:
        table["signal_to_noise"] = rng.permutation(COUNT) + 1.0
        table["neighbour_fraction"] = 0.0
        table["extraction_flags"] = 0
    return table


def _write(path, table):
    images = np.random.default_rng(1).normal(0, 1, (COUNT, 16, 16)).astype(np.float32)
    metadata = {"pixel_scale": 0.06, "zero_point": 25.9, "band": "F160W", "domain": "survey"}
    write_stamps(path, [images], table, metadata)
    return path


def test_the_brightest_and_the_difficult_come_first():
    table = _table()
    table.loc[3, "extraction_flags"] = int(Flag.STAR | Flag.NEAR_EDGE)
    table.loc[[5, 6], "extraction_flags"] = int(Flag.NEIGHBOUR)
    table.loc[6, "neighbour_fraction"] = 0.4
    samples = dict(data._samples(table))
    assert table["signal_to_noise"].iloc[samples["brightest"][:4]].tolist() == [20, 19, 18, 17]
    # Most flags, then most light of neighbours, then the faintest of the rest.
    faintest = table.drop(index=[3, 5, 6])["signal_to_noise"].idxmin()
    assert samples["difficult"][:4].tolist() == [3, 6, 5, faintest]
    assert len(set(samples["random"].tolist())) == 6
    np.testing.assert_array_equal(dict(data._samples(table))["random"], samples["random"])


@pytest.mark.parametrize("measured", [True, False])
def test_any_survey_has_a_sheet(tmp_path, measured):
    simulated = _write(tmp_path / "simulated.h5", _table())
    path = _write(tmp_path / "stamps.h5", _table(measured))
    data.contact_sheet([simulated], path, tmp_path / "sheet.png", {})
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_further_simulations_have_rows_of_their_own(tmp_path):
    simulated = _write(tmp_path / "simulated.h5", _table())
    survey = _write(tmp_path / "survey.h5", _table())
    heights = []
    for further in ({}, {"simulated blurred": [simulated]}):
        data.contact_sheet([simulated], survey, tmp_path / "sheet.png", further)
        heights.append(imread(tmp_path / "sheet.png").shape[0])
    assert heights[1] > heights[0]


def test_a_sheet_repeats_byte_for_byte_and_shows_the_flags(tmp_path):
    first = _write(tmp_path / "one.h5", _table())
    table = _table()
    table["extraction_flags"] = int(Flag.STAR)
    second = _write(tmp_path / "two.h5", table)
    drawn = []
    for name, path in (("a", first), ("b", first), ("c", second)):
        data.contact_sheet([first], path, tmp_path / f"{name}.png", {})
        drawn.append((tmp_path / f"{name}.png").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_words_name_the_flags_that_fit():
    row = pd.Series({"id": 7, "signal_to_noise": 12.0, "extraction_flags": 1 + 4 + 16})
    assert data._words(row, True) == "id 7  S/N 12\nneighbour, near edge +1"
