"""What a trained network says of stamps it was not trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from galadapt.config import DOMAINS
from galadapt.errors import DataError
from galadapt.files import read_json, write_json, write_parquet
from galadapt.models import networks
from galadapt.models.targets import TargetScaler
from galadapt.provenance import file_digest
from galadapt.stamps import StampSet
from galadapt.training import inference
from galadapt.training.data import read_examples

#: Rows per domain of embeddings.parquet.
EMBEDDED = 1000


@dataclass(frozen=True)
class Network:
    """A trained regressor and what its numbers mean.

    Attributes:
        regressor: From stamps (n, side, side, 1) to standardised parameters.
        scaler: Of its targets.
        max_magnitude: Fainter stamps are left out of testing as of training [mag].
    """

    regressor: keras.Model
    scaler: TargetScaler
    max_magnitude: float | None


def read_network(run: Path, model: Path) -> Network:
    """Read a network from its run folder.

    Raises:
        DataError: a file is missing or broken, or the two do not belong together.
    """
    record = read_json(run)
    try:
        scaler = TargetScaler.from_dict(record["target_scaling"])
        max_magnitude = record["settings"]["max_magnitude"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{run}: lacks {error}; delete its run folder and train again") from None
    regressor = inference.load(model)
    if regressor.output_shape[-1] != len(scaler.parameters):
        raise DataError(
            f"{model}: predicts {regressor.output_shape[-1]} numbers, but {run} names "
            f"{len(scaler.parameters)} parameters; delete its run folder and train again"
        )
    return Network(regressor, scaler, max_magnitude)


def write(
    network: Network, paths: Mapping[str, Path], predictions: Path, embeddings: Path, record: Path
) -> None:
    """Write the tables of `galadapt.training.predict.predict`.

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
        sets = {domain: opened.enter_context(StampSet(paths[domain])) for domain in DOMAINS}
        side = network.regressor.input_shape[1]
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
    write_json(record, {"datasets": {name: file_digest(paths[name]) for name in DOMAINS}})


def _predictions(network: Network, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    scaler = network.scaler
    tables = []
    for domain in DOMAINS:
        for split in ("test", "validation"):
            part = read_examples(
                sets[domain], split, scaler.parameters, max_magnitude=network.max_magnitude
            )
            predicted = scaler.inverse(inference.predict(network.regressor, part.images))
            table = pd.DataFrame({"id": part.ids, "domain": domain, "split": split})
            for column, name in enumerate(scaler.parameters):
                table[f"{name}_true"] = part.labels[:, column]
                table[f"{name}_predicted"] = predicted[:, column]
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _embeddings(network: Network, sets: Mapping[str, StampSet]) -> pd.DataFrame:
    extractor = networks.feature_extractor(network.regressor)
    tables = []
    for domain in DOMAINS:
        part = read_examples(
            sets[domain],
            "test",
            network.scaler.parameters,
            max_magnitude=network.max_magnitude,
            at_most=EMBEDDED,
        )
        features = inference.predict(extractor, part.images).astype(np.float32)
        table = pd.DataFrame(features, columns=[f"f{k:03d}" for k in range(features.shape[1])])
        about = pd.DataFrame({"id": part.ids, "domain": domain, "split": "test"})
        tables.append(pd.concat([about, table], axis=1))
    return pd.concat(tables, ignore_index=True)
