"""Whether two trainings came to the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.config.training import Compute
from galadapt.learners.keras import backend

backend.prepare(Compute())

import keras  # noqa: E402


def weights(run: Path) -> list[np.ndarray]:
    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs on one machine must agree to the last bit."""
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [
        pd.read_csv(run / "history.csv").drop(columns="seconds") for run in (first, second)
    ]
    pd.testing.assert_frame_equal(*histories)
    assert (first / "run.json").read_bytes() == (second / "run.json").read_bytes()
