from __future__ import annotations

from galadapt.evaluation.families import Point, curves

BASE = {
    "description": "",
    "survey_labels": False,
    "starts_from": None,
    "alignment": None,
    "epochs": 5,
    "n_survey": None,
    "n_simulated": None,
}
TUNED = {**BASE, "survey_labels": True, "starts_from": "baseline"}


def test_methods_that_differ_in_a_number_only_are_a_curve_from_their_start():
    settings = {
        "baseline": BASE,
        "all": {**TUNED, "description": "every label"},
        "some": {**TUNED, "n_survey": 400},
        "few": {**TUNED, "n_survey": 100},
        "longer": {**TUNED, "n_survey": 50, "epochs": 9},
    }
    (curve,) = curves(list(settings), settings)
    assert curve.setting == "n_survey"
    assert curve.points == (
        Point("baseline", 0),
        Point("few", 100),
        Point("some", 400),
        Point("all", None),
    )
    assert curve.name == "all"


def test_methods_that_are_not_run_are_on_no_curve():
    settings = {"baseline": BASE, "all": TUNED, "few": {**TUNED, "n_survey": 100}}
    assert curves(["baseline", "few"], settings) == []


def test_a_start_that_has_seen_labels_is_no_zero():
    settings = {
        "first": {**BASE, "survey_labels": True},
        "few": {**TUNED, "starts_from": "first", "n_survey": 100},
        "all": {**TUNED, "starts_from": "first"},
    }
    (curve,) = curves(list(settings), settings)
    assert [point.method for point in curve.points] == ["few", "all"]


def test_numbers_of_simulations_are_a_curve_without_a_zero():
    settings = {
        "baseline": BASE,
        "two": {**TUNED, "n_survey": 400, "n_simulated": 200},
        "one": {**TUNED, "n_survey": 400, "n_simulated": 400},
    }
    (curve,) = curves(list(settings), settings)
    assert (curve.setting, [p.number for p in curve.points]) == ("n_simulated", [200, 400])
