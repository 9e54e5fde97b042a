"""Evaluate one finished run: its predictions and features become metrics on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from galadapt.answers import registry
from galadapt.answers.view import WHOLE_RUN
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import read_json, read_table, write_csv, write_json
from galadapt.core.log import log
from galadapt.evaluation.features import domain_separability
from galadapt.evaluation.runs import read_identity


def evaluate_run(
    predictions: Path,
    embeddings: Path,
    run: Path,
    history: Path,
    settings: Mapping[str, Any],
    metrics: Path,
    breakdown: Path,
    more: Sequence[Path] = (),
) -> None:
    """Write the metrics of one run.

    Args:
        predictions: Parquet table as the kind of answer writes it.
        embeddings: Parquet table of `id`, `domain`, `split` and one float column per feature.
        run: The run's ``run.json``, which names the kind of answer and what is predicted.
        history: Its ``history.csv``, for the seconds per epoch.
        settings: The section ``evaluation``, as plain values.
        metrics: JSON to write: task, variant, method, seed, ``kind`` and ``rows`` of domain,
            split, item, metric and value. Rows of the run as a whole (how well the domains can be
            told apart, seconds per epoch) have domain ``both`` and item ``run``.
        breakdown: CSV to write, of the test sets: domain, item, by, level, metric, value.
        more: Further tables of the kind of answer, called by their names.

    Raises:
        ConfigError: the kind of answer has no table of such a name.
        DataError: an input is missing or is not what its name promises, or no test object has a
            label.
    """
    identity = read_identity(run)
    record = registry.record_of(read_json(run), run)
    judging = registry.judging(record["kind"])
    kind = registry.KINDS[record["kind"]]
    judgement = judging.evaluate(
        judging.read(predictions, record),
        record,
        TypeAdapter(kind.settings).validate_python(settings),
        identity["seed"],
    )
    if not judgement.tested:
        raise DataError(
            f"{predictions}: holds no labelled row of split 'test'; give labels to test objects "
            "or rerun the prediction"
        )
    whole = domain_separability(embeddings)
    # Times differ between equal trainings: only a kind that shows them keeps them.
    if any(column.metric == "seconds_per_epoch" for column in judging.columns([])):
        table = read_table(history)
        known = "seconds" in table
        whole["seconds_per_epoch"] = float(table["seconds"].median()) if known else float("nan")
    judgement.add(WHOLE_RUN[0], "test", WHOLE_RUN[1], whole)
    for path in map(Path, more):
        if path.name not in judgement.files:
            raise ConfigError(f"{path}: no table is called '{path.name}'")
        write_csv(path, judgement.files[path.name])
    write_csv(breakdown, pd.DataFrame(judgement.breakdown, columns=registry.BREAKDOWN))
    write_json(metrics, {**identity, "kind": record["kind"], "rows": judgement.rows})
    for note in judgement.notes:
        log.info("%s: %s", predictions, note)
