"""Which split a frame belongs to; and, to show what it flatters, a split that ignores frames."""

from __future__ import annotations

import numpy as np

from galadapt.core.random import generator
from galadapt.stamps.splits import deal, none_empty, rounded
from galadapt.tasks.stars.settings import FrameSplits

_PURPOSE = 6200  #: purpose of the random numbers that split stamps, not frames


def split_frames(
    names: np.ndarray, labels: np.ndarray, seed: int, splits: FrameSplits
) -> np.ndarray:
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
