"""Stamp sets of labelled classes: their metadata, and their splits by groups of stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.base import Shares
from galadapt.core.random import generator
from galadapt.stamps.format import SPLITS
from galadapt.stamps.splits import deal, none_empty, rounded

_PURPOSE = 6200  #: purpose of the random numbers that split stamps, not frames


def class_metadata(
    domain: str,
    classes: Sequence[str],
    pixel_scale: float,
    band: str,
    provenance: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Return what a stamp set of classes keeps besides its table; it has no zero point."""
    return {
        "pixel_scale": pixel_scale,
        "zero_point": None,
        "band": band,
        "domain": domain,
        "classes": list(classes),
        "provenance": dict(provenance),
        **more,
    }


def split_frames(names: np.ndarray, labels: np.ndarray, seed: int, splits: Shares) -> np.ndarray:
    """Deal the frames (unique names) of each class out to the splits (N,), whatever their order.

    A split with a share gets a frame of every class that has frames enough.
    """
    shares = np.array(splits.all)
    dealt: dict[str, str] = {}
    for label in sorted(set(labels)):
        members = names[labels == label]
        # A share such as 1 - .66 - .19 must not lose a frame to its last bit.
        counts = rounded(np.round(len(members) * shares, 9))
        dealt |= deal(members, none_empty(counts, shares), seed)
    return np.array([dealt[name] for name in names], object)


def split_stamps(splits: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Split every stamp on its own, with as many of each class in each split as there are now.

    Stamps of one frame are then in several splits, which flatters a network that recognises the
    frame. All else is equal, so the difference between the two protocols is the leak.
    """
    rng = generator(seed, _PURPOSE)
    shuffled = np.empty(len(splits), object)
    for label in sorted(set(labels)):
        rows = np.flatnonzero(labels == label)
        shuffled[rows] = splits[rng.permutation(rows)]
    return shuffled


def split_groups(groups: pd.Series, labels: pd.Series, splits: Shares, seed: int) -> np.ndarray:
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
    dealt: dict[str, str] = {}
    for label, members in worst.groupby(worst).groups.items():
        counts = rounded(len(members) * shares)
        if len(members) >= len(SPLITS):
            counts = none_empty(counts, shares)
        elif len(members) == 1:
            counts = np.array([1, 0, 0] if label and splits.train > 0 else [0, 0, 1])
        dealt |= deal(members, counts, seed)
    return np.array([dealt[group] for group in groups], object)
