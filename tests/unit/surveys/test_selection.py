"""Cuts, in their order, with what each removed."""

from __future__ import annotations

import pandas as pd
import pytest

from galadapt.config.image import Image
from galadapt.config.survey import Selection
from galadapt.core.errors import DataError
from galadapt.surveys.field import write_catalog
from galadapt.surveys.selection import select

ROW = {
    **{"NUMBER": 1, "RA": 150.0, "DEC": 2.0, "f": 0, "mag": 21.0, "dmag": 0.01},
    **{"re": 0.3, "dre": 0.012, "n": 1.2, "dn": 0.1, "q": 0.6, "dq": 0.02},
    **{"pa": 12.0, "dpa": 1.0, "sn": 80.0},
}


def _write(path, *changes):
    rows = [ROW | {"NUMBER": number} | change for number, change in enumerate(changes, start=1)]
    write_catalog(path, pd.DataFrame(rows))
    return path


def _select(tmp_path, catalog, **selection):
    return select(
        catalog, Selection(**selection), Image(), tmp_path / "kept.parquet", tmp_path / "cuts.csv"
    )


def test_each_cut_removes_its_object(tmp_path):
    catalog = _write(
        tmp_path / "cat.txt",
        {},
        {"f": 3, "mag": -999, "re": -999, "n": -999, "q": -999},
        {"f": 1},
        {"f": 2},
        {"mag": 26.0},
        {"re": 0.05},
        {"n": 7.9},
        {"q": 0.99},
        {"sn": 5.0},
        {"re": float("nan")},
    )
    table = _select(tmp_path, catalog, min_signal_to_noise=10)
    assert table["id"].tolist() == [1]
    cuts = pd.read_csv(tmp_path / "cuts.csv").set_index("cut")
    assert cuts["removed"].to_dict() == {
        **{"catalog": 0, "fit": 2, "flag": 2, "magnitude": 1, "effective_radius": 1},
        **{"sersic_index": 1, "ellipticity": 1, "signal_to_noise": 1},
    }
    assert cuts["remaining"].iloc[-1] == 1
    assert cuts["removed"].sum() == 9
    assert cuts.loc["magnitude", "condition"] == "16 <= magnitude <= 25"


def test_labels_are_in_pixels(tmp_path):
    _select(tmp_path, _write(tmp_path / "cat.txt", {}))
    row = pd.read_parquet(tmp_path / "kept.parquet").iloc[0]
    assert row["effective_radius"] == pytest.approx(5.0)
    assert row["effective_radius_error"] == pytest.approx(0.2)
    assert row["ellipticity"] == pytest.approx(0.4)
    assert (row["position_angle"], row["flag"], row["sn"]) == (12.0, 0, 80.0)


def test_suspicious_fits_are_kept_on_request(tmp_path):
    catalog = _write(tmp_path / "cat.txt", {}, {"f": 1}, {"f": 2})
    assert _select(tmp_path, catalog, max_flag=1)["id"].tolist() == [1, 2]


def test_limits_belong_to_the_range(tmp_path):
    catalog = _write(tmp_path / "cat.txt", {"mag": 16.0}, {"mag": 25.0}, {"mag": 25.001})
    assert _select(tmp_path, catalog)["id"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": 2}, "the cut 'flag <= 0' removes . of .; widen selection.max_flag"),
        (
            {"mag": 26.0},
            "the cut '16 <= magnitude <= 25' removes . of .; widen selection.magnitude",
        ),
        ({"sn": 1.0}, "the cut 'sn >= 10' removes . of .; widen selection.min_signal_to_noise"),
        ({"n": -1.0}, "give a catalogue with fitted objects"),
    ],
)
def test_an_empty_selection_is_an_error(tmp_path, change, message):
    catalog = _write(tmp_path / "cat.txt", change)
    with pytest.raises(DataError, match=message):
        _select(tmp_path, catalog, min_signal_to_noise=10)
    assert not (tmp_path / "kept.parquet").exists()
    assert not (tmp_path / "cuts.csv").exists()


def test_a_number_that_stands_twice_is_an_error(tmp_path):
    catalog = _write(tmp_path / "cat.txt", {}, {"NUMBER": 1})
    with pytest.raises(DataError, match="NUMBER 1 stands twice; give every object its own"):
        _select(tmp_path, catalog)


def test_what_no_object_has_is_not_cut_by(tmp_path):
    names = ("mag", "dmag", "re", "dre", "n", "dn", "q", "dq", "pa", "dpa", "sn")
    nothing = dict.fromkeys(names, float("nan"))
    catalog = _write(tmp_path / "cat.txt", nothing, {"f": 3}, nothing, nothing | {"f": 2})
    table = _select(tmp_path, catalog)
    assert table["id"].tolist() == [1, 3]
    assert table["magnitude"].isna().all()
    # One label is known: it is cut by, and lacking it counts as no fit.
    some = [nothing | {"mag": mag} for mag in (20.0, 27.0, float("nan"))]
    table = _select(tmp_path, _write(tmp_path / "some.txt", *some))
    assert table["id"].tolist() == [1]


def test_the_cut_to_widen_is_the_one_that_takes_most(tmp_path):
    """Two suspicious galaxies and a faint one: the flag is to blame, not the magnitude."""
    catalog = _write(tmp_path / "cat.txt", {"f": 1}, {"f": 1}, {"mag": 26.0})
    with pytest.raises(DataError, match=r"'flag <= 0' removes 2 of 3; widen selection\.max_flag"):
        _select(tmp_path, catalog)
