"""The stamps that everyone measures: clean simulated ones, and crowded ones of a mock survey.

A condition is an ``.npz`` file of arrays, which any environment reads, and a Parquet table of the
truth, which no method sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd

from galadapt.config.base import Interval
from galadapt.config.simulation import Simulation
from galadapt.config.survey import MockSurvey, Selection
from galadapt.core.errors import ConfigError, RunError
from galadapt.core.files import atomic, read_table, write_parquet
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.cutouts import extract
from galadapt.simulation.engine import Simulator
from galadapt.simulation.noise import resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.stamps.format import StampSet
from galadapt.surveys.field import Field
from galadapt.surveys.mock import make_mock
from galadapt.surveys.selection import select
from galadapt.tasks.galaxies.settings import Config

#: Ranges of the clean stamps, before those of the network cut them.
BOX = {
    "magnitude": (16.0, 25.0),
    "effective_radius": (1.3, 31.0),
    "sersic_index": (0.3, 6.2),
    "ellipticity": (0.0, 0.9),
}

#: Side of the stamps every method is given [px]; a network for smaller ones uses their middle.
SIDE = 128

#: Side of the PSF images [px].
PSF_SIDE = 101

#: Galaxies of the mock survey per stamp wanted, at first: selection and extraction remove some, and
#: a survey deeper than the networks' ranges loses more. A mosaic that yields too few stamps is made
#: again, this often in all, with as many more galaxies as it lacked and a little.
SPARE, ATTEMPTS, MARGIN = 5, 3, 1.15

CONDITIONS = ("clean", "crowded")


@dataclass(frozen=True)
class Condition:
    """Stamps and what is true of them.

    Attributes:
        name: Of the condition.
        stamps: The .npz file: images (n, S, S) float32 [e-/s], pixel_rms (n,) [e-/s],
            exposure_time [s], crowded, effective_psf and bare_psf (P, P).
        truth: One row per stamp: id and the parameters.
    """

    name: str
    stamps: Path
    truth: pd.DataFrame


def ranges(config: Config, trained: dict[str, Interval]) -> dict[str, tuple[float, float]]:
    """Ranges of the benchmark's galaxies: the box, cut to what the network was trained on.

    Args:
        config: The experiment; its priors count where `trained` has no range.
        trained: Training ranges of a prediction package; empty for a run folder.

    Raises:
        ConfigError: a range is empty.
    """
    found = {}
    for name, (low, high) in BOX.items():
        known = trained.get(name) or config.simulation.priors.interval(name)
        found[name] = (max(low, known.low), min(high, known.high))
        if not found[name][0] < found[name][1]:
            raise ConfigError(
                f"simulation.priors.{name}: [{known.low:g}, {known.high:g}] has nothing in common "
                f"with the benchmark's [{low:g}, {high:g}]; give the configuration of the network"
            )
    return found


def without_drizzling(config: Config) -> Config:
    """Leave the noise of a configuration's simulations white."""
    noise = config.simulation.noise.model_copy(update={"pixfrac": 0.0})
    simulation = config.simulation.model_copy(update={"noise": noise})
    return config.model_copy(update={"simulation": simulation})


def make(
    name: str,
    config: Config,
    limits: dict[str, tuple[float, float]],
    count: int,
    seed: int,
    folder: Path,
    own_psf: bool = False,
) -> Condition:
    """Make the stamps of a condition.

    Args:
        name: clean or crowded.
        config: PSF, noise, pixel scale, zero point, survey, extraction.
        limits: Smallest and largest value of each parameter.
        count: Stamps wanted.
        seed: Seed; none of the experiment's own, so that no stamp was trained on.
        folder: Where files are written.
        own_psf: Whether everyone is given the mean PSF of the mock survey, not the training's.

    Raises:
        ConfigError: the seed is the experiment's.
        RunError: a mock survey gives too few stamps.
    """
    if seed == config.seed:
        raise ConfigError(
            f"--seed: {seed} is the experiment's own, whose galaxies the network was trained on; "
            "give another"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.h5"
    making = _clean if name == "clean" else _crowded
    rows, exposure_time = making(config, limits, count, seed, path)
    with StampSet(path) as stamps:
        table = stamps.table.iloc[rows].reset_index(drop=True)
        images = stamps.images(rows)
        rms = float(stamps.metadata["pixel_rms"])
    table = _with_truth(table, folder) if name == "crowded" else table
    survey = config.survey if isinstance(config.survey, MockSurvey) else MockSurvey()
    broadened = own_psf and name == "crowded"
    effective, bare = psf_images(config, survey.psf_broadening if broadened else 0.0)
    noise = table["local_rms"].to_numpy() if "local_rms" in table else np.full(len(table), rms)
    target = folder / f"{name}.npz"
    arrays: dict[str, Any] = {
        "images": images,
        "pixel_rms": noise,
        "exposure_time": np.array(exposure_time),
        "crowded": np.array(name == "crowded"),
        "effective_psf": effective,
        "bare_psf": bare,
    }
    with atomic(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    truth = table[["id", *PARAMETERS]]
    write_parquet(folder / f"{name}_truth.parquet", truth)
    log.info(f"{name}: {len(truth)} stamps of {SIDE} px")
    return Condition(name, target, truth)


def psf_images(config: Config, broadening: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the PSF (P, P) with the pixel and without, as flux per pixel.

    A Gaussian of sigma `broadening` [arcsec] broadens it.

    What lies beyond the image is missing from their sums: no code may normalise them by it.
    """
    scale = config.image.pixel_scale
    effective = make_psf(config.psf, scale)
    if broadening > 0:
        effective = galsim.Convolve(effective, galsim.Gaussian(sigma=broadening))
    # The PSF has no power where the pixel's transform vanishes.
    bare = galsim.Convolve(effective, galsim.Deconvolve(galsim.Pixel(scale)))
    drawn = [
        profile.drawImage(nx=PSF_SIDE, ny=PSF_SIDE, scale=scale, method="no_pixel").array
        for profile in (effective, bare)
    ]
    return drawn[0].astype(np.float64), drawn[1].astype(np.float64)


def _clean(
    config: Config, limits: dict[str, tuple[float, float]], count: int, seed: int, path: Path
) -> tuple[np.ndarray, float]:
    priors = {
        name: {"distribution": "uniform", "low": low, "high": high}
        for name, (low, high) in limits.items()
    }
    simulation = Simulation.model_validate({"priors": priors, "noise": config.simulation.noise})
    table = pd.DataFrame({"id": np.arange(count), "split": "test"})
    table = pd.concat([table, draw_parameters(simulation, seed, 0, count)], axis=1)
    image = config.image.model_copy(update={"stamp_size": SIDE})
    noise = simulation.noise
    Simulator(image, config.psf, noise, "ktable", seed).write(path, table, {"seed": seed})
    return np.arange(count), resolve(noise).exposure_time


def _crowded(
    config: Config, limits: dict[str, tuple[float, float]], count: int, seed: int, path: Path
) -> tuple[np.ndarray, float]:
    survey = config.survey if isinstance(config.survey, MockSurvey) else MockSurvey()
    galaxies = max(SPARE * count, 400)
    for _ in range(ATTEMPTS):
        survey = survey.model_copy(update={"n_galaxies": galaxies})
        table = _survey_stamps(config, survey, seed, path)
        inside = np.ones(len(table), bool)
        for name, (low, high) in limits.items():
            inside &= table[name].between(low, high).to_numpy()
        rows = np.flatnonzero(inside)
        if len(rows) >= count:
            break
        galaxies = int(galaxies * MARGIN * count / max(len(rows), 1))
    else:
        raise RunError(
            f"{path}: only {len(rows)} of {len(table)} stamps lie within the ranges, {count} are "
            "wanted; lower --count"
        )
    # Neighbours in the catalogue are neighbours on the sky: choose by a hash instead.
    order = [hashlib.sha256(f"{seed}:{table['id'].iloc[row]}".encode()).digest() for row in rows]
    chosen = sorted(range(len(rows)), key=order.__getitem__)[:count]
    return np.sort(rows[chosen]), resolve(survey.noise).exposure_time


def _survey_stamps(config: Config, survey: MockSurvey, seed: int, path: Path) -> pd.DataFrame:
    """Make a mock survey and cut its stamps; return their table, with what is true of them."""
    image = config.image.model_copy(update={"stamp_size": SIDE})
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    field = Field(*(path.with_name(f"mock_{name}") for name in names))
    selected = path.with_name("mock_selected.parquet")
    make_mock(survey, image, config.psf, seed, field, {"seed": seed})
    # Flags follow crowding: a benchmark of crowded stamps keeps what a catalogue calls bad.
    wide = {name: {"low": -1e3, "high": 1e3} for name in PARAMETERS}
    select(
        catalogue=field.catalogue,
        selection=Selection.model_validate({"max_flag": 2, **wide}),
        image=image,
        selected=selected,
        cuts=path.with_name("mock_cuts.csv"),
    )
    extract(
        drz=field.drz,
        wht=field.wht,
        selected=selected,
        image=image,
        extraction=config.extraction,
        splits=config.splits,
        seed=seed,
        output=path,
        rejected=path.with_name("mock_rejected.csv"),
        provenance={"seed": seed},
    )
    with StampSet(path) as stamps:
        return _with_truth(stamps.table, path.parent)


def _with_truth(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Replace the catalogue's values by the best single Sersic of the galaxy without noise."""
    truth = read_table(folder / "mock_truth.parquet").set_index("id").loc[table["id"]]
    return table.assign(
        magnitude=truth["best_magnitude"].to_numpy(),
        effective_radius=truth["best_radius"].to_numpy(),
        sersic_index=truth["best_index"].to_numpy(),
        ellipticity=1 - truth["axis_ratio"].to_numpy(),
    )
