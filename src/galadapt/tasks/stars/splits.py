"""Which split a frame belongs to; and, to show what it flatters, a split that ignores frames."""

from __future__ import annotations

import hashlib

import numpy as np

from galadapt.core.random import generator
from galadapt.stamps.format import SPLITS
from galadapt.tasks.stars.settings import FrameSplits

#: Purpose of the random numbers that split stamps, not frames.
_PURPOSE = 6200


def split_frames(
    names: np.ndarray, labels: np.ndarray, seed: int, splits: FrameSplits
) -> np.ndarray:
    """Deal the frames of each class out to the splits by the shares.

    Their order is that of a hash of seed and name, so that the order of the table does not count.
    A split with a positive share gets a frame of every class that has frames enough.

    Args:
        names: Unique names of the frames (N,).
        labels: Their classes (N,).
        seed: Seed of the hash.
        splits: Shares.

    Returns:
        Names of splits (N,), object.
    """
    dealt = np.empty(len(names), object)
    shares = np.array([splits.train, splits.validation, 1 - splits.train - splits.validation])
    for label in sorted(set(labels)):
        rows = sorted(np.flatnonzero(labels == label), key=lambda row: _hash(seed, str(names[row])))
        dealt[rows] = np.repeat(SPLITS, _counts(len(rows), shares))
    return dealt


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _counts(total: int, shares: np.ndarray) -> np.ndarray:
    """Largest remainders; then nobody with a share goes without while another has several."""
    # A share such as 1 - .66 - .19 must not lose a frame to its last bit.
    exact = np.round(total * shares, 9)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    for poor in np.flatnonzero((counts == 0) & (shares > 0)):
        rich = int(np.argmax(counts))
        if counts[rich] > 1:
            counts[rich] -= 1
            counts[poor] += 1
    return counts


def split_stamps(splits: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Split every stamp on its own, with as many of each class in each split as there are now.

    Stamps of one frame then stand in several splits, which flatters a network that knows the
    frame again. All else is equal, so the difference between the two protocols is the leak.

    Args:
        splits: Splits by frame (N,).
        labels: Classes (N,).
        seed: Seed of the shuffle.

    Returns:
        Names of splits (N,), object.
    """
    rng = generator(seed, _PURPOSE)
    shuffled = np.empty(len(splits), object)
    for label in sorted(set(labels)):
        rows = np.flatnonzero(labels == label)
        shuffled[rows] = splits[rng.permutation(rows)]
    return shuffled
