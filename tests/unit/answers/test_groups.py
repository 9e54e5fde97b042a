"""Predictions of groups, and of the user's own images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.answers.classes.groups import group_predictions, survey_predictions


def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": range(6),
            "domain": ["simulated"] * 2 + ["survey"] * 4,
            "split": "test",
            "group": ["a", "a", "m13", "m13", "m67", "m92"],
            "label_true": ["comet", "donut", "", "", "donut", ""],
            "label_original": "",
            "p_comet": [0.9, 0.7, 0.2, 0.4, np.nan, 0.6],
            "p_donut": [0.1, 0.3, 0.8, 0.6, np.nan, 0.4],
        }
    )


def test_stamps_of_a_group_are_averaged() -> None:
    found = group_predictions(predictions()).set_index("group")
    assert found["predicted"].to_dict() == {"a": "comet", "m13": "donut", "m67": "", "m92": "comet"}
    assert found.loc["m13", ["p_comet", "p_donut"]].tolist() == pytest.approx([0.3, 0.7])
    assert found["failed"].to_dict() == {"a": 0, "m13": 0, "m67": 1, "m92": 0}
    # Stamps of several classes have no one label.
    assert found["label"].to_dict() == {"a": "", "m13": "", "m67": "donut", "m92": ""}


def test_methods_stand_side_by_side_and_seeds_are_averaged(tmp_path) -> None:
    runs = []
    for seed, shift in ((1, 0.0), (2, 0.3)):
        table = predictions()
        table["p_comet"] += shift
        table["p_donut"] -= shift
        group_predictions(table).to_csv(tmp_path / f"{seed}.csv", index=False)
        runs.append(({"variant": "peak", "method": "b", "seed": seed}, tmp_path / f"{seed}.csv"))
    found = survey_predictions(runs).set_index("group")
    assert found["peak / b"].to_dict() == {
        "m13": "donut 0.55",
        "m67": "failed",
        "m92": "comet 0.75",
    }
    assert found.loc["m67", "label"] == "donut"
    assert found["stamps"].to_dict() == {"m13": 2, "m67": 1, "m92": 1}


def test_without_a_survey_there_is_nothing_to_show(tmp_path) -> None:
    table = predictions()
    group_predictions(table[table["domain"] == "simulated"]).to_csv(tmp_path / "a.csv", index=False)
    assert survey_predictions([({"variant": "v", "method": "m"}, tmp_path / "a.csv")]).empty
