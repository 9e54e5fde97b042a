"""Which stamps and labels a method sees, and the order it sees them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galadapt.answers.numbers.answer import Numbers
from galadapt.config.training import Method
from galadapt.core.errors import DataError
from galadapt.core.quantity import SERSIC, Quantity
from galadapt.learners.data import read_split
from galadapt.learners.keras.batches import epoch_order, epoch_orientations, turn
from galadapt.stamps.format import StampSet

TARGET = Numbers(SERSIC)

BOTH = {"domains": ["simulated", "survey"]}


def test_balanced_batches_hold_both_domains_and_pass_the_larger_once() -> None:
    order = epoch_order([40, 10], 8, balance=True, seed=1, epoch=0)
    assert order.shape == (10, 8)
    assert ((order < 40).sum(axis=1) == 4).all()
    assert sorted(order[order < 40]) == list(range(40))
    repeats = np.bincount(order[order >= 40] - 40)
    assert repeats.tolist() == [4] * 10


def test_unbalanced_batches_mix_by_number() -> None:
    order = epoch_order([40, 10], 8, balance=False, seed=1, epoch=0)
    assert order.shape == (6, 8)
    assert len(np.unique(order)) == 48
    assert ((order < 40).sum(axis=1) != 4).any()


@pytest.mark.parametrize(("counts", "batch"), [([3], 16), ([3, 2], 16), ([1, 5], 2), ([2, 9], 3)])
def test_few_stamps_still_make_a_batch(counts: list[int], batch: int) -> None:
    order = epoch_order(counts, batch, balance=True, seed=1, epoch=0)
    assert order.size > 0 and order.max() < sum(counts)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = epoch_order([20], 4, True, seed=1, epoch=3)
    np.testing.assert_array_equal(first, epoch_order([20], 4, True, seed=1, epoch=3))
    assert (first != epoch_order([20], 4, True, seed=1, epoch=4)).any()
    assert (first != epoch_order([20], 4, True, seed=2, epoch=3)).any()


def test_turning_uses_all_eight_orientations() -> None:
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    turned = turn(np.repeat(image, 8, axis=0), np.arange(8))
    assert len(np.unique(turned.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(turned[1, ..., 0], np.rot90(image[0, ..., 0]))
    assert set(epoch_orientations(200, seed=1, epoch=0)) == set(range(8))


@pytest.mark.parametrize(
    ("augment", "views"),
    [
        ("none", [np.asarray]),
        ("rotations", [np.asarray, np.rot90, lambda a: np.rot90(a, 2), lambda a: np.rot90(a, 3)]),
        ("vertical", [np.asarray, np.flipud]),
        ("horizontal", [np.asarray, np.fliplr]),
    ],
)
def test_each_augmentation_gives_its_own_views(augment: str, views: list) -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    drawn = sorted(set(epoch_orientations(200, seed=1, epoch=0, augment=augment)))
    turned = turn(np.repeat(image[None, ..., None], len(drawn), axis=0), np.array(drawn))
    found = {one.tobytes() for one in turned[..., 0]}
    assert found == {np.ascontiguousarray(view(image)).tobytes() for view in views}


def test_label_free_methods_read_no_survey_label(domains: dict[str, Path]) -> None:
    method = Method(**BOTH, alignment={"kind": "dann"}, max_magnitude=20)
    with StampSet(domains["simulated"]) as simulated, StampSet(domains["survey"]) as survey:
        sets = {"simulated": simulated, "survey": survey}
        hidden = read_split(sets, "train", TARGET, method)
        seen = read_split(sets, "train", TARGET, method.model_copy(update={"survey_labels": True}))
    assert not hidden["survey"].labelled.any()
    assert hidden["simulated"].labelled.all() and seen["survey"].labelled.all()
    # A magnitude limit would be a look at the labels.
    assert len(hidden["survey"]) == 20 > len(seen["survey"])
    assert hidden["simulated"].labels[:, 0].max() <= 20


def test_limits_hold_for_training_alone(domains: dict[str, Path]) -> None:
    method = Method(n_simulated=7)
    with StampSet(domains["simulated"]) as simulated:
        sets = {"simulated": simulated}
        train = read_split(sets, "train", TARGET, method)["simulated"]
        validation = read_split(sets, "validation", TARGET, method)["simulated"]
    assert simulated.table["id"].to_numpy()[train.rows].tolist() == list(range(1000, 1007))
    assert len(validation) == 16


def test_nothing_left_of_a_split(domains: dict[str, Path]) -> None:
    with (
        StampSet(domains["simulated"]) as simulated,
        pytest.raises(DataError, match=r"simulated has no train stamps after max_magnitude 10"),
    ):
        read_split({"simulated": simulated}, "train", TARGET, Method(max_magnitude=10))


def test_missing_label_column(domains: dict[str, Path]) -> None:
    with (
        StampSet(domains["simulated"]) as simulated,
        pytest.raises(DataError, match=r"simulated.h5: lacks the label column 'bar'; rerun"),
    ):
        bar = Numbers((SERSIC[0], Quantity("bar", "bar strength", "b")))
        read_split({"simulated": simulated}, "train", bar, Method())
