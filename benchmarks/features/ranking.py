"""Do measures of the feature space rank methods as their results on the survey do?

Usage: python benchmarks/features/ranking.py results/runs/galaxies [--output CSV]

Reads all finished runs of a task; a measure of a method is the mean over its seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from galadapt.answers import registry
from galadapt.config.features import FeatureSpace
from galadapt.core.files import read_json
from galadapt.evaluation.feature_space import measure, read_features
from galadapt.evaluation.labels import label_free
from galadapt.evaluation.runs import Metrics

#: Column of the table: metric, and what else names it. The smallest value is chosen.
MEASURES = {
    "domain AUC": {"metric": "domain_auc"},
    "reconstruction AUC": {"metric": "reconstruction_auc", "dimension": 8},
    "adjusted Rand": {"metric": "kmeans_adjusted_rand_domains"},
    "purity": {"metric": "domain_purity", "distance": "euclidean"},
    "purity, cosine": {"metric": "domain_purity", "distance": "cosine"},
}


def of_run(folder: Path, settings: FeatureSpace) -> dict[str, object]:
    """Return the measures of a run, and the figure that ranks methods (larger is better)."""
    paths = [folder / f"{name}" for name in ("run.json", "predictions.parquet")]
    (features,) = read_features(
        [paths[0]], [paths[1]], [folder / "embeddings.parquet"], settings.objects
    )
    table, metrics = measure(features, settings).rows, Metrics(folder / "metrics.json")
    found: dict[str, object] = {}
    for name, wanted in MEASURES.items():
        rows = table
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        found[name] = float(rows["value"].iloc[0]) if len(rows) else np.nan
    ranking = registry.judging(metrics.kind).RANKING
    items = metrics.items if ranking.every_item else metrics.items[:1]
    figure = np.mean([metrics.value("survey", item, ranking.metric) for item in items])
    return {**found, "survey": -figure if ranking.smallest else figure}


def main() -> None:
    """Print the measures of each method, rank correlations and regrets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    settings = FeatureSpace(umap=False)
    folders = sorted(arguments.runs.glob("*/*/seed*"))
    methods = {path.parent.name: read_json(path / "run.json")["settings"] for path in folders}
    rows = [
        {"variant": path.parent.parent.name, "method": path.parent.name, **of_run(path, settings)}
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
            correlation = spearmanr(-known[name], known["survey"]).statistic
            regret = known["survey"].max() - known["survey"][known[name].idxmin()]
            print(f"{name}: rank correlation {correlation:.2f}, regret {regret:.3f}")
    if arguments.output:
        table.to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
