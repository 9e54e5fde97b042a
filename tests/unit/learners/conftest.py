"""A tiny experiment: round blobs whose flux and size are the labels, in two domains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blob_stamps import write_domain
from trainings import job_in

from galadapt.config.training import Compute, Method, Network
from galadapt.learners.job import Job
from galadapt.learners.keras import backend


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    backend.prepare(Compute())


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stamps")
    return {name: write_domain(folder / f"{name}.h5", name) for name in ("simulated", "survey")}


@pytest.fixture
def job(domains: dict[str, Path], tmp_path: Path) -> Callable[..., Job]:
    """Make a training; keywords replace settings of the method, stamp sets, or arguments."""

    def make(method: dict[str, Any], **changes: Any) -> Job:
        settings = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "patience": 3} | method
        given = {name: changes.pop(name, path) for name, path in domains.items()}
        given = {name: path for name, path in given.items() if path is not None}
        return job_in(tmp_path, Method(**settings), given, **changes)

    return make


@pytest.fixture(scope="session")
def with_dropout() -> Network:
    """A network whose training draws random numbers, small enough for a test."""
    return Network(architecture="candels_baseline", dropout=0.3)
