"""Maps of features: neighbours stay together, and equal features give equal maps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from galadapt.evaluation.projections import neighbourhoods, principal_components, thinned


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    """Two groups of 40 in 6 dimensions, apart in one of them only."""
    features = np.random.default_rng(5).standard_normal((80, 6)) * [100, 1, 1, 1, 1, 1]
    features[40:, 3] += 40
    return features


def apart(places: np.ndarray) -> float:
    """Distance of the groups' means over their mean width."""
    first, second = places[:40], places[40:]
    width = (first.std(axis=0) + second.std(axis=0)).mean()
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) / width)


def test_groups_stay_apart_whatever_the_scales(groups):
    near = neighbourhoods(groups)
    assert near.shape == (80, 2)
    assert apart(near) > 2
    mixed = groups.copy()
    mixed[40:, 3] -= 40
    assert apart(neighbourhoods(mixed)) < 1


def test_the_same_features_give_the_same_map(groups):
    first = neighbourhoods(groups)
    assert np.array_equal(first, neighbourhoods(groups))
    assert not np.array_equal(first, neighbourhoods(groups, seed=1))


def test_few_galaxies_have_a_map(groups):
    assert np.isfinite(neighbourhoods(groups[:3])).all()


def test_principal_components_are_of_standardised_features(groups):
    places = principal_components(groups)
    scaled = principal_components(groups * [1e-3, 1, 5, 1, 1, 1])
    assert np.allclose(np.abs(places), np.abs(scaled))
    assert places.var(axis=0)[0] >= places.var(axis=0)[1]


def test_thinning_keeps_some_of_each_domain():
    domains = np.array(["simulated"] * 900 + ["survey"] * 30)
    rows = thinned(domains, most=100)
    assert (domains[rows] == "simulated").sum() == 100
    assert (domains[rows] == "survey").sum() == 30
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, thinned(domains, most=100))
    assert not np.array_equal(rows, thinned(domains, most=100, seed=1))
    assert len(thinned(np.zeros(0, str))) == 0


def test_umap_comes_when_it_is_used_and_alone():
    """Importing it costs seconds, and TensorFlow, which it takes along, far more."""
    code = """
import sys
import galadapt.report.comparison
from galadapt.evaluation import projections
assert "umap" not in sys.modules
with projections._without_tensorflow():
    import umap
assert umap.UMAP and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
