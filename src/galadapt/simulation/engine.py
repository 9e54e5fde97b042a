"""Simulating one shard of the global list of galaxies into a stamp set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from galadapt.config import Image, Noise, Psf, Simulation
from galadapt.errors import DataError
from galadapt.progress import track
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import Renderer, make_renderer
from galadapt.simulation.streams import stream
from galadapt.stamps import write_stamps

# Stamps held in memory at once.
_BATCH = 256


def splits(simulation: Simulation, start: int, stop: int) -> np.ndarray:
    """Name the split of galaxies [start, stop): first train, then validation, then test."""
    ends = np.cumsum([simulation.n_train, simulation.n_validation])
    names = np.array(["train", "validation", "test"], object)
    return names[np.searchsorted(ends, np.arange(start, stop), side="right")]


def simulate_shard(
    image: Image,
    psf: Psf,
    simulation: Simulation,
    seed: int,
    start: int,
    stop: int,
    output: Path,
    provenance: dict[str, Any],
) -> None:
    """Simulate galaxies [start, stop) of the global list, in bounded memory.

    A stamp depends on the settings, the seed and its index only: joined shards hold the same bytes
    however the list is cut.

    Args:
        image: What a stamp is.
        psf: The PSF.
        simulation: Numbers, priors, renderer and noise.
        seed: Seed of the experiment.
        start: First index.
        stop: Index after the last one, at most ``simulation.total``.
        output: Stamp set to write. Columns: id (the index), split, the parameters, position_angle,
            x_offset, y_offset and signal_to_noise, which is sqrt(sum(noiseless^2)) / pixel_rms: the
            optimal one if the noise were white (inf without noise).
        provenance: Stored in the metadata.

    Raises:
        DataError: the range is empty or outside the list, the PSF is broken, or a galaxy cannot be
            drawn; nothing is written.
    """
    if not 0 <= start < stop <= simulation.total:
        raise DataError(
            f"{output}: galaxies {start} to {stop} are not a range of the {simulation.total} "
            "simulated ones; use fewer shards"
        )
    parameters = draw_parameters(simulation, seed, start, stop)
    table = pd.DataFrame({"id": np.arange(start, stop), "split": splits(simulation, start, stop)})
    write_simulated(
        output,
        pd.concat([table, parameters], axis=1),
        image,
        psf,
        simulation.noise,
        simulation.renderer,
        seed,
        provenance,
        simulation.radius_convention,
        simulation.memory_limit,
    )


def write_simulated(
    output: Path,
    table: pd.DataFrame,
    image: Image,
    psf: Psf,
    noise: Noise,
    renderer: str,
    seed: int,
    provenance: dict[str, Any],
    radius_convention: str = "semimajor",
    memory_limit: float = 2048.0,
) -> None:
    """Draw and write the galaxies of a table, in bounded memory.

    Args:
        output: Stamp set to write.
        table: Columns id, split, the parameters, position_angle, x_offset, y_offset; the radius is
            the semi-major axis.
        image: What a stamp is.
        psf: The PSF.
        noise: Its depth; a galaxy's noise depends on the seed and its id.
        renderer: As ``simulation.renderer``.
        seed: Seed of the experiment.
        provenance: Stored in the metadata.
        radius_convention: Convention of the stored radius.
        memory_limit: Memory one galaxy's transform may take [MiB].

    Raises:
        DataError: the PSF is broken or a galaxy cannot be drawn; nothing is written.
        ConfigError: the renderer is not available.
    """
    drawing = make_renderer(image, make_psf(psf, image.pixel_scale), renderer, memory_limit)
    levels = resolve(noise)
    records = cast("list[dict[str, Any]]", table.to_dict("records"))
    table = table.assign(signal_to_noise=0.0)
    if radius_convention == "circularised":
        table["effective_radius"] *= np.sqrt(1.0 - table["ellipticity"])
    metadata = {
        "pixel_scale": image.pixel_scale,
        "zero_point": image.zero_point,
        "band": image.band,
        "domain": "simulated",
        "pixel_rms": levels.pixel_rms,
        "noise": asdict(levels),
        "radius_convention": radius_convention,
        "provenance": provenance,
    }
    batches = _batches(drawing, records, levels, table, seed, output.name)
    write_stamps(output, batches, table, metadata)


def _batches(
    renderer: Renderer,
    records: list[dict[str, Any]],
    levels: NoiseLevels,
    table: pd.DataFrame,
    seed: int,
    label: str,
) -> Iterator[np.ndarray]:
    """Yield stamps in batches and fill `signal_to_noise`, which is stored after the last one."""
    images = track(_drawn(renderer, records, label), len(table), f"simulate {label}", "galaxies")
    batch: list[np.ndarray] = []
    signal: list[float] = []
    for row, noiseless in zip(records, images, strict=True):
        rng = stream(seed, row["id"], "noise")
        batch.append(add_noise(noiseless, levels, rng).astype(np.float32))
        signal.append(float(np.sqrt(np.square(noiseless).sum())))
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
    with np.errstate(divide="ignore"):
        table["signal_to_noise"] = np.array(signal) / levels.pixel_rms


def _drawn(renderer: Renderer, records: list[dict[str, Any]], label: str) -> Iterator[np.ndarray]:
    try:
        yield from renderer.render_many(records)
    except DataError as error:
        raise DataError(f"{label}: {error}") from None
