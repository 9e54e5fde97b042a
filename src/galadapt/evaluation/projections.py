"""Features of a network in two dimensions: PCA and UMAP.

Neither measures how well two domains can be separated; `galadapt.evaluation.features.separability`
does, in all dimensions.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from galadapt.core.random import generator

#: Galaxies of one domain that UMAP embeds at most: it takes 1.3 s of CPU time per thousand.
MOST_PER_DOMAIN = 750

#: UMAP's own defaults: neighbours that count as near, and how densely points may lie.
_NEIGHBOURS, _MIN_DISTANCE = 15, 0.1

_THINNING = 1


def principal_components(features: np.ndarray) -> np.ndarray:
    """First two principal components (n, 2) of standardised features (n, f), n and f >= 2."""
    places: np.ndarray = PCA(2, svd_solver="full").fit_transform(_standardised(features))
    return places


def neighbourhoods(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embedding that keeps neighbours together (UMAP: McInnes, Healy & Melville 2018).

    It starts from the principal components and runs in one thread: equal features give equal
    places on one machine, whatever its load. Distances between far groups mean little.

    Args:
        features: (n, f), finite; n > 2, f >= 2. They are standardised.

    Returns:
        Places (n, 2).
    """
    with _without_tensorflow():
        import umap
    mapper = umap.UMAP(
        n_components=2,
        n_neighbors=min(_NEIGHBOURS, len(features) - 1),
        min_dist=_MIN_DISTANCE,
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    # The last digit of a sum over threads, and with it the whole map, would depend on their number.
    with threadpool_limits(1):
        places: np.ndarray = mapper.fit_transform(_standardised(features))
    return places


def thinned(domains: np.ndarray, most: int = MOST_PER_DOMAIN, seed: int = 0) -> np.ndarray:
    """Rows (m,), ascending, of at most `most` galaxies of each domain (n,), chosen at random."""
    chosen = []
    for number, domain in enumerate(np.unique(domains)):
        rows = np.flatnonzero(domains == domain)
        random = generator(seed, _THINNING, number)
        chosen.append(random.choice(rows, min(most, len(rows)), replace=False))
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)


def _standardised(features: np.ndarray) -> np.ndarray:
    values: np.ndarray = StandardScaler().fit_transform(features)
    return values


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Keep umap from importing TensorFlow, which its parametric variant alone needs (14 s)."""
    if "tensorflow" in sys.modules:
        yield
        return
    # None makes an import fail; umap then goes on without that variant.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["tensorflow"]
