from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galadapt.answers import registry
from galadapt.core.errors import DataError
from galadapt.core.quantity import QUANTITIES


def test_a_run_folder_of_0_1_0_is_one_sentence() -> None:
    run = {"task": "structure", "parameters": ["magnitude"], "target_scaling": {}}
    with pytest.raises(DataError, match=r"run\.json: lacks 'answer', as those of galadapt 0\.1\.0"):
        registry.record_of(run, Path("seed1/run.json"))


def test_objects_are_grouped_by_what_is_true_of_them() -> None:
    """Fifths of the first quantity, the class, the most frequent first answer; -1: unknown."""
    values = [5.0, 1.0, np.nan, 3.0, 4.0, 2.0]
    numbers = pd.DataFrame({"magnitude_true": values, "magnitude_predicted": 0.0})
    record = {"quantities": [QUANTITIES["magnitude"].to_dict()]}
    found = registry.judging("numbers").estimates(numbers, record)
    assert found.groups.tolist() == [4, 0, -1, 2, 3, 1]

    # A row without a prediction has no label either: NaN where tables are joined.
    classes = pd.DataFrame(
        {"label_true": ["b", "", np.nan, "a"], "p_a": [0.2, 0.5, np.nan, 1], "p_b": 0.5}
    )
    found = registry.judging("classes").estimates(classes, {})
    assert found.groups.tolist() == [1, -1, -1, 0]
    np.testing.assert_array_equal(found.true, [[0, 1], [np.nan] * 2, [np.nan] * 2, [1, 0]])

    tree = {"tree": [{"name": "odd", "answers": ["yes", "no"], "parent": ""}]}
    votes = pd.DataFrame({"odd_yes_votes": [3, 0, np.nan], "odd_no_votes": [7, 0, 1]})
    votes = votes.assign(odd_yes_alpha=1.0, odd_no_alpha=1.0)
    found = registry.judging("votes").estimates(votes, tree)
    assert found.groups.tolist() == [1, -1, -1]
    assert not found.classes
