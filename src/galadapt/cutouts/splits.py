"""Assign survey objects to splits so that training and test stamps share no pixel."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.spatial import cKDTree

from galadapt.config.survey import Splits
from galadapt.stamps.format import SPLITS

#: When stamps of two splits overlap, that of the later one is kept.
_RANK = {name: rank for rank, name in enumerate(SPLITS)}


def split_of(number: int, seed: int, splits: Splits) -> str:
    """Split of one object, by a hash: it does not depend on other objects."""
    return _split(_share(f"{seed}:{number}"), splits)


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _split(share: float, splits: Splits) -> str:
    if share < splits.train:
        return "train"
    return "validation" if share < splits.train + splits.validation else "test"


def split_by_cell(
    x: np.ndarray, y: np.ndarray, size: int, shape: tuple[int, int], seed: int, splits: Splits
) -> np.ndarray:
    """Split objects by the square cell of the mosaic their centre lies in.

    The cells of the whole mosaic, occupied or not, are shuffled by the seed and dealt out by the
    shares, so that an object's cell decides and not its company. Only where a split with a
    positive share would go without any object does it take, from the split with most occupied
    cells, the one nearest to its turn.

    Positions (N,), the stamp side `size` and the mosaic's shape (ny, nx) are in pixels.
    """
    side = splits.cell * size
    down, across = (max(int(np.ceil(length / side)), 1) for length in shape)
    line = np.clip(np.floor((y + 0.5) / side), 0, down - 1).astype(int)
    column = np.clip(np.floor((x + 0.5) / side), 0, across - 1).astype(int)
    drawn = np.array(
        [_share(f"{seed}:cell:{k // across}:{k % across}") for k in range(down * across)]
    )
    shares = (np.argsort(np.argsort(drawn, kind="stable"), kind="stable") + 0.5) / len(drawn)
    occupied, cell = np.unique(line * across + column, return_inverse=True)
    names = np.array([_split(share, splits) for share in shares[occupied]], dtype=object)
    _fill_empty(names, shares[occupied], splits)
    return names[cell.ravel()]


def _fill_empty(names: np.ndarray, shares: np.ndarray, splits: Splits) -> None:
    """Give each split that has a share but no cell one of the richest split's."""
    bounds = np.cumsum([0.0, splits.train, splits.validation])
    width = (splits.train, splits.validation, 1 - splits.train - splits.validation)
    for name, start, wide in zip(SPLITS, bounds, width, strict=True):
        counts = {other: int((names == other).sum()) for other in SPLITS}
        richest = max(counts, key=lambda other: counts[other])
        if wide > 0 and counts[name] == 0 and counts[richest] > 1:
            candidates = np.flatnonzero(names == richest)
            turn = np.abs(shares[candidates] - (start + wide / 2))
            names[candidates[np.argmin(turn)]] = name


def overlapping(
    corner_x: np.ndarray, corner_y: np.ndarray, size: int, split: np.ndarray
) -> np.ndarray:
    """Find the stamps to leave out so that no two of different splits share a pixel.

    Of two such stamps the test's is kept, else the validation's; the other is left out. Corners
    are the first columns and rows of the stamps, whole pixels (N,).

    Returns:
        Pixels of overlap with the stamp it yields to, on the axis where they overlap less; 0
        for stamps that stay (N,).
    """
    yields = np.zeros(len(corner_x), int)
    corners = np.stack([corner_x, corner_y], axis=1).astype(float)
    pairs = cKDTree(corners).query_pairs(size - 0.5, p=np.inf, output_type="ndarray")
    rank = np.array([_RANK[name] for name in split])
    shared = size - np.abs(corners[pairs[:, 0]] - corners[pairs[:, 1]]).max(axis=1)
    # Validation yields to test first; what is gone needs no training stamp to yield to it.
    for keeper in (2, 1):
        here = yields == 0
        for one, other in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
            loses = (rank[one] < keeper) & (rank[other] == keeper) & here[one] & here[other]
            np.maximum.at(yields, one[loses], shared[loses].astype(int))
    return yields
