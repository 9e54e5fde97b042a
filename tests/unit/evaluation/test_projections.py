"""Projections of features: neighbours stay together, and equal features give equal places."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from galadapt.evaluation.projections import Projections


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    """Two groups of 40 in 6 dimensions, apart in one of them only."""
    features = np.random.default_rng(5).standard_normal((80, 6)) * [100, 1, 1, 1, 1, 1]
    features[40:, 3] += 40
    return StandardScaler().fit_transform(features)


def apart(places: np.ndarray) -> float:
    """Distance of the groups' means over their mean width."""
    first, second = places[:40], places[40:]
    width = (first.std(axis=0) + second.std(axis=0)).mean()
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) / width)


def test_groups_stay_apart(groups):
    near = Projections(groups).umap(2)
    assert near.shape == (80, 2)
    assert apart(near) > 2
    mixed = groups.copy()
    mixed[:, 3] = np.random.default_rng(6).standard_normal(80)
    assert apart(Projections(mixed).umap(2)) < 1


def test_the_same_features_give_the_same_map(groups):
    first = Projections(groups).umap(3)
    assert first.shape == (80, 3)
    assert np.array_equal(first, Projections(groups).umap(3))
    assert not np.array_equal(first, Projections(groups, seed=1).umap(3))


def test_the_graph_is_that_of_umap(groups):
    """One graph serves all dimensions; the map is as good as UMAP's own."""
    from galadapt.evaluation.projections import _without_tensorflow

    with _without_tensorflow():
        import umap
    theirs = umap.UMAP(n_components=2, random_state=0, n_jobs=1, init="pca").fit(groups)
    ours = Projections(groups)
    np.testing.assert_allclose(ours._mapper.graph_.toarray(), theirs.graph_.toarray())
    assert apart(ours.umap(2)) > 0.5 * apart(theirs.embedding_)


def test_few_galaxies_have_a_map(groups):
    assert np.isfinite(Projections(groups[:4]).umap(2)).all()


def test_principal_components_come_in_order(groups):
    places = Projections(groups).pca(6)
    assert (np.diff(places.var(axis=0)) <= 1e-9).all()
    # All of them keep all distances.
    found = np.linalg.norm(places[0] - places[1])
    assert found == pytest.approx(np.linalg.norm(groups[0] - groups[1]))


def test_umap_comes_when_it_is_used_and_alone():
    """Importing it costs seconds, and TensorFlow, which it takes along, far more."""
    code = """
import sys
import galadapt.report.feature_space
from galadapt.evaluation import projections
assert "umap" not in sys.modules
with projections._without_tensorflow():
    import umap
assert umap.UMAP and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
