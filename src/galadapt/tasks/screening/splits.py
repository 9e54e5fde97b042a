"""Splits of the user's fields: every class by the same shares, observations never divided."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galadapt.stamps.format import SPLITS
from galadapt.stamps.splits import deal, none_empty, rounded
from galadapt.tasks.screening.settings import FieldSplits


def stratified_splits(
    groups: pd.Series, labels: pd.Series, splits: FieldSplits, seed: int
) -> np.ndarray:
    """Split fields by group (N,), stratified by class, whatever their order.

    A group has the class of its worst field. The groups of a class are ordered by a hash of their
    name and dealt out by the shares; a class with three groups or more is in all splits that have
    a share. A single group is for training if it is labelled, else for testing.

    Args:
        groups: Observations, never divided (N,).
        labels: Classes as text, empty where unknown (N,).
    """
    shares = np.array(splits.all)
    worst = labels.astype(str).groupby(groups.to_numpy()).max()
    named: dict[str, str] = {}
    for label, members in worst.groupby(worst).groups.items():
        counts = rounded(len(members) * shares)
        if len(members) >= len(SPLITS):
            counts = none_empty(counts, shares)
        elif len(members) == 1:
            counts = np.array([1, 0, 0] if label and splits.train > 0 else [0, 0, 1])
        named |= deal(members, counts, seed)
    return np.array([named[group] for group in groups], object)
