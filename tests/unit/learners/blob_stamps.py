"""Stamps of round blobs whose flux, size and flattening are the labels, and a network of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from trainings import job_in

from galadapt.config.training import Method
from galadapt.learners.train import train
from galadapt.stamps.format import write_stamps

SIDE = 16


def blobs(count: int, seed: int, blur: float) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"id": np.arange(count) + 1000 * seed})
    table["split"] = np.where(np.arange(count) < count // 2, "train", "validation")
    table.loc[table.index >= 3 * count // 4, "split"] = "test"
    table["magnitude"] = rng.uniform(18, 23, count)
    table["effective_radius"] = rng.uniform(1.5, 4, count)
    table["sersic_index"] = rng.uniform(0.5, 4, count)
    table["ellipticity"] = rng.uniform(0, 0.8, count)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    sigma = np.hypot(table["effective_radius"].to_numpy(), blur)[:, None, None]
    axis = 1 - table["ellipticity"].to_numpy()[:, None, None]
    flux = 24 - table["magnitude"].to_numpy()[:, None, None]
    images = flux * np.exp(-0.5 * (x**2 + (y / axis) ** 2) / sigma**2)
    return images + 0.01 * rng.standard_normal(images.shape), table


def write_domain(
    path: Path, domain: str, change: Callable[[pd.DataFrame], pd.DataFrame] | None = None
) -> Path:
    images, table = blobs(*{"simulated": (64, 1, 0.0), "survey": (40, 2, 1.0)}[domain])
    if change is not None:
        table = change(table)
    metadata = {"pixel_scale": 0.06, "zero_point": 25.9463, "band": "F160W", "domain": domain}
    write_stamps(path, [images.astype(np.float32)], table, metadata)
    return path


def train_baseline(folder: Path, simulated: Path, seed: int, epochs: int) -> Path:
    """Train what other methods start from, and return its run folder."""
    method = Method(epochs=epochs, batch_size=8, learning_rate=1e-3)
    train(job_in(folder, method, {"simulated": simulated}, seed=seed, provenance={}))
    return folder / "run"
