"""Splits dealt out by shares, and stamps kept on disk on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from galadapt.stamps.splits import deal, none_empty, rounded
from galadapt.stamps.spool import Spool


def test_whole_numbers_keep_the_sum() -> None:
    assert rounded(np.array([1.4, 0.3, 0.3])).tolist() == [2, 0, 0]
    assert rounded(np.array([0.5, 0.5, 1.0])).tolist() == [1, 0, 1]
    assert rounded(np.array([6.6, 1.9, 1.5])).tolist() == [7, 2, 1]


def test_a_share_gets_a_member_while_another_split_has_several() -> None:
    shares = np.array([0.8, 0.1, 0.1])
    assert none_empty(np.array([3, 0, 0]), shares).tolist() == [1, 1, 1]
    assert none_empty(np.array([1, 0, 0]), shares).tolist() == [1, 0, 0]
    assert none_empty(np.array([3, 0, 0]), np.array([0.9, 0.1, 0.0])).tolist() == [2, 1, 0]


def test_who_gets_what_depends_on_name_and_seed_only() -> None:
    names = [f"n{k}" for k in range(40)]
    dealt = deal(names, np.array([20, 12, 8]), 1)
    assert Counter(dealt.values()) == {"train": 20, "validation": 12, "test": 8}
    assert deal(names[::-1], np.array([20, 12, 8]), 1) == dealt
    assert deal(names, np.array([20, 12, 8]), 2) != dealt


def test_stamps_come_back_in_any_order_and_leave_nothing(tmp_path: Path) -> None:
    stamps = np.random.default_rng(1).random((5, 4, 4)).astype(np.float32)
    with Spool(tmp_path / "new", 4) as spool:
        spool.put(2, stamps[2:])
        spool.put(1, stamps[1])
        taken = np.concatenate(list(spool.take([4, 1, 3])))
        assert list((tmp_path / "new").iterdir()) == []
    np.testing.assert_array_equal(taken, stamps[[4, 1, 3]])


def test_stamps_with_channels(tmp_path: Path) -> None:
    stamps = np.random.default_rng(1).random((3, 4, 4, 2)).astype(np.float32)
    with Spool(tmp_path, 4, 2) as spool:
        spool.put(0, stamps)
        np.testing.assert_array_equal(np.concatenate(list(spool.take([2, 0]))), stamps[[2, 0]])
