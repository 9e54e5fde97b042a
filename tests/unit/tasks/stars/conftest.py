"""Small frames for the tests of star images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galadapt.tasks.stars.settings import FrameCounts, SimulatedFrames


@pytest.fixture(scope="session")
def small() -> SimulatedFrames:
    """Nine frames of 256 px, a few seconds' work."""
    few = {"train": 1, "validation": 1, "test": 1}
    return SimulatedFrames(
        circular=FrameCounts(**few),
        comet=FrameCounts(**few),
        donut=FrameCounts(**few),
        side=256,
        star_density=4,
    )


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write pixels to a FITS frame."""

    def save(name: str, pixels: np.ndarray | None = None, **cards: object) -> Path:
        header = fits.Header()
        for key, value in cards.items():
            header[key] = value
        path = tmp_path / name
        fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True)
        return path

    return save
