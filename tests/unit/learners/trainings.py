"""Trainings of tests: what they take, and whether two came to the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.training import Compute, Training
from galadapt.core.quantity import SERSIC
from galadapt.learners.job import Job
from galadapt.learners.predict import predict
from galadapt.learners.run_folder import load


def job_in(folder: Path, method: Training, given: Mapping[str, Path], **changes: Any) -> Job:
    """A training in a folder; keywords replace its arguments."""
    arguments: dict[str, Any] = {
        **{"task": "galaxies", "variant": "tiny", "method_name": "baseline", "method": method},
        **{"quantities": SERSIC, "seed": 1, "given": given, "start": None, "teachers": ()},
        **{"output": folder / "run", "checkpoint": folder / "checkpoint"},
        **{"compute": Compute(), "provenance": {"stage": "test"}},
    }
    return Job(**arguments | changes)


def predict_into(run: Path, domains: Mapping[str, Path], folder: Path | None = None) -> None:
    """Predict both domains with a finished run, into its own folder or another."""
    folder = folder or run
    predict(
        run / "run.json",
        domains,
        folder / "predictions.parquet",
        folder / "embeddings.parquet",
        folder / "predictions.json",
        Compute(),
    )


def network(run: Path) -> Any:
    """The network of a finished run."""
    learner: Any = load(run / "run.json", Compute()).learner
    return learner.model


def weights(run: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = network(run).get_weights()
    return found


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs on one machine must agree to the last bit."""
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [
        pd.read_csv(run / "history.csv").drop(columns="seconds") for run in (first, second)
    ]
    pd.testing.assert_frame_equal(*histories)
    assert (first / "run.json").read_bytes() == (second / "run.json").read_bytes()
