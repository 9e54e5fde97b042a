"""Features of a network in fewer dimensions: PCA and UMAP.

Neither measures how well two domains can be separated; `galadapt.evaluation.features.separability`
does, in all dimensions.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

#: UMAP's own defaults: neighbours that count as near, and how densely points may lie.
_NEIGHBOURS, _MIN_DISTANCE = 15, 0.1

#: Epochs of the embedding: more change the map no more.
_EPOCHS = 200


class Projections:
    """Projections of standardised features (n, f), n > 2, to fewer dimensions.

    Equal features give equal places on one machine, whatever its load.
    """

    def __init__(self, values: np.ndarray, seed: int = 0) -> None:
        """Find the principal components of the features; `seed` is that of UMAP."""
        self._values, self._seed = values, seed
        self._components = PCA(svd_solver="full").fit_transform(values)

    def pca(self, dimensions: int) -> np.ndarray:
        """Return the first principal components, (n, dimensions)."""
        return self._components[:, :dimensions]

    def umap(self, dimensions: int) -> np.ndarray:
        """Return an embedding that keeps neighbours together (McInnes, Healy & Melville 2018).

        It starts from the principal components. Distances between far groups mean little.
        """
        mapper = self._mapper
        with _without_tensorflow():
            from umap.umap_ import find_ab_params, simplicial_set_embedding
        start = self.pca(dimensions)
        a, b = find_ab_params(1.0, _MIN_DISTANCE)
        # The last digit of a sum over threads, and with it the whole map, would depend on their
        # number.
        with threadpool_limits(1):
            places, _ = simplicial_set_embedding(
                self._values,
                mapper.graph_,
                n_components=dimensions,
                initial_alpha=1.0,
                a=a,
                b=b,
                gamma=1.0,
                negative_sample_rate=5,
                n_epochs=_EPOCHS,
                # Scaled as UMAP scales its own start.
                init=(10 * start / max(np.abs(start).max(), 1e-9)).astype(np.float32),
                random_state=np.random.RandomState(self._seed),
                metric="euclidean",
                metric_kwds={},
                densmap=False,
                densmap_kwds={},
                output_dens=False,
            )
        return places

    @cached_property
    def _mapper(self) -> Any:
        """The graph of neighbours, which all dimensions share."""
        with _without_tensorflow():
            import umap
        mapper = umap.UMAP(
            n_neighbors=min(_NEIGHBOURS, len(self._values) - 1),
            transform_mode="graph",
            random_state=self._seed,
            n_jobs=1,
        )
        with threadpool_limits(1):
            return mapper.fit(self._values)


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
