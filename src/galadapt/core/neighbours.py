"""How far points lie from others: the distance to the nearest of them, in units of theirs."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors

#: Neighbours whose mean distance counts, and the percentile of the reference's own distances that
#: is the unit.
_NEAREST, _PERCENTILE = 5, 99


class Neighbourhood:
    """Mean distance to the nearest reference points, over its 99th percentile among these.

    Above 1 a point is unlike the reference (k-nearest-neighbour detection: Sun et al. 2022, ICML).
    """

    def __init__(
        self, reference: np.ndarray, algorithm: Literal["auto", "ball_tree"] = "auto"
    ) -> None:
        """Prepare from reference points (n, f); `algorithm` is scikit-learn's."""
        nearest = NearestNeighbors(
            n_neighbors=min(_NEAREST, len(reference) - 1), algorithm=algorithm
        )
        self._tree = nearest.fit(reference)
        own = self._tree.kneighbors()[0].mean(axis=1)
        self._limit = max(float(np.percentile(own, _PERCENTILE)), 1e-9)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance of points (n, f), n > 0, in units of the limit."""
        return self._tree.kneighbors(points)[0].mean(axis=1) / self._limit
