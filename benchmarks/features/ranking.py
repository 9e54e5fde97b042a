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
from sklearn.preprocessing import StandardScaler

from galadapt.answers import registry
from galadapt.answers.view import WHOLE_RUN
from galadapt.core.distances import METRICS, prepared
from galadapt.core.files import read_json
from galadapt.evaluation.candidates import OF_FEATURES
from galadapt.evaluation.feature_space import purity
from galadapt.evaluation.features import features_of_tests
from galadapt.evaluation.labels import label_free
from galadapt.evaluation.runs import Metrics

#: Distances in which the purity of 10 neighbours is measured.
PURITIES = ("euclidean", "cosine")

#: Columns of the table; of each, the smallest value is chosen.
MEASURES = [*OF_FEATURES, *(f"purity_{distance}" for distance in PURITIES)]


def of_run(folder: Path) -> dict[str, float]:
    """Return the measures of a run, and the figure that ranks methods (larger is better)."""
    metrics = Metrics(folder / "metrics.json")
    found = {
        name: max(metrics.value(*WHOLE_RUN, metric), least)
        for name, (metric, least) in OF_FEATURES.items()
    }
    values, domain, _ = features_of_tests(folder / "embeddings.parquet")
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
