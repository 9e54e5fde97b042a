"""What a trained network says of stamps it was not trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from galadapt.answers import registry as targets
from galadapt.answers.base import Answer
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, write_json, write_parquet
from galadapt.core.provenance import file_digest
from galadapt.learners.keras import networks
from galadapt.learners.keras.data import chosen_rows
from galadapt.learners.orientations import mean_output
from galadapt.stamps.format import StampSet

#: Rows per domain of embeddings.parquet.
EMBEDDED = 1000

#: Stamps in memory at once.
_AT_ONCE = 4096


#: Splits a network is tested on.
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Network:
    """A trained network and what its numbers mean.

    Attributes:
        model: From stamps (n, side, side, 1) to what it says of them.
        target: What that means.
        magnitude_limit: Fainter stamps are left out of testing as of training [mag].
        split_column: Column of the stamp sets that says which stamps are for testing.
        averages: Whether it answers with its mean over a stamp's eight orientations.
    """

    model: keras.Model
    target: Answer
    magnitude_limit: float | None
    split_column: str
    averages: bool = False

    def ask(self, model: keras.Model, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Return what `model`, this network or a part of it, says of some stamps."""
        images = stamps.images(rows)[..., None]
        if not self.averages:
            return networks.predict(model, images)
        said: np.ndarray = mean_output(partial(networks.predict, model), images)
        return said


def read_network(run: Path, model: Path) -> Network:
    """Read a network from its run folder.

    Raises:
        DataError: a file is missing or broken, or the two do not belong together.
    """
    record = read_json(run)
    try:
        settings = record["settings"]
        magnitude_limit = settings.get("max_magnitude")
    except (KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{run}: lacks {error}; delete its run folder and train again") from None
    target = targets.of_run(record, run)
    network = networks.load(model)
    if network.output_shape[-1] != target.outputs:
        raise DataError(
            f"{model}: predicts {network.output_shape[-1]} numbers, but {run} names "
            f"{target.outputs}; delete its run folder and train again"
        )
    column = "split_by_stamp" if settings.get("split") == "stamp" else "split"
    averages = bool(settings.get("average_orientations", False))
    return Network(network, target, magnitude_limit, column, averages)


def write(
    network: Network, paths: Mapping[str, Path], predictions: Path, embeddings: Path, record: Path
) -> None:
    """Write the tables of `galadapt.learners.predict.predict`.

    Args:
        network: Trained.
        paths: Stamp set of each domain.
        predictions: Parquet table to write.
        embeddings: Parquet table to write.
        record: JSON to write.

    Raises:
        DataError: a stamp set is missing, broken or of another size than the network's stamps.
    """
    with contextlib.ExitStack() as opened:
        sets = {
            domain: opened.enter_context(StampSet(paths[domain]))
            for domain in DOMAINS
            if domain in paths
        }
        side = network.model.input_shape[1]
        for stamps in sets.values():
            if stamps.side != side:
                raise DataError(
                    f"{stamps.paths[0]}: stamps of {stamps.side} px for a network of {side} px; "
                    "give it the variant it was trained on"
                )
        predicted = _predictions(network, sets)
        features = _embeddings(network, sets)
    write_parquet(predictions, predicted)
    write_parquet(embeddings, features)
    write_json(record, {"datasets": {name: file_digest(paths[name]) for name in sets}})


def _rows(network: Network, stamps: StampSet, split: str) -> np.ndarray:
    return chosen_rows(stamps, split, network.split_column, network.magnitude_limit)


def _about(stamps: StampSet, rows: np.ndarray, domain: str, split: str) -> pd.DataFrame:
    ids = stamps.table["id"].to_numpy()[rows]
    return pd.DataFrame({"id": ids, "domain": domain, "split": split})


def _predictions(network: Network, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    tables = []
    for domain, stamps in sets.items():
        for split in SPLITS:
            rows = _rows(network, stamps, split)
            for some in np.array_split(rows, max(1, -(-len(rows) // _AT_ONCE))):
                said = network.ask(network.model, stamps, some)
                answers = network.target.columns(said, stamps, some)
                about = _about(stamps, some, domain, split)
                tables.append(pd.concat([about, pd.DataFrame(answers)], axis=1))
    return pd.concat(tables, ignore_index=True)


def _embeddings(network: Network, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    extractor = networks.feature_extractor(network.model)
    tables = []
    for domain, stamps in sets.items():
        rows = _rows(network, stamps, "test")[:EMBEDDED]
        features = network.ask(extractor, stamps, rows).astype(np.float32)
        table = pd.DataFrame(features, columns=[f"f{k:03d}" for k in range(features.shape[1])])
        tables.append(pd.concat([_about(stamps, rows, domain, "test"), table], axis=1))
    return pd.concat(tables, ignore_index=True)
