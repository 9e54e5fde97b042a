"""Simulating one shard of the global list of galaxies into a stamp set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from galadapt.config.image import Image, Psf
from galadapt.config.simulation import Noise, Simulation
from galadapt.core.errors import DataError
from galadapt.core.log import progress
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psfs, mean_psf
from galadapt.simulation.realism.instrument import PsfShape
from galadapt.simulation.realism.scene import Scene, Scenes
from galadapt.simulation.renderers import PsfSetRenderer, Renderer, make_renderer
from galadapt.simulation.streams import stream
from galadapt.stamps.format import write_stamps

# Stamps held in memory at once.
_BATCH = 256


def splits(simulation: Simulation, start: int, stop: int) -> np.ndarray:
    """Name the split of galaxies [start, stop): first train, then validation, then test."""
    ends = np.cumsum([simulation.n_train, simulation.n_validation])
    names = np.array(["train", "validation", "test"], object)
    return names[np.searchsorted(ends, np.arange(start, stop), side="right")]


def shard_start(simulation: Simulation, shard: int) -> int:
    """Index of the first galaxy of a shard; that of shard k + 1 ends shard k."""
    return shard * simulation.total // simulation.shards


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
    however the list is cut. With the renderer ktable the bytes are also the same on every x86-64
    processor with AVX2 (2013 and later; tested with the kernels for other ones forced); on an older
    one numpy's exponentials round otherwise and stamps differ by up to 0.001 of the noise.

    Args:
        image: What a stamp is.
        psf: The PSF.
        simulation: Numbers, priors, renderer and noise.
        seed: Seed of the experiment.
        start: First index.
        stop: Index after the last one, at most ``simulation.total``.
        output: Stamp set to write. Columns: id (the index), split, the parameters, position_angle,
            x_offset, y_offset and signal_to_noise, which is sqrt(sum(noiseless^2)) / pixel_rms: the
            optimal one if the noise were white (inf without noise). With realism, the noiseless
            galaxy is what archive and PSF leave of it, without neighbours; composite galaxies add
            the columns `realism.scene.COMPOSITION`, depth jitter adds pixel_rms [e-/s], a set of
            PSFs adds psf_index, the position of the galaxy's PSF in the set.
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
    optics = _Optics(psf, image, simulation.renderer, simulation.memory_limit)
    noise = _make_noise(simulation.noise, image, seed)
    scenes = None
    if simulation.realism.active:
        shape = PsfShape.of(mean_psf(optics.psfs), image.pixel_scale)
        scenes = Scenes(simulation.realism, image, noise.levels, shape, seed)
        parameters = scenes.parameters(partial(draw_parameters, simulation, seed), start, stop)
    else:
        parameters = draw_parameters(simulation, seed, start, stop)
    table = pd.DataFrame({"id": np.arange(start, stop), "split": splits(simulation, start, stop)})
    table = pd.concat([table, parameters], axis=1)
    optics.assign(table, seed)
    _write(output, table, image, optics.renderer, noise, scenes, "semimajor", provenance)


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
    """Draw and write the galaxies of a table, in bounded memory and without realism.

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
    optics = _Optics(psf, image, renderer, memory_limit)
    source = _make_noise(noise, image, seed)
    table = table.copy()
    optics.assign(table, seed)
    _write(output, table, image, optics.renderer, source, None, radius_convention, provenance)


class _Optics:
    """One PSF or a set of them, and what draws through it."""

    def __init__(self, psf: Psf, image: Image, renderer: str, memory_limit: float) -> None:
        self.psfs = make_psfs(psf, image.pixel_scale)
        self._several = psf.kind == "set"
        self.renderer: Renderer
        if self._several:
            self.renderer = PsfSetRenderer(image, self.psfs, renderer, memory_limit)
        else:
            self.renderer = make_renderer(image, self.psfs[0](), renderer, memory_limit)

    def assign(self, table: pd.DataFrame, seed: int) -> None:
        """Draw the PSF of each galaxy, in place."""
        if self._several:
            count = len(self.psfs)
            table["psf_index"] = [
                int(stream(seed, id_, "psf").integers(count)) for id_ in table["id"]
            ]


def _write(
    output: Path,
    table: pd.DataFrame,
    image: Image,
    renderer: Renderer,
    noise: _Noise,
    scenes: Scenes | None,
    radius_convention: str,
    provenance: dict[str, Any],
) -> None:
    records = cast("list[dict[str, Any]]", table.to_dict("records"))
    table = table.assign(signal_to_noise=0.0)
    if radius_convention == "circularised":
        table["effective_radius"] *= np.sqrt(1.0 - table["ellipticity"])
    if scenes is not None and scenes.varying_depth:
        table["pixel_rms"] = 0.0
    metadata = {
        "pixel_scale": image.pixel_scale,
        "zero_point": image.zero_point,
        "band": image.band,
        "domain": "simulated",
        "pixel_rms": noise.levels.pixel_rms,
        "noise": asdict(noise.levels),
        "radius_convention": radius_convention,
        "provenance": provenance,
    }
    batches = _batches(renderer, records, scenes, noise, table, output.name)
    write_stamps(output, batches, table, metadata)


class _Noise(Protocol):
    """Adds the noise of one galaxy."""

    levels: NoiseLevels

    def add(self, light: np.ndarray, levels: NoiseLevels, row: dict[str, Any]) -> np.ndarray:
        """Return a noisy copy of a stamp; `levels` are those of this stamp."""
        ...


class _Drizzled:
    """Noise drawn at the depth of the settings."""

    def __init__(self, noise: Noise, seed: int) -> None:
        self.levels = resolve(noise)
        self._seed = seed

    def add(self, light: np.ndarray, levels: NoiseLevels, row: dict[str, Any]) -> np.ndarray:
        return add_noise(light, levels, stream(self._seed, row["id"], "noise"))


def _make_noise(noise: Noise, image: Image, seed: int) -> _Noise:
    if noise.kind == "drizzle":
        return _Drizzled(noise, seed)
    from galadapt.simulation.mosaic_noise import MosaicNoiseSource

    return MosaicNoiseSource(noise, image, seed)


def _batches(
    renderer: Renderer,
    records: list[dict[str, Any]],
    scenes: Scenes | None,
    noise: _Noise,
    table: pd.DataFrame,
    label: str,
) -> Iterator[np.ndarray]:
    """Yield stamps in batches and fill the measured columns, which are stored after the last."""

    seen = {row["id"]: row["psf_index"] for row in records} if "psf_index" in table else {}

    def draw(rows: list[dict[str, Any]]) -> Iterator[np.ndarray]:
        # Components of a scene carry the id of their galaxy, whose PSF they share.
        if seen:
            rows = [{**row, "psf_index": seen[row["id"]]} for row in rows]
        return _drawn(renderer, rows, label)

    made = _plain(draw(records), noise.levels) if scenes is None else scenes.scenes(records, draw)
    rows = progress(zip(records, made, strict=True), len(table), f"simulate {label}", "galaxies")
    batch = np.empty((0, 0, 0), np.float32)
    filled = 0
    signal: list[float] = []
    rms: list[float] = []
    for row, scene in rows:
        stamp = noise.add(scene.light, scene.levels, row)
        if scene.background is not None:
            stamp = stamp + scene.background
        if scene.missing is not None:
            stamp = np.where(scene.missing, 0.0, stamp)
        if filled == 0:
            batch = np.empty((_BATCH, *stamp.shape), np.float32)
        batch[filled] = stamp
        filled += 1
        signal.append(scene.signal)
        rms.append(scene.levels.pixel_rms)
        if filled == _BATCH:
            yield batch
            filled = 0
    if filled:
        yield batch[:filled]
    with np.errstate(divide="ignore"):
        table["signal_to_noise"] = np.array(signal) / np.array(rms)
    if "pixel_rms" in table:
        table["pixel_rms"] = rms


def _drawn(renderer: Renderer, records: list[dict[str, Any]], label: str) -> Iterator[np.ndarray]:
    try:
        yield from renderer.render_many(records)
    except DataError as error:
        raise DataError(f"{label}: {error}") from None


def _plain(drawn: Iterator[np.ndarray], levels: NoiseLevels) -> Iterator[Scene]:
    """Galaxies without any realism."""
    for light in drawn:
        yield Scene(light, None, float(np.sqrt(np.square(light).sum())), levels, None)
