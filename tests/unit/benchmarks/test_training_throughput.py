"""The benchmark of training: it trains, both ways, and counts what it showed."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from galadapt.config.training import Compute, Method
from galadapt.learners.keras import backend

backend.prepare(Compute())

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "training"))

import throughput  # noqa: E402


@pytest.mark.parametrize("by_rows", [False, True])
def test_speeds_are_of_stamps_that_were_trained_on(by_rows: bool) -> None:
    random = np.random.default_rng(1)
    images = random.standard_normal((200, 16, 16, 1), np.float32)
    labels = random.uniform(0.1, 1.0, (200, 4))
    start = time.perf_counter()
    real, bare = throughput.measure(
        images, labels, Method(batch_size=16, augment="all"), 1, by_rows
    )
    # One timed epoch of 192 stamps each; compilation comes on top of both.
    assert time.perf_counter() - start > 192 / real + 192 / bare
    assert 0.02 < real / bare < 50
