"""Splitting the user's fields: every class by the same shares, an observation never torn apart."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from galadapt.stamps.format import SPLITS
from galadapt.tasks.screening.settings import FieldSplits


def stratified_splits(
    groups: pd.Series, labels: pd.Series, splits: FieldSplits, seed: int
) -> np.ndarray:
    """Split fields by group, stratified by class.

    A group has the class of its worst field. The groups of a class are ordered by a hash of their
    name and dealt out by the shares; a class with three groups or more is in all splits that have
    a share. A single group is for training if it is labelled, else for testing.

    Args:
        groups: What must not be split (N,).
        labels: Classes as text, empty where unknown (N,).
        splits: Shares.
        seed: Seed of the hash.

    Returns:
        Names of splits (N,), the same for any order of the fields.
    """
    worst = labels.astype(str).groupby(groups.to_numpy()).max()
    named: dict[str, str] = {}
    for label, members in worst.groupby(worst).groups.items():
        ordered = sorted(members, key=lambda group: _hash(f"{seed}:{group}"))
        dealt = np.repeat(SPLITS, _quotas(len(ordered), splits, bool(label)))
        named.update(zip(ordered, dealt, strict=True))
    return np.array([named[group] for group in groups], object)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _quotas(number: int, splits: FieldSplits, labelled: bool) -> np.ndarray:
    shares = np.array([splits.train, splits.validation, 1 - splits.train - splits.validation])
    if number == 1:
        return np.array([1, 0, 0] if labelled and splits.train > 0 else [0, 0, 1])
    exact = shares * number
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: number - counts.sum()]] += 1
    if number >= len(SPLITS):
        for k in np.flatnonzero((counts == 0) & (shares > 0)):
            counts[np.argmax(counts)] -= 1
            counts[k] += 1
    return counts
