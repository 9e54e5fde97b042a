"""Testing a trained network: what stops it, and that it leaves nothing half-written then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainings import job_in, predict_into

from galadapt.config.training import Method
from galadapt.core.errors import DataError
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

Ask = Callable[..., None]


@pytest.fixture(scope="module")
def network(domains: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    given = {"simulated": domains["simulated"]}
    train(job_in(folder, Method(epochs=1), given))
    return folder / "run"


@pytest.fixture
def ask(network: Path, domains: dict[str, Path], tmp_path: Path) -> Ask:
    """Predict with a copy of the network, changed or not, into a folder of the test's own."""

    def of_network(
        survey: Path | None = None, model: bytes | None = None, record: Any = None
    ) -> None:
        run = tmp_path / "run"
        shutil.copytree(network, run)
        if model is not None:
            (run / "model" / "network.keras").write_bytes(model)
        if record is not None:
            (run / "run.json").write_text(json.dumps(record))
        given = domains if survey is None else {**domains, "survey": survey}
        predict_into(run, given, tmp_path / "out")

    return of_network


def refused(ask: Ask, folder: Path, message: str, **changes: Any) -> None:
    with pytest.raises(DataError, match=message):
        ask(**changes)
    assert not (folder / "out").exists()


def test_stamps_of_another_size(ask: Ask, domains: dict[str, Path], tmp_path: Path) -> None:
    with StampSet(domains["survey"]) as stamps:
        small = stamps.images()[:, 2:-2, 2:-2]
        write_stamps(tmp_path / "small.h5", [small], stamps.table, stamps.metadata)
    message = r"small.h5: stamps of 12 px beside a learner of 16 px; give both the same variant"
    refused(ask, tmp_path, message, survey=tmp_path / "small.h5")


def test_stamps_are_missing(ask: Ask, tmp_path: Path) -> None:
    refused(ask, tmp_path, r"absent.h5: no such", survey=tmp_path / "absent.h5")


def test_no_readable_model(ask: Ask, tmp_path: Path) -> None:
    message = r"network.keras: not a readable Keras model .* train again"
    refused(ask, tmp_path, message, model=b"not a model")


@pytest.mark.parametrize("key", ["answer", "settings", "weights"])
def test_record_lacks_what_testing_needs(ask: Ask, network: Path, tmp_path: Path, key: str) -> None:
    record = json.loads((network / "run.json").read_text())
    del record[key]
    refused(ask, tmp_path, rf"run.json: lacks the key '{key}'; delete", record=record)


def test_run_folder_of_the_version_before(ask: Ask, network: Path, tmp_path: Path) -> None:
    record = json.loads((network / "run.json").read_text())
    del record["learner"]
    message = r"run.json: made by galadapt 0.1.0, .* delete .*run and run the workflow again"
    refused(ask, tmp_path, message, record=record)


def test_record_of_another_network(ask: Ask, network: Path, tmp_path: Path) -> None:
    record = json.loads((network / "run.json").read_text())
    message = r"model: not the model of .*run.json; delete its run folder and train again"
    refused(ask, tmp_path, message, record={**record, "weights": "0" * 16})
