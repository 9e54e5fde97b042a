"""Dealing names out to the splits by their shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from galadapt.stamps.format import SPLITS


def rounded(exact: np.ndarray) -> np.ndarray:
    """Whole numbers with the sum of `exact`: largest remainders, the first of equal ones."""
    counts = np.floor(exact).astype(int)
    missing = round(exact.sum()) - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def none_empty(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Give each split with a share but no member one of the largest, as long as that keeps one."""
    counts = counts.copy()
    for poor in np.flatnonzero((counts == 0) & (shares > 0)):
        rich = int(np.argmax(counts))
        if counts[rich] > 1:
            counts[rich] -= 1
            counts[poor] += 1
    return counts


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Put unique names into the order of a hash of each."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def deal(names: Iterable[str], counts: np.ndarray, seed: int) -> dict[str, str]:
    """Deal unique names out to `SPLITS`, so many to each, in the order of a hash of their names."""
    dealt = np.repeat(SPLITS, counts).tolist()
    return dict(zip(shuffled(names, seed), dealt, strict=True))
