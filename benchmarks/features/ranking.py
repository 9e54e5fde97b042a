"""Do measures of the feature space rank methods as their results on the survey do?

Usage: python benchmarks/features/ranking.py results/runs/galaxies [--output CSV]

Reads all finished runs of a task; a measure of a method is the mean over its seeds. Choosing by a
measure is compared with choosing at random: the mean regret of all methods. `p` is the share of all
orders of the methods that correlate as much by chance (up to 9999 drawn ones).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata, zscore
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from galadapt.answers import registry
from galadapt.core.distances import METRICS, prepared
from galadapt.core.files import read_json
from galadapt.evaluation.feature_space import purity
from galadapt.evaluation.features import features_of_tests
from galadapt.evaluation.labels import label_free
from galadapt.evaluation.runs import Metrics

#: Distances in which the purity of 10 neighbours is measured.
PURITIES = ("euclidean", "cosine")

#: Columns of the table; of each, the smallest value is chosen.
MEASURES = [
    *("domain_auc", "reconstruction_auc", "domain_rand"),
    *(f"purity_{distance}" for distance in PURITIES),
]


#: Components that stamps are rebuilt from, and clusters, where domains are told apart by them.
_COMPONENTS, _CLUSTERS = 8, 5

#: Fewest stamps of each domain that these are measured with.
_FEWEST = 20


def reconstruction_auc(features: np.ndarray, is_survey: np.ndarray) -> float:
    """How well the reconstruction error of features separates the survey from simulations.

    Area under the ROC curve of the squared error from the first 8 principal components of every
    other simulated stamp, between the remaining ones and the survey's: 0.5 means that survey stamps
    lie where simulated ones lie.

    Args:
        features: Shape (n, n_features), finite; they are standardised.
        is_survey: Shape (n,).
    """
    values = StandardScaler().fit_transform(features) if len(features) else features
    simulated = np.flatnonzero(~is_survey)
    if min(len(simulated), int(is_survey.sum())) < _FEWEST or values.shape[1] < 2:
        return float("nan")
    components = min(_COMPONENTS, values.shape[1] - 1)
    pca = PCA(components, svd_solver="full").fit(values[simulated[::2]])
    tests = np.concatenate([simulated[1::2], np.flatnonzero(is_survey)])
    errors = ((values[tests] - pca.inverse_transform(pca.transform(values[tests]))) ** 2).sum(1)
    return float(roc_auc_score(is_survey[tests], errors))


def domain_rand(features: np.ndarray, is_survey: np.ndarray) -> float:
    """Adjusted Rand index between domains and 5 clusters (k-means) of standardised features.

    0: clusters hold both domains as by chance; as `reconstruction_auc` otherwise.
    """
    if min(int((~is_survey).sum()), int(is_survey.sum())) < _FEWEST:
        return float("nan")
    values = StandardScaler().fit_transform(features)
    clusters = KMeans(_CLUSTERS, n_init=4, random_state=0).fit_predict(values)
    return float(adjusted_rand_score(is_survey, clusters))


def of_run(folder: Path) -> dict[str, float]:
    """Return the measures of a run, and the figure that ranks methods (larger is better)."""
    metrics = Metrics(folder / "metrics.json")
    values, domain, _ = features_of_tests(folder / "embeddings.parquet")
    is_survey = domain == "survey"
    # Below what chance gives, nothing is found either.
    found = {
        "domain_auc": max(metrics.separability, 0.5),
        "reconstruction_auc": max(reconstruction_auc(values, is_survey), 0.5),
        "domain_rand": max(domain_rand(values, is_survey), 0.0),
    }
    parts = [np.flatnonzero(domain == name) for name in ("simulated", "survey")]
    rows = np.concatenate([part[: min(map(len, parts))] for part in parts])
    points = StandardScaler().fit_transform(values)[rows]
    for name in PURITIES:
        found[f"purity_{name}"] = purity(prepared(points, name), domain[rows], METRICS[name], 10)
    ranking = registry.judging(metrics.kind).RANKING
    items = metrics.items if ranking.every_item else metrics.items[:1]
    figure = float(np.mean([metrics.value("survey", item, ranking.metric) for item in items]))
    return {**found, "survey": -figure if ranking.smallest else figure}


def ranked(measured: pd.Series, figures: pd.Series) -> tuple[float, float]:
    """Return Spearman's rank correlation and how likely one of its size is by chance."""
    first, second = (zscore(rankdata(values)) for values in (measured, figures))
    found = permutation_test(
        (first,),
        lambda values, axis: np.mean(values * second, axis=axis),
        vectorized=True,
        permutation_type="pairings",
        random_state=1,
    )
    return float(found.statistic), float(found.pvalue)


def main() -> None:
    """Print the measures of each method, rank correlations and regrets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in arguments.runs.glob("*/*/seed*/metrics.json"))
    methods = {path.parent.name: read_json(path / "run.json")["settings"] for path in folders}
    rows = [
        {"variant": path.parent.parent.name, "method": path.parent.name, **of_run(path)}
        for path in folders
    ]
    table = pd.DataFrame(rows).groupby(["variant", "method"], sort=False).mean().reset_index()
    table["label_free"] = [label_free(name, methods) for name in table["method"]]
    print(table.to_string(index=False, float_format="%.3f"))
    for title, part in (("no survey label", table[table["label_free"]]), ("all", table)):
        print(f"\n{title}: {len(part)} methods")
        for name in MEASURES:
            known = part.dropna(subset=[name, "survey"])
            if len(known) < 3:
                continue
            regrets = known["survey"].max() - known["survey"]
            correlation, chance = ranked(-known[name], known["survey"])
            # Methods that read the same features are not told apart.
            chosen = regrets[known[name] == known[name].min()]
            print(
                f"{name}: rank correlation {correlation:.2f} (p {chance:.2f}), regret "
                f"{chosen.mean():.3f}; at random {regrets.mean():.3f}"
            )
    if arguments.output:
        table.to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
