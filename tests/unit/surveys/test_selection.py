"""Cuts, in their order, with what each removed."""

from __future__ import annotations

import pandas as pd
import pytest

from galadapt.config.image import Image
from galadapt.config.survey import Selection
from galadapt.core.errors import DataError
from galadapt.surveys.field import CATALOGUE
from galadapt.surveys.selection import select

ROW = {
    **{"id": 1, "ra": 150.0, "dec": 2.0, "flag": 0, "magnitude": 21.0, "magnitude_error": 0.01},
    **{"effective_radius": 0.3, "effective_radius_error": 0.012, "sersic_index": 1.2},
    **{"sersic_index_error": 0.1, "ellipticity": 0.4, "ellipticity_error": 0.02},
    **{"position_angle": 12.0, "position_angle_error": 1.0, "sn": 80.0},
}
NAN = float("nan")


def _write(folder, *changes):
    rows = [ROW | {"id": number} | change for number, change in enumerate(changes, start=1)]
    path = folder / "catalogue.parquet"
    pd.DataFrame(rows)[list(CATALOGUE)].to_parquet(path)
    return path


def _select(tmp_path, catalog, **selection):
    return select(
        catalog, Selection(**selection), Image(), tmp_path / "kept.parquet", tmp_path / "cuts.csv"
    )


def test_each_cut_removes_its_object(tmp_path):
    catalog = _write(
        tmp_path,
        {},
        {"flag": 3, "magnitude": NAN},
        {"flag": 1},
        {"flag": 2},
        {"magnitude": 26.0},
        {"effective_radius": 0.05},
        {"sersic_index": 7.9},
        {"ellipticity": 0.01},
        {"sn": 5.0},
        {"effective_radius": NAN},
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
    _select(tmp_path, _write(tmp_path, {}))
    row = pd.read_parquet(tmp_path / "kept.parquet").iloc[0]
    assert row["effective_radius"] == pytest.approx(5.0)
    assert row["effective_radius_error"] == pytest.approx(0.2)
    assert row["ellipticity"] == pytest.approx(0.4)
    assert (row["position_angle"], row["flag"], row["sn"]) == (12.0, 0, 80.0)


def test_suspicious_fits_are_kept_on_request(tmp_path):
    catalog = _write(tmp_path, {}, {"flag": 1}, {"flag": 2})
    assert _select(tmp_path, catalog, max_flag=1)["id"].tolist() == [1, 2]


def test_limits_belong_to_the_range(tmp_path):
    catalog = _write(
        tmp_path,
        {"magnitude": 16.0},
        {"magnitude": 25.0},
        {"magnitude": 25.001},
    )
    assert _select(tmp_path, catalog)["id"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag": 2}, "the cut 'flag <= 0' removes . of .; widen selection.max_flag"),
        (
            {"magnitude": 26.0},
            "the cut '16 <= magnitude <= 25' removes . of .; widen selection.magnitude",
        ),
        ({"sn": 1.0}, "the cut 'sn >= 10' removes . of .; widen selection.min_signal_to_noise"),
        ({"sersic_index": -1.0}, "give a catalogue with fitted objects"),
    ],
)
def test_an_empty_selection_is_an_error(tmp_path, change, message):
    catalog = _write(tmp_path, change)
    with pytest.raises(DataError, match=message):
        _select(tmp_path, catalog, min_signal_to_noise=10)
    assert not (tmp_path / "kept.parquet").exists()
    assert not (tmp_path / "cuts.csv").exists()


def test_an_id_that_stands_twice_is_an_error(tmp_path):
    catalog = _write(tmp_path, {}, {"id": 1})
    with pytest.raises(DataError, match="id 1 stands twice; give every object its own"):
        _select(tmp_path, catalog)


def test_what_no_object_has_is_not_cut_by(tmp_path):
    nothing = dict.fromkeys(set(CATALOGUE) - {"id", "ra", "dec", "flag"}, NAN)
    catalog = _write(tmp_path, nothing, {"flag": 3}, nothing, nothing | {"flag": 2})
    table = _select(tmp_path, catalog)
    assert table["id"].tolist() == [1, 3]
    assert table["magnitude"].isna().all()
    # One label is known: it is cut by, and lacking it counts as no fit.
    some = [nothing | {"magnitude": mag} for mag in (20.0, 27.0, NAN)]
    table = _select(tmp_path, _write(tmp_path, *some))
    assert table["id"].tolist() == [1]


def test_the_cut_to_widen_is_the_one_that_takes_most(tmp_path):
    """Two suspicious galaxies and a faint one: the flag is to blame, not the magnitude."""
    catalog = _write(tmp_path, {"flag": 1}, {"flag": 1}, {"magnitude": 26.0})
    with pytest.raises(DataError, match=r"'flag <= 0' removes 2 of 3; widen selection\.max_flag"):
        _select(tmp_path, catalog)


def test_an_unknown_signal_to_noise_is_none(tmp_path):
    catalog = _write(tmp_path, {"sn": NAN}, {"magnitude_error": NAN})
    assert _select(tmp_path, catalog)["id"].tolist() == [1, 2]
    assert _select(tmp_path, catalog, min_signal_to_noise=1)["id"].tolist() == [2]


def test_a_catalogue_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "catalogue.parquet"
    pd.DataFrame({"id": [1], "ra": [150.0]}).to_parquet(path)
    with pytest.raises(DataError, match=r"lacks the columns 'dec', .*rerun the survey"):
        _select(tmp_path, path)
