"""Classes as numbers and back: nominal, ordinal, grouped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galadapt.answers.classes.coder import ClassCoder
from galadapt.core.errors import DataError

KNOWN = ("0", "1", "2", "3", "4", "5")
GROUPS = {"good": ["0", "1"], "bad": ["2", "3", "4"]}


def test_nominal_classes_are_one_hot() -> None:
    coder = ClassCoder.of(("circular", "comet", "donut"), {}, ordinal=False)
    coded = coder.encode(["donut", "", "circular"])
    np.testing.assert_array_equal(coded[[0, 2]], [[0, 0, 1], [1, 0, 0]])
    assert np.isnan(coded[1]).all()
    assert coder.index(coded).tolist() == [2, -1, 0]


def test_ordinal_classes_count_borders() -> None:
    coder = ClassCoder.of(KNOWN, {}, ordinal=True)
    np.testing.assert_array_equal(coder.encode(["0", "3", "5"]).sum(axis=1), [0, 3, 5])
    assert coder.outputs == 5


def test_two_groups_are_one_border_and_leave_others_out() -> None:
    coder = ClassCoder.of(KNOWN, GROUPS, ordinal=False)
    assert (coder.classes, coder.outputs, coder.ordinal) == (("good", "bad"), 1, True)
    assert coder.group(["1", "4", "5"]).tolist() == ["good", "bad", ""]
    np.testing.assert_array_equal(coder.encode(["1", "4"]), [[0], [1]])
    np.testing.assert_allclose(coder.probabilities(np.array([[0.3]])), [[0.7, 0.3]])


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=6),
    st.booleans(),
)
def test_probabilities_are_probabilities(outputs: list[list[float]], ordinal: bool) -> None:
    names = KNOWN if ordinal else KNOWN[:5]
    coder = ClassCoder.of(names, {}, ordinal)
    found = coder.probabilities(np.array(outputs) + (0 if ordinal else 1e-6))
    assert found.shape == (len(outputs), len(names))
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_certain_ordinal_answers_give_back_their_class() -> None:
    coder = ClassCoder.of(KNOWN, {}, ordinal=True)
    np.testing.assert_array_equal(coder.probabilities(coder.encode(KNOWN)), np.eye(6))


def test_the_order_of_groups_is_that_of_their_labels() -> None:
    """Settings pass through JSON with sorted keys, where bad stands before good."""
    turned = {name: GROUPS[name] for name in sorted(GROUPS)}
    assert list(turned) == ["bad", "good"]
    assert ClassCoder.of(KNOWN, turned, ordinal=False) == ClassCoder.of(KNOWN, GROUPS, False)


def test_it_survives_json() -> None:
    coder = ClassCoder.of(KNOWN, GROUPS, ordinal=False)
    assert ClassCoder.from_dict(coder.to_dict()) == coder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "incomplete"),
        ({"classes": ["a", "b"], "labels": [["a"]], "ordinal": False}, "different lengths"),
    ],
)
def test_broken_records(values: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ClassCoder.from_dict(values)


@pytest.mark.parametrize(
    ("known", "groups", "message"),
    [
        (KNOWN, {"good": ["0"], "bad": ["9"]}, r"groups.bad: the stamps have no class '9'"),
        (["only"], {}, r"one class \(only\) is not enough"),
    ],
)
def test_what_cannot_be_told_apart(known: list[str], groups: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ClassCoder.of(known, groups, ordinal=False)
