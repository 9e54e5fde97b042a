"""Splits by identifier and by cell: shares, stability, and no shared pixel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.config.survey import Splits
from galadapt.cutouts.splits import overlapping, split_by_cell, split_of

SHAPE, SIZE = (4000, 5000), 64


def _field(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(40, SHAPE[1] - 40, count), rng.uniform(40, SHAPE[0] - 40, count)


def test_splits_follow_the_shares_and_the_identifier():
    splits = Splits(train=0.5, validation=0.2)
    drawn = pd.Series([split_of(number, 3, splits) for number in range(4000)])
    shares = drawn.value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.5, abs=0.03)
    assert shares["validation"] == pytest.approx(0.2, abs=0.03)
    other = pd.Series([split_of(number, 4, splits) for number in range(4000)])
    assert 0.3 < (drawn == other).mean() < 0.5
    assert split_of(17, 3, splits) == drawn[17]


def test_cells_follow_the_shares():
    x, y = _field(20_000)
    names = pd.Series(split_by_cell(x, y, SIZE, SHAPE, 3, Splits(train=0.5, validation=0.2)))
    shares = names.value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.5, abs=0.03)
    assert shares["validation"] == pytest.approx(0.2, abs=0.03)


def test_one_cell_is_one_split():
    x, y = _field(5000)
    names = split_by_cell(x, y, SIZE, SHAPE, 3, Splits(cell=4))
    cells = pd.DataFrame({"a": (x + 0.5) // 256, "b": (y + 0.5) // 256, "split": names})
    assert int(cells.groupby(["a", "b"])["split"].nunique().max()) == 1


def test_an_objects_cell_does_not_depend_on_its_company():
    x, y = _field(3000)
    names = split_by_cell(x, y, SIZE, SHAPE, 3, Splits())
    some = np.arange(0, 3000, 3)
    np.testing.assert_array_equal(
        split_by_cell(x[some], y[some], SIZE, SHAPE, 3, Splits()), names[some]
    )
    assert (split_by_cell(x, y, SIZE, SHAPE, 4, Splits()) != names).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_few_isolated_galaxies_fill_all_three_splits(seed):
    """As on the cosmos survey's mosaic: one galaxy in each square of two sides."""
    lines, columns = np.divmod(np.arange(7), 3)
    x, y = columns * 256 + 127.3, lines * 256 + 127.8
    names = split_by_cell(x, y, 64, (768, 768), seed, Splits(train=0.35, validation=0.05, cell=4))
    assert set(names) == {"train", "validation", "test"}


def test_a_split_without_a_share_stays_empty():
    x, y = _field(50)
    names = split_by_cell(x, y, SIZE, SHAPE, 3, Splits(train=0.0, validation=0.0))
    assert set(names) == {"test"}


@pytest.mark.parametrize("density", [300, 2000])
def test_no_two_stamps_of_different_splits_overlap(density):
    x, y = _field(density)
    names = split_by_cell(x, y, SIZE, SHAPE, 3, Splits())
    corner_x, corner_y = (np.ceil(axis - SIZE / 2).astype(int) for axis in (x, y))
    lost = overlapping(corner_x, corner_y, SIZE, names)
    owner = {name: np.zeros(SHAPE, bool) for name in set(names)}
    for a, b, name in zip(corner_x[lost == 0], corner_y[lost == 0], names[lost == 0], strict=True):
        owner[name][max(b, 0) : b + SIZE, max(a, 0) : a + SIZE] = True
    assert not (owner["train"] & owner["test"]).any()
    assert not (owner["train"] & owner["validation"]).any()
    assert not (owner["validation"] & owner["test"]).any()
    # Test loses nothing, and none is left out without need.
    assert (lost[names == "test"] == 0).all()
    assert 0 < (lost > 0).sum() < 0.45 * density
    everything = np.sum(list(owner.values()), axis=0)
    row = int(np.flatnonzero(lost)[0])
    a, b = max(corner_x[row], 0), max(corner_y[row], 0)
    assert everything[b : corner_y[row] + SIZE, a : corner_x[row] + SIZE].any()


def test_the_overlap_is_counted_in_pixels():
    split = np.array(["train", "test", "train", "validation"], dtype=object)
    lost = overlapping(np.array([0, 60, 124, 200]), np.array([0, 10, 10, 0]), 64, split)
    assert lost.tolist() == [4, 0, 0, 0]
    assert overlapping(np.zeros(0, int), np.zeros(0, int), 64, np.array([])).tolist() == []
