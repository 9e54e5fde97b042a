from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from galadapt.answers.classes.metrics import auc, class_intervals, class_metrics, group_vote, merged

NAMES = ("a", "b", "c")

#: Five predictions of three classes: true a, a, b, b, b; answers a, b, b, b, c.
TRUE = np.array([0, 0, 1, 1, 1])
VALUES = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]]
)


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_figures_are_those_computed_by_hand():
    found = class_metrics(TRUE, VALUES, NAMES)
    assert (found["n"], found["failed"]) == (5, 0)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["loss"] == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.8, 0.2]).mean())
    truth = np.eye(3)[TRUE]
    assert found["brier"] == pytest.approx(((VALUES - truth) ** 2).sum(axis=1).mean() / 2)
    b = found["classes"]["b"]
    assert (b["n"], b["recall"], b["precision"]) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    # a ranks 0.8, 0.3 against 0.2, 0.1, 0.1: perfect; b 0.7, 0.8, 0.2 against 0.1, 0.6: 5 of 6.
    assert found["classes"]["a"]["auc"] == 1
    assert b["auc"] == pytest.approx(5 / 6)
    assert found["auc"] == pytest.approx((1 + 5 / 6) / 2)


def test_a_class_without_stamps_has_no_figures():
    absent = class_metrics(TRUE, VALUES, NAMES)["classes"]["c"]
    assert absent["n"] == 0
    assert all(math.isnan(absent[key]) for key in ("recall", "precision", "f1", "auc"))


def test_the_auc_of_two_classes_is_that_of_the_last():
    true = np.array([0, 0, 1, 1])
    bad = np.array([0.1, 0.6, 0.5, 0.9])
    values = np.stack([1 - bad, bad], axis=1)
    assert auc(true, values) == pytest.approx(3 / 4)
    assert math.isnan(auc(np.zeros(4, int), values))


def test_failed_predictions_are_counted_and_judge_nothing():
    values = VALUES.copy()
    values[4] = np.nan
    found = class_metrics(TRUE, values, NAMES)
    assert (found["n"], found["failed"]) == (5, 1)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["classes"]["b"]["n"] == 3
    nothing = class_metrics(TRUE, np.full((5, 3), np.nan), NAMES)
    assert (nothing["n"], nothing["failed"]) == (5, 5)
    assert math.isnan(nothing["accuracy"]) and math.isnan(nothing["auc"])


def test_intervals_draw_groups_and_not_stamps():
    """Ten stamps of a frame are one witness: repeating stamps must not narrow the interval."""
    rng = np.random.default_rng(3)
    true = np.arange(40) % 2
    bad = np.clip(0.5 + 0.25 * (2 * true - 1) + 0.3 * rng.standard_normal(40), 0.01, 0.99)
    values = np.stack([1 - bad, bad], axis=1)
    group = np.array([f"g{k}" for k in range(40)])
    once = class_intervals(true, values, group, 200, 1)
    tenfold = [np.repeat(x, 10, axis=0) for x in (true, values, group)]
    again = class_intervals(*tenfold, 200, 1)
    assert again["accuracy_low"] < again["accuracy_high"]
    width = once["accuracy_high"] - once["accuracy_low"]
    assert again["accuracy_high"] - again["accuracy_low"] == pytest.approx(width, rel=0.2)
    apart = class_intervals(tenfold[0], tenfold[1], np.arange(400).astype(str), 200, 1)
    assert apart["accuracy_high"] - apart["accuracy_low"] < 0.6 * width
    assert apart["auc_high"] - apart["auc_low"] < 0.6 * (once["auc_high"] - once["auc_low"])


def test_intervals_repeat_hold_the_figure_and_need_two_groups():
    rng = np.random.default_rng(5)
    true = np.repeat([0, 1, 2], [60, 20, 10])
    values = rng.dirichlet(np.ones(3), 90) + 1.2 * np.eye(3)[true] * rng.random((90, 1))
    values /= values.sum(axis=1, keepdims=True)
    group = np.array([str(k // 3) for k in range(90)])
    found = class_intervals(true, values, group, 80, 4)
    assert found == class_intervals(true, values, group, 80, 4)
    figures = class_metrics(true, values, NAMES)
    for name in ("accuracy", "balanced_accuracy", "auc"):
        assert found[f"{name}_low"] < figures[name] < found[f"{name}_high"]
    alone = class_intervals(true, values, np.full(90, "one"), 80, 4)
    assert all(math.isnan(value) for value in alone.values())


def test_a_group_votes_with_its_mean_probability_or_its_majority():
    """Two weak votes for b against one strong vote for a: the rules differ."""
    values = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
    true = np.array([0, 0, 0, 1])
    group = np.array(["x", "x", "x", "y"])
    assert group_vote(true, values, group, "mean")["accuracy"] == 1
    lost = group_vote(true, values, group, "majority")
    assert (lost["accuracy"], lost["balanced_accuracy"], lost["n"]) == (0.5, 0.5, 2)


def test_ties_of_a_majority_go_to_the_mean_and_odd_groups_are_counted():
    values = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.5, 0.5], [np.nan, np.nan]])
    true = np.array([0, 0, 0, 1, 1])
    group = np.array(["tie", "tie", "mixed", "mixed", "failed"])
    found = group_vote(true, values, group, "majority")
    assert found["accuracy"] == 1
    assert (found["n"], found["mixed"], found["failed"]) == (1, 1, 1)


def test_groups_of_one_stamp_have_no_vote():
    assert group_vote(TRUE, VALUES, np.array(list("abcde")), "mean") is None


def test_merged_classes_add_their_probabilities():
    coarse = merged(VALUES, [np.array([0]), np.array([1, 2])])
    np.testing.assert_allclose(coarse[:, 1], VALUES[:, 1] + VALUES[:, 2])
    np.testing.assert_allclose(coarse.sum(axis=1), 1)
