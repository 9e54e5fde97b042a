"""What is found out about features, on features of which it is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, rand_score

from galadapt.answers.view import Estimates
from galadapt.config.features import FeatureSpace
from galadapt.core.distances import METRICS
from galadapt.core.errors import DataError
from galadapt.evaluation.feature_space import (
    COLUMNS,
    UNCOVERED,
    Features,
    density_clusters,
    distinct,
    measure,
    purity,
    reconstruction_errors,
)
from galadapt.report.feature_space import feature_space
from galadapt.stamps.format import write_stamps

SETTINGS = FeatureSpace(umap=False, dimensions=[2, 4, 8])


def made(
    shift: float = 0.0, classes: bool = False, count: int = 120, survey: bool = True
) -> Features:
    """Eight features of as many stamps per domain; the first two give the label or the class."""
    random = np.random.default_rng(1)
    points = random.standard_normal((2 * count, 8))
    group = random.integers(0, 3, 2 * count)
    points /= points.std(axis=0)
    points[:, :2] += 6 * np.array([[0, 0], [1, 0], [0, 1]])[group] if classes else 0
    domain = np.repeat(["simulated", "survey"], count)
    points[domain == "survey", 5] += shift
    labels = group[:, None].astype(float) if classes else points[:, :2] + 0.0
    if not survey:
        keep = domain == "simulated"
        points, labels, group, domain = points[keep], labels[keep], group[keep], domain[keep]
    known = Estimates(labels, labels, group, classes)
    about = {"variant": "v", "method": "m", "starts_from": "", "label_free": True}
    ids = np.arange(len(points)) + 100
    return Features("m", ids, domain, points, known, about)


def value(features: Features, metric: str, domain: str = "both", **more: object) -> float:
    table = measure(features, SETTINGS).rows
    here = (table["metric"] == metric) & (table["domain"] == domain)
    for name, wanted in more.items():
        here &= table[name] == wanted
    (found,) = table[here]["value"]
    return float(found)


def test_the_rand_index_is_that_of_the_course():
    """17 objects in 3 clusters: 20 + 72 of the 136 pairs are judged alike."""
    classes = [*"xxxxxo", *"xooood", *"xxddd"]
    clusters = [*"111111", *"222222", *"33333"]
    assert rand_score(classes, clusters) == pytest.approx(92 / 136)
    assert adjusted_rand_score(classes, clusters) == pytest.approx(0.2429, abs=1e-4)


def test_all_components_rebuild_exactly_and_fewer_do_not():
    values = np.random.default_rng(2).standard_normal((40, 6))
    pca = PCA(svd_solver="full").fit(values)
    np.testing.assert_allclose(reconstruction_errors(pca, values, 6), 0, atol=1e-20)
    each = [reconstruction_errors(pca, values, count).mean() for count in range(1, 7)]
    assert (np.diff(each) < 0).all()
    # What is left is the variance of the components that are not used.
    left = pca.explained_variance_[2:].sum() * 39 / 40
    assert each[1] == pytest.approx(left)


@pytest.mark.parametrize("distance", METRICS)
def test_domains_that_mix_and_domains_apart(distance):
    options = {"space": "features", "distance": distance}
    assert value(made(0.0), "domain_purity", **options) == pytest.approx(0.5, abs=0.04)
    assert value(made(30.0), "domain_purity", **options) > 0.95


def test_domains_apart_are_told_by_every_measure():
    mixed, far = made(0.0), made(30.0)
    for metric, low, high in (
        ("domain_auc", 0.65, 0.99),
        ("kmeans_adjusted_rand_domains", 0.1, 0.0),
    ):
        assert value(mixed, metric) < low
        assert value(far, metric) >= high
    assert len(measure(mixed, SETTINGS).uncovered) < 30
    assert len(measure(far, SETTINGS).uncovered) == 120
    assert value(mixed, "reconstruction_auc", dimension=4) == pytest.approx(0.5, abs=0.1)
    assert value(far, "reconstruction_auc", dimension=4) > 0.9


def test_classes_that_are_there_are_found():
    features = made(classes=True)
    assert value(features, "neighbours_accuracy", "survey", distance="cosine") > 0.8
    assert value(features, "kmeans_adjusted_rand_classes") > 0.8
    assert value(features, "kmeans_clusters") == 3
    assert value(features, "neighbours_accuracy", "simulated", space="pca", dimension=2) > 0.9


def test_labels_need_the_dimensions_they_are_in():
    features = made()
    scores = [
        value(features, "neighbours_r2", "survey", space="pca", dimension=count) for count in (2, 8)
    ]
    assert scores[0] < 0.5 < scores[1]
    full = value(features, "neighbours_r2", "survey", space="features", distance="euclidean")
    assert scores[1] == pytest.approx(full)


def test_one_domain_and_no_label_leave_the_rest():
    alone = made(survey=False)
    table = measure(alone, SETTINGS).rows
    assert set(table["domain"]) == {"simulated", "both"}
    assert not table["metric"].str.contains("domain").any()
    nothing = Estimates(*np.full((2, 240, 2), np.nan), np.full(240, -1))
    blind = measure(Features(**{**vars(made()), "known": nothing}), SETTINGS).rows
    assert "domain_auc" in set(blind["metric"])
    assert not blind["metric"].str.contains("neighbours|classes").any()
    few = Features(**{**vars(alone), "points": alone.points[:10]})
    assert measure(few, SETTINGS).rows.empty


def test_purity_of_a_pattern_worked_out_by_hand():
    places = np.array([[0.0], [1.0], [10.0], [11.5]])
    labels = np.array(["a", "b", "a", "a"])
    # Nearest: b, a, a, a.
    assert purity(places, labels, "euclidean", 1) == 0.5


def test_density_finds_clusters_and_noise():
    random = np.random.default_rng(4)
    cloud = random.standard_normal((150, 2))
    places = np.concatenate([cloud, cloud + 40, [[20.0, 20.0]]])
    found = density_clusters(places)
    assert found[-1] == -1
    assert len(set(found[:150]) - {-1}) == 1
    assert (found[:150] == -1).mean() < 0.3
    # One cloud is one cluster, whatever the radius.
    assert set(density_clusters(cloud)) == {-1, 0}


@pytest.mark.parametrize(("apart", "dimensions"), [(6, 2), (5, 2), (6, 8), (8, 16)])
def test_density_separates_two_clouds_with_noise_between(apart, dimensions):
    random = np.random.default_rng(0)
    clouds = random.standard_normal((300, dimensions))
    clouds[150:, 0] += apart
    noise = random.uniform(-6, 6 + apart, (30, dimensions))
    truth = np.repeat([0, 1, -1], [150, 150, 30])
    found = density_clusters(np.concatenate([clouds, noise]))
    assert set(found) == {-1, 0, 1}
    assert adjusted_rand_score(truth, found) > 0.8
    assert (found[300:] == -1).mean() > 0.6


def test_equal_features_are_looked_at_once():
    one, other = made(), made(shift=1.0)
    again = Features(**{**vars(one), "method": "again", "points": one.points.copy()})
    assert distinct([one, other, again]) == [one, other]


# --- the stage -----------------------------------------------------------------------------------


@pytest.fixture
def stamps(make_run, tmp_path) -> dict[str, Path]:
    """Stamps of the objects whose features a run has."""
    table = pd.read_parquet(make_run() / "embeddings.parquet")
    found = {}
    for domain in ("simulated", "survey"):
        ids = np.unique(table[table["domain"] == domain]["id"])
        random = np.random.default_rng(3)
        y, x = np.indices((16, 16)) - 7.5
        images = np.exp(-(x**2 + y**2) / random.uniform(4, 20, (len(ids), 1, 1)))
        images = images + 0.05 * random.standard_normal(images.shape)
        metadata = {"pixel_scale": 0.06, "zero_point": 25.9, "band": "F160W", "domain": domain}
        rows = pd.DataFrame({"id": ids, "split": "test"})
        found[domain] = tmp_path / f"{domain}.h5"
        write_stamps(found[domain], [images.astype(np.float32)], rows, metadata)
    return found


def stage(folder: Path, runs: list[Path], stamps: dict[str, Path]) -> list[Path]:
    # Each figure has its values beside it, in a table of its name.
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    names = ("feature_maps", "feature_dimensions", "eigen_images", "uncovered")
    outputs = [folder / "feature_space.csv", folder / "uncovered.csv"]
    figures = [folder / "figures" / f"{name}.png" for name in names]
    paths = [
        [run / name for run in runs]
        for name in ("run.json", "predictions.parquet", "embeddings.parquet")
    ]
    feature_space(*paths, stamps, SETTINGS, *outputs, figures)
    return [*outputs, *figures]


@pytest.fixture
def runs(make_run) -> list[Path]:
    made = [make_run(method=name) for name in ("baseline", "dann_supervised")]
    for run, start in zip(made, (None, "baseline"), strict=True):
        content = json.loads((run / "run.json").read_text())
        content["settings"] |= {"starts_from": start, "survey_labels": start is not None}
        content["settings"] |= {"alignment": None, "domains": ["simulated"]}
        (run / "run.json").write_text(json.dumps(content))
    return made


def test_the_stage_writes_the_same_bytes_again(runs, stamps, tmp_path):
    first, again = (stage(tmp_path / name, runs, stamps) for name in "ab")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    # Without UMAP there is no row of empty panels: three panels side by side.
    height, width = imread(first[2]).shape[:2]
    assert width > 2 * height
    table = pd.read_csv(first[0], keep_default_na=False)
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["method"])) == ["pixels", "baseline", "dann_supervised"]
    adapted = table[table["method"] == "dann_supervised"].iloc[0]
    assert (adapted["starts_from"], bool(adapted["label_free"])) == ("baseline", False)
    assert list(pd.read_csv(first[1]).columns) == UNCOVERED


def test_bad_inputs_are_one_sentence_and_write_nothing(runs, stamps, tmp_path):
    path = runs[1] / "embeddings.parquet"
    table = pd.read_parquet(path)
    table.drop(columns=[name for name in table if name.startswith("f0")]).to_parquet(path)
    with pytest.raises(DataError, match=r"embeddings.parquet: holds no features; rerun the pred"):
        stage(tmp_path / "a", runs, stamps)
    table.assign(id=table["id"] + 10**6).to_parquet(path)
    swapped = [runs[1], runs[0]]
    with pytest.raises(DataError, match=r"simulated.h5: lacks the stamp of id 1\d+"):
        stage(tmp_path / "a", swapped, stamps)
    assert not list((tmp_path / "a").rglob("*.*"))
