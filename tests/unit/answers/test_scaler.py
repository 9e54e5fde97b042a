"""Scaling and unscaling of the targets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.core.errors import DataError

VALUES = np.random.default_rng(1).uniform([16, 1.3], [27, 50.2], (200, 2))
NAMES = ("magnitude", "effective_radius")


def test_agrees_with_sklearn() -> None:
    expected = StandardScaler().fit_transform(VALUES)
    np.testing.assert_allclose(TargetScaler.fit(NAMES, VALUES).transform(VALUES), expected)


def test_inverse_survives_json() -> None:
    scaler = TargetScaler.fit(NAMES, VALUES)
    again = TargetScaler.from_dict(scaler.to_dict())
    assert again == scaler
    np.testing.assert_allclose(again.inverse(scaler.transform(VALUES)), VALUES, rtol=1e-14)


def test_incomplete_rows_do_not_count() -> None:
    holes = np.vstack([VALUES, [[np.nan, 1e6]]])
    assert TargetScaler.fit(NAMES, holes) == TargetScaler.fit(NAMES, VALUES)


def test_no_complete_row() -> None:
    with pytest.raises(DataError, match="no stamp has all its labels; check the label columns"):
        TargetScaler.fit(NAMES, np.full((3, 2), np.nan))


def test_a_constant_cannot_be_learned() -> None:
    with pytest.raises(DataError, match="effective_radius has the same value in all 3 labelled"):
        TargetScaler.fit(NAMES, [[18, 2], [19, 2], [20, 2]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": None}, "target scaling is incomplete"),
        ({"mean": [1.0]}, "lists of different lengths"),
        ({"logarithmic": ["sersic_index"]}, "logarithm of an unknown parameter"),
    ],
)
def test_broken_record(change: dict[str, object], message: str) -> None:
    record = TargetScaler.fit(NAMES, VALUES).to_dict() | change
    with pytest.raises(DataError, match=message):
        TargetScaler.from_dict(record)


def test_logarithms_invert_exactly_and_survive_json() -> None:
    scaler = TargetScaler.fit(NAMES, VALUES, ["effective_radius"])
    scaled = scaler.transform(VALUES)
    np.testing.assert_allclose(
        scaled[:, 1], StandardScaler().fit_transform(np.log(VALUES[:, 1:]))[:, 0]
    )
    again = TargetScaler.from_dict(scaler.to_dict())
    assert again == scaler
    np.testing.assert_allclose(again.inverse(scaled), VALUES, rtol=1e-13)


def test_a_value_without_a_logarithm_is_unknown() -> None:
    scaler = TargetScaler.fit(NAMES, np.vstack([VALUES, [[20, -1.0]]]), ["effective_radius"])
    assert scaler == TargetScaler.fit(NAMES, VALUES, ["effective_radius"])
    assert np.isnan(scaler.transform(np.array([[20, 0.0]]))[0, 1])


def test_wild_logarithms_stay_numbers() -> None:
    scaler = TargetScaler.fit(NAMES, VALUES, ["effective_radius"])
    assert np.isfinite(scaler.inverse(np.array([[0.0, 1e6], [0.0, -1e6]]))).all()
