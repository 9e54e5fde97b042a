"""Distances between features, as scikit-learn's estimators take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Name of scikit-learn's metric for each distance (`galadapt.config.base.Distance`), after
#: `prepared`.
METRICS = {
    "manhattan": "manhattan",
    "euclidean": "euclidean",
    "chebyshev": "chebyshev",
    "cosine": "cosine",
    "signed_root": "euclidean",
}


def signed_root(values: np.ndarray) -> np.ndarray:
    """Return the root of each value's size with its sign: large features count less."""
    # The command line reads the names of the distances long before it needs arrays.
    import numpy as np

    return np.sign(values) * np.sqrt(np.abs(values))


def prepared(values: np.ndarray, distance: str) -> np.ndarray:
    """Return what the metric of a distance is applied to."""
    return signed_root(values) if distance == "signed_root" else values
