"""What the features of a method show of simulated and survey stamps, whatever its outputs.

Do the domains overlap, is what shall be predicted encoded, and in how many dimensions? For each
method of a variant, on the features of the test stamps of one run, and for the pixels themselves:

- principal components (PCA), fitted to half of the simulated stamps: how much of the variance they
  explain, and how well the other half and the survey's stamps are rebuilt from them; the error of
  a stamp tells whether it is an outlier;
- predictions of the nearest neighbours, against the number of dimensions of PCA and of UMAP
  (McInnes, Healy & Melville 2018), and by several distances;
- purity: the share of the nearest neighbours that are of a stamp's own domain, of as many stamps
  of each domain: 1/2 where they mix, 1 where they are apart;
- clusters (k-means; DBSCAN: Ester et al. 1996), compared with classes and with domains by the Rand
  index (Rand 1971) and the adjusted one (Hubert & Arabie 1985);
- survey stamps that no simulated stamp is near to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, r2_score, rand_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from galadapt.answers import registry
from galadapt.answers.view import Estimates
from galadapt.config.base import DOMAINS
from galadapt.config.features import FeatureSpace
from galadapt.core.distances import METRICS, prepared
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table
from galadapt.core.log import log
from galadapt.core.neighbours import Neighbourhood
from galadapt.evaluation.features import separability
from galadapt.evaluation.labels import label_free
from galadapt.evaluation.projections import Projections
from galadapt.stamps.format import StampSet

#: Columns of the table: `space` is features, pca or umap; `dimension` its dimensions; `domain`
#: what is measured on (both: all stamps).
COLUMNS = [
    *("variant", "method", "starts_from", "label_free"),
    *("space", "dimension", "distance", "domain", "metric", "value"),
]

#: Columns of the table of survey stamps that no simulation covers.
UNCOVERED = ["variant", "method", "id", "distance", "noise", "reconstruction"]

#: Percentile of the simulated stamps' rebuilding errors that is their unit.
_PERCENTILE = 99

#: Fewest stamps of a method that anything is measured with.
_FEWEST = 20

#: Neighbours within the radius of DBSCAN that make a stamp the core of a cluster.
_CORE = 10

#: Radii that are tried, as quantiles of the distances to the last of these neighbours, and the
#: share of the stamps that a second cluster has.
_RADII, _SECOND = (0.75, 0.5), 0.1

#: Share of the variance that the components explain by which outliers are judged.
_EXPLAINED = 0.95

#: What stands for a method where the pixels of the stamps are looked at.
PIXELS = "pixels"


@dataclass(frozen=True)
class Features:
    """The features of one method's test stamps, and what is known of these."""

    method: str
    ids: np.ndarray  #: (n,)
    domain: np.ndarray  #: (n,)
    points: np.ndarray  #: (n, f), standardised
    known: Estimates  #: of the same stamps
    about: Mapping[str, Any]  #: further columns of the table

    @property
    def is_survey(self) -> np.ndarray:
        """Tell which stamps are the survey's, (n,) bool."""
        return self.domain == "survey"

    @property
    def domains(self) -> list[str]:
        """Domains that have stamps."""
        return [name for name in DOMAINS if (self.domain == name).any()]


@dataclass(frozen=True)
class Measured:
    """What was found out about one method."""

    features: Features
    rows: pd.DataFrame  #: `COLUMNS`
    uncovered: pd.DataFrame  #: `UNCOVERED`, the farthest first
    maps: Mapping[str, np.ndarray]  #: places in two dimensions (n, 2) by pca and umap
    auc: float  #: how well a linear classifier tells the domains apart


def read_features(
    runs: Sequence[Path], predictions: Sequence[Path], embeddings: Sequence[Path], objects: int
) -> list[Features]:
    """Read the features of several methods of one variant.

    Args:
        runs, predictions, embeddings: run.json and both tables of a run of each method.
        objects: Stamps of each domain to use, at most.

    Raises:
        DataError: a table is missing or broken, or has no finite features.
    """
    records = [read_json(path) for path in runs]
    settings = {str(record["method"]): record["settings"] for record in records}
    found = []
    for run, record, labels, features in zip(runs, records, predictions, embeddings, strict=True):
        table = read_table(features)
        names = [name for name in map(str, table) if name[0] == "f" and name[1:].isdigit()]
        if not names or not {"id", "domain", "split"} <= set(table):
            raise DataError(f"{features}: holds no features; rerun the prediction")
        table = table[table["split"] == "test"]
        table = table[np.isfinite(table[names].to_numpy(np.float64)).all(axis=1)]
        table = table.groupby("domain", sort=False).head(objects)
        if len(table) < 2:
            raise DataError(
                f"{features}: {len(table)} test stamps have finite features; give larger test sets"
            )
        answer = registry.record_of(record, run)
        judging = registry.judging(answer["kind"])
        keys = ["id", "domain", "split"]
        joined = table[keys].merge(judging.read(labels, answer), "left", keys, validate="1:1")
        method = str(record["method"])
        found.append(
            Features(
                method,
                table["id"].to_numpy(),
                table["domain"].to_numpy().astype(str),
                StandardScaler().fit_transform(table[names].to_numpy(np.float64)),
                judging.estimates(joined, answer),
                {
                    "variant": str(record["variant"]),
                    "method": method,
                    "starts_from": record["settings"].get("starts_from") or "",
                    "label_free": _label_free(method, settings),
                },
            )
        )
    return found


def distinct(found: Sequence[Features]) -> list[Features]:
    """Leave out methods that read the same features as an earlier one: it stands for them all."""
    kept: list[Features] = []
    for one in found:
        same = (other for other in kept if np.array_equal(other.points, one.points))
        if earlier := next(same, None):
            log.info(
                f"{one.method}: uses the features of {earlier.method}; only these are analysed"
            )
        else:
            kept.append(one)
    return kept


def pixels(first: Features, stamps: Mapping[str, StampSet]) -> tuple[Features, np.ndarray]:
    """Return the pixels of the stamps whose features are `first` as features, and the stamps.

    Pixels keep their scatter: those without light would be noise of the same size as the others.

    Raises:
        DataError: a stamp is missing in its set.
    """
    images = []
    for domain in first.domains:
        table = stamps[domain].table
        places = pd.Series(np.arange(len(table)), table["id"].to_numpy())
        wanted = places.reindex(first.ids[first.domain == domain])
        if wanted.isna().any():
            raise DataError(
                f"{stamps[domain].paths[0]}: lacks the stamp of id {wanted.index[wanted.isna()][0]}"
                ", whose features are known; rerun the prediction"
            )
        images.append(stamps[domain].inputs(wanted.to_numpy(int)))
    joined = np.concatenate(images)
    flat = joined.reshape(len(joined), -1).astype(np.float64)
    points = (flat - flat.mean(axis=0)) / max(float(flat.std()), 1e-30)
    # Back from domain by domain to the order of the features.
    order = np.concatenate([np.flatnonzero(first.domain == name) for name in first.domains])
    back = np.argsort(order)
    about = {**first.about, "method": PIXELS, "starts_from": "", "label_free": True}
    return replace(first, method=PIXELS, points=points[back], about=about), joined[back]


def _label_free(method: str, settings: Mapping[str, Any]) -> bool:
    try:
        return label_free(method, settings)
    except (DataError, KeyError):
        # What it builds on is not trained on this variant.
        return False


def measure(features: Features, settings: FeatureSpace) -> Measured:
    """Measure the features of one method; nothing where there are too few stamps."""
    if len(features.points) < _FEWEST:
        log.info(f"{features.method}: {len(features.points)} test stamps are too few to analyse")
        nothing = pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=UNCOVERED)
        return Measured(features, *nothing, {}, math.nan)
    rows = [*_components(features, settings), *_distances(features, settings)]
    maps = {}
    projections = Projections(features.points)
    spaces = {"pca": projections.pca} | ({"umap": projections.umap} if settings.umap else {})
    for space, project in spaces.items():
        for dimension in _possible(features, [2, *settings.dimensions]):
            places = project(dimension)
            if dimension == 2:
                maps[space] = places
            if dimension in settings.dimensions:
                scores = _neighbours(features, places, "euclidean", settings.neighbours)
                rows += _named(scores, space, dimension, "euclidean")
    rows += [*_clusters(features), *_purity(features, settings)]
    auc = math.nan
    if len(features.domains) == len(DOMAINS):
        auc, _ = separability(features.points, features.is_survey)
        width = features.points.shape[1]
        rows += _named([("both", "domain_auc", auc)], "features", width, "")
    table = pd.DataFrame(rows).assign(**features.about)[COLUMNS]
    return Measured(features, table, _uncovered(features), maps, auc)


Score = tuple[str, str, float]


def _named(
    scores: Sequence[Score], space: str, dimension: int, distance: str
) -> list[dict[str, Any]]:
    return [
        {
            **{"space": space, "dimension": dimension, "distance": distance},
            **{"domain": domain, "metric": metric, "value": value},
        }
        for domain, metric, value in scores
    ]


def _possible(features: Features, dimensions: Sequence[int]) -> list[int]:
    """Return the dimensions that there are, once each."""
    # The start of UMAP needs fewer dimensions than stamps.
    most = min(features.points.shape[1], len(features.points) - 2)
    return sorted({dimension for dimension in dimensions if dimension <= most})


def halves(features: Features) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the rows to learn from, and those to test on, by domain.

    Learned is from every other stamp of the simulations, or of the only domain there is.
    """
    first = features.domains[0]
    own = np.flatnonzero(features.domain == first)
    tests = {first: own[1::2]}
    for domain in features.domains[1:]:
        tests[domain] = np.flatnonzero(features.domain == domain)
    return own[::2], tests


def _components(features: Features, settings: FeatureSpace) -> Iterator[dict[str, Any]]:
    """Explained variance and errors of rebuilding, over the variance of the half learned from."""
    learned, tests = halves(features)
    most = min(len(learned), features.points.shape[1])
    pca = PCA(most, svd_solver="full").fit(features.points[learned])
    shares = np.cumsum(pca.explained_variance_ratio_)
    variance = features.points[learned].var(axis=0).sum()
    for count in [number for number in settings.dimensions if number <= most]:
        scores: list[Score] = [(features.domains[0], "explained_variance", shares[count - 1])]
        errors = {
            d: reconstruction_errors(pca, features.points[r], count) for d, r in tests.items()
        }
        scores += [(d, "reconstruction_error", e.mean() / variance) for d, e in errors.items()]
        # Where nothing is left, the errors are those of the arithmetic.
        if len(errors) == len(DOMAINS) and shares[count - 1] < 1 - 1e-6:
            simulated, survey = errors.values()
            auc = roc_auc_score(
                np.repeat([0, 1], [len(simulated), len(survey)]),
                np.concatenate([simulated, survey]),
            )
            scores.append(("both", "reconstruction_auc", float(auc)))
        yield from _named(scores, "pca", count, "")


def reconstruction_errors(pca: PCA, values: np.ndarray, components: int) -> np.ndarray:
    """Squared distances (n,) of values (n, f) from what the first components make of them."""
    axes = pca.components_[:components]
    centred = values - pca.mean_
    return ((centred - centred @ axes.T @ axes) ** 2).sum(axis=1)


def _neighbours(
    features: Features, places: np.ndarray, distance: str, neighbours: int
) -> list[Score]:
    """Accuracy of classes, or share of the labels' variance (R²), that neighbours predict."""
    learned, tests = halves(features)
    known, classes = features.known.groups >= 0, features.known.classes
    learned = learned[known[learned]]
    if len(learned) < neighbours:
        return []
    values = prepared(places, distance)
    kind = KNeighborsClassifier if classes else KNeighborsRegressor
    targets = features.known.groups if classes else _numbers(features.known)
    estimator = kind(neighbours, weights="distance", metric=METRICS[distance])
    with np.errstate(invalid="ignore"):
        estimator.fit(values[learned], targets[learned])
    found: list[Score] = []
    for domain, rows in tests.items():
        rows = rows[known[rows]]
        if len(rows) < 2:
            continue
        predicted = estimator.predict(values[rows])
        if classes:
            name, score = "neighbours_accuracy", (predicted == targets[rows]).mean()
        else:
            name = "neighbours_r2"
            score = r2_score(targets[rows], predicted, multioutput="variance_weighted")
        found.append((domain, name, float(score)))
    return found


def _numbers(known: Estimates) -> np.ndarray:
    """Return true values (n, p), in units of their scatter where they have different ones."""
    # What nobody was asked about has no share.
    values, here = np.nan_to_num(known.true), known.groups >= 0
    if known.one_unit:
        return values
    width = np.maximum(values[here].std(axis=0), 1e-9)
    return (values - values[here].mean(axis=0)) / width


def _distances(features: Features, settings: FeatureSpace) -> Iterator[dict[str, Any]]:
    """Scores of neighbours among all features, by every distance."""
    width = features.points.shape[1]
    for distance in METRICS:
        scores = _neighbours(features, features.points, distance, settings.neighbours)
        yield from _named(scores, "features", width, distance)


def _purity(features: Features, settings: FeatureSpace) -> Iterator[dict[str, Any]]:
    """Share of the neighbours of the own domain, of as many stamps of each."""
    if len(features.domains) < len(DOMAINS):
        return
    of_each = [np.flatnonzero(features.domain == domain) for domain in DOMAINS]
    rows = np.concatenate([one[: min(map(len, of_each))] for one in of_each])
    for distance in METRICS:
        values = prepared(features.points[rows], distance)
        value = purity(values, features.domain[rows], METRICS[distance], settings.neighbours)
        width = values.shape[1]
        yield from _named([("both", "domain_purity", value)], "features", width, distance)


def purity(values: np.ndarray, labels: np.ndarray, metric: str, neighbours: int) -> float:
    """Mean share of the nearest neighbours that have a row's own label; rows as often per label."""
    neighbours = min(neighbours, len(values) - 1)
    near = NearestNeighbors(n_neighbors=neighbours, metric=metric).fit(values)
    found = near.kneighbors(return_distance=False)
    return float((labels[found] == labels[:, None]).mean())


def _clusters(features: Features) -> list[dict[str, Any]]:
    """Rand indices of two ways to cluster, against groups and domains."""
    values, groups = features.points, features.known.groups
    known = groups >= 0
    count = max(len(np.unique(groups[known])), 2)
    clusters = {
        "kmeans": KMeans(count, n_init=4, random_state=0).fit_predict(values),
        "dbscan": density_clusters(values),
    }
    scores: list[Score] = []
    for name, found in clusters.items():
        scores.append(("both", f"{name}_clusters", float(len(set(found) - {-1}))))
        pairs = [("classes", groups[known], found[known])] if known.sum() > 1 else []
        if len(features.domains) == len(DOMAINS):
            pairs.append(("domains", features.is_survey, found))
        for against, truth, cluster in pairs:
            for kind, function in (("rand", rand_score), ("adjusted_rand", adjusted_rand_score)):
                scores.append(("both", f"{name}_{kind}_{against}", float(function(truth, cluster))))
    for domain in features.domains:
        noise = (clusters["dbscan"] == -1)[features.domain == domain]
        scores.append((domain, "dbscan_noise", float(noise.mean())))
    return _named(scores, "features", values.shape[1], "euclidean")


def density_clusters(values: np.ndarray) -> np.ndarray:
    """Number the clusters of DBSCAN, (n,); -1 is noise.

    The radius is the largest of `_RADII` that finds a second large cluster (`_SECOND`), else the
    largest: a smaller one leaves more stamps outside.
    """
    near = NearestNeighbors(n_neighbors=min(_CORE, len(values) - 1)).fit(values)
    distances = near.kneighbors()[0][:, -1]
    found = []
    for quantile in _RADII:
        radius = max(float(np.quantile(distances, quantile)), 1e-9)
        found.append(DBSCAN(eps=radius, min_samples=_CORE).fit_predict(values))
        sizes = np.sort(np.bincount(found[-1][found[-1] >= 0]))
        if len(sizes) > 1 and sizes[-2] >= _SECOND * len(values):
            return found[-1]
    return found[0]


def _uncovered(features: Features) -> pd.DataFrame:
    """List survey stamps far from all simulated ones, or in no cluster with any of them."""
    if len(features.domains) < len(DOMAINS):
        return pd.DataFrame(columns=UNCOVERED)
    values, survey = features.points, features.is_survey
    distance = Neighbourhood(values[~survey]).distance(values[survey])
    clusters = density_clusters(values)
    covered = set(clusters[~survey]) - {-1}
    noise = ~np.isin(clusters[survey], sorted(covered))
    learned, tests = halves(features)
    pca = PCA(svd_solver="full").fit(values[learned])
    shares = np.cumsum(pca.explained_variance_ratio_)
    count = min(int(np.searchsorted(shares, _EXPLAINED)) + 1, len(shares))
    usual = reconstruction_errors(pca, values[tests[DOMAINS[0]]], count)
    errors = reconstruction_errors(pca, values[survey], count)
    table = pd.DataFrame(
        {
            "id": features.ids[survey],
            "distance": distance,
            "noise": noise,
            "reconstruction": errors / max(float(np.percentile(usual, _PERCENTILE)), 1e-9),
        }
    ).assign(**{name: features.about[name] for name in ("variant", "method")})
    # Where all stamps are noise, noise is no criterion; the distance and the error are.
    far = (table["distance"] > 1) | (table["reconstruction"] > 1)
    if noise.mean() < 0.5:
        far |= table["noise"]
    chosen = table[far].sort_values("distance", ascending=False, kind="stable")
    return chosen[UNCOVERED].reset_index(drop=True)
