"""Round galaxies with known parameters, as stamps and on a field."""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.io import fits

from galadapt.surveys.field import tangent_wcs

SIDE, RMS, ZERO_POINT = 32, 0.005, 25.9463
IMAGE = 400


def _light(magnitude: float, radius: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sigma = np.hypot(radius / 1.18, 1.3)
    flux = 10 ** (0.4 * (ZERO_POINT - magnitude))
    return flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * (x**2 + y**2) / sigma**2)


def _parameters(count: int, rng: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame({"magnitude": rng.uniform(19, 22.5, count)})
    table["effective_radius"] = rng.uniform(1.5, 4, count)
    table["sersic_index"] = rng.uniform(0.5, 4, count)
    table["ellipticity"] = rng.uniform(0, 0.8, count)
    return table


def stamps_of(count: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    table = _parameters(count, rng)
    table.insert(0, "id", np.arange(count))
    table["split"] = np.resize(["train", "validation", "test"], count)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    images = np.stack(
        [
            _light(m, r, x, y)
            for m, r in zip(table["magnitude"], table["effective_radius"], strict=True)
        ]
    )
    return (images + RMS * rng.standard_normal(images.shape)).astype(np.float32), table


def field() -> tuple[np.ndarray, np.ndarray, fits.Header, pd.DataFrame]:
    rng = np.random.default_rng(3)
    steps = np.linspace(40, IMAGE - 40, 5)
    places = np.array([(x, y) for y in steps for x in steps])[:22] + rng.uniform(-4, 4, (22, 2))
    places = np.concatenate([places, [[-30.0, 50.0], [3.0, 200.0]]])
    table = _parameters(len(places), rng)
    y, x = np.indices((IMAGE, IMAGE))
    image = RMS * rng.standard_normal((IMAGE, IMAGE))
    for (cx, cy), row in zip(places, table.itertuples(), strict=True):
        image += _light(row.magnitude, row.effective_radius, x - cx, y - cy)
    wcs = tangent_wcs((IMAGE, IMAGE), 0.06)
    header = wcs.to_header()
    header["BUNIT"], header["ABZP"], header["EXPTIME"] = "ELECTRONS/S", ZERO_POINT, 1000.0
    ra, dec = wcs.pixel_to_world_values(*places.T)
    catalog = pd.DataFrame({"id": np.arange(len(places)) + 100, "ra": ra, "dec": dec})
    weight = np.full(image.shape, RMS**-2.0)
    return image.astype(np.float32), weight.astype(np.float32), header, catalog
