"""Evaluate one finished run: its predictions and features become metrics on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.answers.numbers.metrics import (
    check_predictions,
    columns,
    labelled,
    magnitude_bins,
    r2_interval,
    table_metrics,
)
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_json
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.features import domain_separability
from galadapt.evaluation.runs import read_identity
from galadapt.tasks.galaxies.settings import Evaluation


def evaluate_run(
    predictions: Path,
    embeddings: Path,
    run: Path,
    evaluation: Evaluation,
    metrics: Path,
    by_magnitude: Path,
) -> None:
    """Write the metrics of one run.

    Args:
        predictions: Parquet table of `galadapt.answers.numbers.metrics`; galaxies without labels
            count nowhere, and a domain without any label has no metrics.
        embeddings: Parquet table of `id`, `domain`, `split` and one float column per feature.
        run: The run's ``run.json``; its task, variant, method and seed name the metrics.
        evaluation: Bins, outlier limits, valid ranges, bootstrap samples.
        metrics: JSON to write. ``domains.<domain>.<split>.<parameter>`` holds the metrics of
            `parameter_metrics`, for the test split also ``r2_low`` and ``r2_high``, the bootstrap
            68 % interval; ``separability`` says how different the domains look to the network.
        by_magnitude: CSV to write: the test split's metrics per domain, parameter and bin of
            true magnitude.

    Raises:
        DataError: an input is missing or is not what its name promises.
    """
    identity = read_identity(run)
    everything = read_table(predictions)
    check_predictions(everything, str(predictions))
    table = labelled(everything)
    if len(table) < len(everything):
        unlabelled = len(everything) - len(table)
        log.info(f"{predictions}: {unlabelled} galaxies without labels are left out of the metrics")
    limits = {name: (r.low, r.high) for name, r in evaluation.valid.items()}
    domains: dict[str, Any] = {}
    bins: list[dict[str, Any]] = []
    for domain in DOMAINS:
        for split in ("test", "validation"):
            rows = table[(table["domain"] == domain) & (table["split"] == split)]
            if rows.empty:
                continue
            found: dict[str, dict[str, Any]] = table_metrics(rows, evaluation.outlier, limits)
            if split == "test":
                for name in PARAMETERS:
                    low, high = r2_interval(
                        *columns(rows, name), evaluation.bootstrap, identity["seed"]
                    )
                    found[name] |= {"r2_low": low, "r2_high": high}
                bins += _bins(rows, domain, evaluation, limits)
            domains.setdefault(domain, {})[split] = found
    if not any("test" in splits for splits in domains.values()):
        raise DataError(f"{predictions}: holds no row of split 'test'; rerun the prediction")
    write_csv(by_magnitude, pd.DataFrame(bins))
    write_json(
        metrics,
        {
            **identity,
            "domains": domains,
            "separability": domain_separability(embeddings),
        },
    )
    failed = sum(
        int(values["failed"])
        for splits in domains.values()
        for name, values in splits.get("test", {}).items()
        if name == PARAMETERS[0]
    )
    if failed:
        log.info(
            f"{predictions}: {failed} test galaxies have no finite prediction (counted as failed)"
        )


def _bins(
    rows: pd.DataFrame,
    domain: str,
    evaluation: Evaluation,
    limits: dict[str, tuple[float, float]],
) -> list[dict[str, Any]]:
    found = []
    counted = 0
    for low, high, inside in magnitude_bins(rows, evaluation.magnitude_bins):
        counted += len(inside)
        for name, values in table_metrics(inside, evaluation.outlier, limits).items():
            found.append(
                {
                    "domain": domain,
                    "parameter": name,
                    "magnitude_low": low,
                    "magnitude_high": high,
                    **values,
                }
            )
    if counted < len(rows):
        log.info(
            f"{len(rows) - counted} of {len(rows)} {domain} test galaxies lie outside "
            "evaluation.magnitude_bins and are in no bin"
        )
    return found
