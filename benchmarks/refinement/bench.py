"""Refinement by itself: scatter, coverage of its errors and time, from starts like a network's.

Clean single Sersic galaxies of the benchmark of fitters (wide ranges, F160W-like PSF, CANDELS wide
noise), with white and with drizzled noise. Starts scatter around the truth like the answers of a
network, which gets worse with magnitude; that scatter is the prior too.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.core.files import write_csv
from galadapt.core.photometry import flux_of
from galadapt.fitting.profiles import NAMES
from galadapt.fitting.refine import Refined, Refiner
from galadapt.simulation.ktable import KTableRenderer
from galadapt.simulation.noise import NoiseLevels, add_noise, correlation, resolve
from galadapt.simulation.psf import make_psf
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.reading import load

#: Ranges of the galaxies, uniform.
RANGES = {
    "magnitude": (16.0, 25.0),
    "effective_radius": (1.3, 31.0),
    "sersic_index": (0.3, 6.2),
    "ellipticity": (0.0, 0.9),
    "position_angle": (0.0, 180.0),
    "x_offset": (-0.5, 0.5),
    "y_offset": (-0.5, 0.5),
}

EDGES = (16.0, 20.0, 22.0, 23.5, 25.0)
SIDE = 128


def galaxies(
    config: Config, levels: NoiseLevels, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stamps (n, S, S), true parameters (n, 7) and magnitudes (n,)."""
    rng = np.random.default_rng(seed)
    image = config.image.model_copy(update={"stamp_size": SIDE})
    renderer = KTableRenderer(image, make_psf(config.psf, image.pixel_scale))
    drawn = {name: rng.uniform(*ends, count) for name, ends in RANGES.items()}
    stamps = np.empty((count, SIDE, SIDE), np.float32)
    for row in range(count):
        light = renderer.render({name: values[row] for name, values in drawn.items()})
        stamps[row] = add_noise(light, levels, rng)
    double, e = 2 * np.radians(drawn["position_angle"]), drawn["ellipticity"]
    flux = flux_of(drawn["magnitude"], image.zero_point)
    theta = [
        *(np.log(flux), np.log(drawn["effective_radius"]), np.log(drawn["sersic_index"])),
        *(e * np.cos(double), e * np.sin(double), drawn["x_offset"], drawn["y_offset"]),
    ]
    return stamps, np.stack(theta, axis=1), drawn["magnitude"]


def starts(theta: np.ndarray, magnitude: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts (n, 7) and their covariances (n, 7, 7)."""
    base = np.interp(magnitude, [16, 20, 22, 23.5, 25], [0.03, 0.03, 0.06, 0.12, 0.2])
    shares = np.array([1.0, 1.5, 2.0, 0.7, 0.7, 2.0, 2.0])
    sigma = base[:, None] * shares + [0, 0.02, 0.03, 0.01, 0.01, 0, 0]
    start = theta + sigma * np.random.default_rng(seed).standard_normal(theta.shape)
    start[:, 2] = np.clip(start[:, 2], *np.log(RANGES["sersic_index"]))
    size = np.hypot(start[:, 3], start[:, 4])
    start[:, 3:5] *= np.minimum(1, 0.93 / size)[:, None]
    return start, sigma[:, :, None] ** 2 * np.eye(len(NAMES))


def rows(
    name: str, theta: np.ndarray, magnitude: np.ndarray, start: np.ndarray, found: Refined
) -> list[dict[str, object]]:
    """One row per magnitude bin: NMAD of start and refinement, median error, coverage."""
    table = []
    sigma = np.sqrt(np.einsum("nii->ni", found.covariance))
    for low, high in ((EDGES[0], EDGES[-1]), *itertools.pairwise(EDGES)):
        here = (magnitude >= low) & (magnitude < high)
        row: dict[str, object] = {"noise": name, "from": low, "to": high, "n": int(here.sum())}
        for column, parameter in enumerate(NAMES):
            error = (found.theta - theta)[here, column]
            before = (start - theta)[here, column]
            row[f"{parameter}_start"] = 1.4826 * np.median(np.abs(before - np.median(before)))
            row[f"{parameter}_nmad"] = 1.4826 * np.median(np.abs(error - np.median(error)))
            row[f"{parameter}_bias"] = np.median(error)
            row[f"{parameter}_expected"] = np.median(sigma[here, column])
            row[f"{parameter}_cover68"] = np.mean(np.abs(error) < sigma[here, column])
        table.append(row)
    return table


def main() -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="stamps of each kind of noise")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/refinement.csv"))
    arguments = parser.parse_args()
    config = load("config/config.yaml")
    drizzled = resolve(config.simulation.noise)
    scale = config.image.pixel_scale
    psf = make_psf(config.psf, scale).dilate(1 / scale)
    table: list[dict[str, object]] = []
    for name, drop in (("white", 0.0), ("drizzled", drizzled.drop)):
        levels = dataclasses.replace(drizzled, drop=drop)
        stamps, theta, magnitude = galaxies(config, levels, arguments.count, arguments.seed)
        start, covariance = starts(theta, magnitude, arguments.seed + 1)
        refiner = Refiner(psf, SIDE, correlation(drop, np.arange(4)) if drop else None)
        given = np.full(len(stamps), levels.pixel_rms), start, covariance
        options = {"exposure_time": levels.exposure_time, "sky_error": 0.0}
        refiner(stamps[:32], *(one[:32] for one in given), **options)
        began = time.process_time()
        found = refiner(stamps, *given, **options)
        seconds = (time.process_time() - began) / len(stamps)
        print(
            f"{name}: {1e3 * seconds:.2f} ms per galaxy, {found.evaluations.mean():.1f} drawings "
            f"of the model, {int((~found.converged).sum())} of {len(stamps)} failed, chi2 "
            f"{np.median(found.chi2):.3f}"
        )
        table += rows(name, theta, magnitude, start, found)
    result = pd.DataFrame(table)
    write_csv(arguments.output, result)
    for kind in ("start", "nmad", "expected", "cover68", "bias"):
        shown = result[["noise", "from", "to", "n", *(f"{name}_{kind}" for name in NAMES)]]
        print(f"\n{kind}\n{shown.to_string(index=False, float_format='{:.4f}'.format)}")


if __name__ == "__main__":
    main()
