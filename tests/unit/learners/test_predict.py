"""Testing a trained network: what stops it, and that it leaves nothing half-written then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from galadapt.config.training import Compute, Method
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.learners.predict import predict
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

Ask = Callable[..., None]


@pytest.fixture(scope="module")
def network(domains: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    train(
        task="galaxies",
        variant="tiny",
        method_name="baseline",
        method=Method(epochs=1),
        parameters=PARAMETERS,
        seed=1,
        simulated=domains["simulated"],
        survey=None,
        output=folder,
        checkpoint=folder / "checkpoint",
        start_model=None,
        compute=Compute(),
        provenance={},
    )
    return folder


@pytest.fixture
def ask(network: Path, domains: dict[str, Path], tmp_path: Path) -> Ask:
    """Test the network into a folder of the test's own; keywords replace arguments."""

    def of_network(survey: Path | None = None, **changes: Any) -> None:
        arguments = {
            "run": network / "run.json",
            "model": network / "model.keras",
            "domains": domains if survey is None else {**domains, "survey": survey},
            "predictions": tmp_path / "out" / "predictions.parquet",
            "embeddings": tmp_path / "out" / "embeddings.parquet",
            "record": tmp_path / "out" / "predictions.json",
            "compute": Compute(),
        }
        predict(**(arguments | changes))

    return of_network


def refused(ask: Ask, folder: Path, message: str, **changes: Any) -> None:
    with pytest.raises(DataError, match=message):
        ask(**changes)
    assert not (folder / "out").exists()


def test_stamps_of_another_size(ask: Ask, domains: dict[str, Path], tmp_path: Path) -> None:
    with StampSet(domains["survey"]) as stamps:
        small = stamps.images()[:, 2:-2, 2:-2]
        write_stamps(tmp_path / "small.h5", [small], stamps.table, stamps.metadata)
    message = r"small.h5: stamps of 12 px for a network of 16 px; give it the variant"
    refused(ask, tmp_path, message, survey=tmp_path / "small.h5")


def test_stamps_are_missing(ask: Ask, tmp_path: Path) -> None:
    refused(ask, tmp_path, r"absent.h5: no such", survey=tmp_path / "absent.h5")


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_no_readable_model(ask: Ask, tmp_path: Path, content: bytes | None) -> None:
    model = tmp_path / "model.keras"
    if content is not None:
        model.write_bytes(content)
    refused(ask, tmp_path, r"model.keras: not a readable Keras model .* train again", model=model)


@pytest.mark.parametrize("key", ["answer", "settings"])
def test_record_lacks_what_testing_needs(ask: Ask, network: Path, tmp_path: Path, key: str) -> None:
    record = json.loads((network / "run.json").read_text())
    del record[key]
    (tmp_path / "run.json").write_text(json.dumps(record))
    refused(ask, tmp_path, rf"run.json: lacks '{key}'; delete", run=tmp_path / "run.json")


def test_record_of_another_network(ask: Ask, network: Path, tmp_path: Path) -> None:
    record = json.loads((network / "run.json").read_text())
    record["answer"]["quantities"] = record["answer"]["quantities"][:1]
    record["answer"]["scaling"] = {"parameters": ["magnitude"], "mean": [20.0], "scale": [1.0]}
    (tmp_path / "run.json").write_text(json.dumps(record))
    message = r"model.keras: predicts 4 numbers, but .*run.json names 1;"
    refused(ask, tmp_path, message, run=tmp_path / "run.json")
