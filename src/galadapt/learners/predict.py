"""Predictions of a finished training."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.config.base import DOMAINS
from galadapt.config.training import Compute
from galadapt.core.files import write_json, write_parquet
from galadapt.core.provenance import file_digest
from galadapt.learners import run_folder
from galadapt.learners.data import chosen_rows, require_alike
from galadapt.stamps.format import StampSet

#: Rows per domain of embeddings.parquet.
EMBEDDED = 1000

#: Stamps in memory at once.
_AT_ONCE = 4096

#: Splits that are predicted.
SPLITS = ("test", "validation")


def predict(
    run: Path,
    domains: Mapping[str, Path],
    predictions: Path,
    embeddings: Path,
    record: Path,
    compute: Compute,
) -> None:
    """Predict the test and validation stamps of all domains there are.

    Apart from training, so that another survey is predicted by every learner but trains again only
    those that learned from it.

    Args:
        run: The training's run.json.
        domains: Stamp set of each domain there is, of the variant of the training.
        predictions: Parquet table to write: id, domain, split and the columns of the answer.
        embeddings: Parquet table to write: id, domain, split and, for the first test stamps of
            each domain, the learner's features (f000, f001, ...) as float32.
        record: JSON to write last: ``datasets``, the digest of each domain's stamp set.
        compute: Backend, threads and GPUs.

    Raises:
        ConfigError: the backend is not installed.
        DataError: an input is missing or broken, or stamps and learner do not fit.
        RunError: this process already runs another backend.
    """
    loaded = run_folder.load(run, compute)
    with contextlib.ExitStack() as opened:
        sets = {
            domain: opened.enter_context(StampSet(domains[domain]))
            for domain in DOMAINS
            if domain in domains
        }
        channels = loaded.record.get("stamps", {}).get("channels")
        for stamps in sets.values():
            require_alike(stamps, loaded.learner.side, channels, "a learner")
        predicted = _predictions(loaded, sets)
        features = _embeddings(loaded, sets)
    write_parquet(predictions, predicted)
    write_parquet(embeddings, features)
    write_json(record, {"datasets": {name: file_digest(domains[name]) for name in sets}})


def _about(stamps: StampSet, rows: np.ndarray, domain: str, split: str) -> pd.DataFrame:
    ids = stamps.table["id"].to_numpy()[rows]
    return pd.DataFrame({"id": ids, "domain": domain, "split": split})


def _predictions(run: run_folder.Run, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    tables = []
    for domain, stamps in sets.items():
        for split in SPLITS:
            rows = chosen_rows(stamps, split, run.split_column, run.magnitude_limit)
            for some in np.array_split(rows, max(1, -(-len(rows) // _AT_ONCE))):
                outputs = run.outputs(stamps.inputs(some))
                columns = pd.DataFrame(run.answer.columns(outputs, stamps, some))
                tables.append(pd.concat([_about(stamps, some, domain, split), columns], axis=1))
    return pd.concat(tables, ignore_index=True)


def _embeddings(run: run_folder.Run, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    tables = []
    for domain, stamps in sets.items():
        rows = chosen_rows(stamps, "test", run.split_column, run.magnitude_limit)[:EMBEDDED]
        features = feature_table(run.features(stamps.inputs(rows)))
        tables.append(pd.concat([_about(stamps, rows, domain, "test"), features], axis=1))
    return pd.concat(tables, ignore_index=True)


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Name the columns of features in a table."""
    return [name for name in map(str, table) if name[:1] == "f" and name[1:].isdigit()]


def feature_table(features: np.ndarray) -> pd.DataFrame:
    """Return features (n, f) as columns f000, f001, ..., float32."""
    names = [f"f{k:03d}" for k in range(features.shape[1])]
    return pd.DataFrame(features.astype(np.float32), columns=names)
