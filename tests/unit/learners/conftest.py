"""A tiny experiment: round blobs whose flux and size are the labels, in two domains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blob_stamps import write_domain

from galadapt.config.training import Compute, Method, Network
from galadapt.core.quantity import PARAMETERS
from galadapt.learners.keras import backend


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    backend.prepare(Compute())


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stamps")
    return {name: write_domain(folder / f"{name}.h5", name) for name in ("simulated", "survey")}


@pytest.fixture
def job(domains: dict[str, Path], tmp_path: Path) -> Callable[..., Any]:
    """Make the arguments of `train`; keywords replace settings of the method or arguments."""

    def make(method: dict[str, Any], **changes: Any) -> dict[str, Any]:
        settings = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "patience": 3} | method
        arguments = {
            "task": "galaxies",
            "variant": "tiny",
            "method_name": "baseline",
            "method": Method(**settings),
            "parameters": PARAMETERS,
            "seed": 1,
            "simulated": domains["simulated"],
            "survey": domains["survey"],
            "output": tmp_path / "run",
            "checkpoint": tmp_path / "checkpoint",
            "start_model": None,
            "compute": Compute(),
            "provenance": {"stage": "test"},
        }
        return arguments | changes

    return make


@pytest.fixture(scope="session")
def with_dropout() -> Network:
    """A network whose training draws random numbers, small enough for a test."""
    return Network(architecture="r1_baseline", dropout=0.3)
