"""Simulating one shard of the global list of galaxies into a stamp set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from galadapt.config.image import Image, Psf
from galadapt.config.realism import Realism
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
from galadapt.stamps.format import SPLITS, write_stamps

#: Adds noise of the given levels to the light of a galaxy, a row with `id` and `split`.
AddNoise = Callable[[np.ndarray, NoiseLevels, dict[str, Any]], np.ndarray]


def splits(simulation: Simulation, start: int, stop: int) -> np.ndarray:
    """Name the split of galaxies [start, stop): first train, then validation, then test."""
    ends = np.cumsum([simulation.n_train, simulation.n_validation])
    return np.array(SPLITS, object)[np.searchsorted(ends, np.arange(start, stop), side="right")]


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
    """Simulate galaxies [start, stop) of the global list into a stamp set, in bounded memory.

    A stamp depends on the settings, the seed and its index only: joined shards hold the same bytes
    however the list is cut. With the renderer ktable the bytes are also the same on every x86-64
    processor with AVX2 (2013 and later; tested with the kernels for other ones forced); on an older
    one numpy's exponentials round otherwise and stamps differ by up to 0.001 of the noise.

    The columns are id (the index), split, the parameters, position_angle, x_offset, y_offset and
    signal_to_noise, which is sqrt(sum(noiseless^2)) / pixel_rms: the optimal one if the noise were
    white (inf without noise). With realism, the noiseless galaxy is that after archive and PSF,
    without neighbours; composite galaxies add the columns `realism.scene.COMPOSITION`, depth
    jitter adds pixel_rms [e-/s], a set of PSFs adds psf_index, the position of the galaxy's PSF.

    Raises:
        DataError: the range is empty or outside the list, the PSF is broken, or a galaxy cannot be
            drawn; nothing is written.
    """
    if not 0 <= start < stop <= simulation.total:
        raise DataError(
            f"{output}: galaxies {start} to {stop} are not a range of the {simulation.total} "
            "simulated ones; use fewer shards"
        )
    simulator = Simulator(
        *(image, psf, simulation.noise, simulation.renderer, seed),
        *(simulation.memory_limit, simulation.realism),
    )
    draw = partial(draw_parameters, simulation, seed)
    scenes = simulator.scenes
    parameters = scenes.parameters(draw, start, stop) if scenes else draw(start, stop)
    table = pd.DataFrame({"id": np.arange(start, stop), "split": splits(simulation, start, stop)})
    simulator.write(output, pd.concat([table, parameters], axis=1), provenance)


class Simulator:
    """Draws galaxies of a table, with noise and whatever realism is switched on.

    `scenes` draws composite galaxies and their labels; it is None without realism.
    """

    def __init__(
        self,
        image: Image,
        psf: Psf,
        noise: Noise,
        renderer: str,
        seed: int,
        memory_limit: float = 2048.0,
        realism: Realism | None = None,
    ) -> None:
        """Prepare; `renderer` and `memory_limit` [MiB] are those of section ``simulation``.

        Raises:
            DataError: the PSF or the mosaic that gives the noise is broken.
            ConfigError: the renderer is not available.
        """
        self._image, self._seed = image, seed
        psfs = make_psfs(psf, image.pixel_scale)
        self._psfs = len(psfs) if psf.kind == "set" else 0
        self._renderer: Renderer
        if self._psfs:
            self._renderer = PsfSetRenderer(image, psfs, renderer, memory_limit)
        else:
            self._renderer = make_renderer(image, psfs[0](), renderer, memory_limit)
        self._levels, self._add_noise = _noise_source(noise, image, seed)
        self.scenes: Scenes | None = None
        if realism is not None and realism.active:
            shape = PsfShape.of(mean_psf(psfs), image.pixel_scale)
            self.scenes = Scenes(realism, image, self._levels, shape, seed)

    def write(
        self,
        output: Path,
        table: pd.DataFrame,
        provenance: dict[str, Any],
        radius_convention: str = "semimajor",
    ) -> None:
        """Draw and write the galaxies of a table, in bounded memory.

        The columns are id, split, the parameters, position_angle, x_offset, y_offset; the radius
        is the semi-major axis, and stored as ``semimajor`` or ``circularised``. Noise depends on
        the seed and the id.

        Raises:
            DataError: a galaxy cannot be drawn; nothing is written.
        """
        table = table.copy()
        if self._psfs:
            table["psf_index"] = [
                int(stream(self._seed, id_, "psf").integers(self._psfs)) for id_ in table["id"]
            ]
        records = cast("list[dict[str, Any]]", table.to_dict("records"))
        table["signal_to_noise"] = 0.0
        if radius_convention == "circularised":
            table["effective_radius"] *= np.sqrt(1.0 - table["ellipticity"])
        if self.scenes is not None and self.scenes.varying_depth:
            table["pixel_rms"] = 0.0
        metadata = {
            "pixel_scale": self._image.pixel_scale,
            "zero_point": self._image.zero_point,
            "band": self._image.band,
            "domain": "simulated",
            "pixel_rms": self._levels.pixel_rms,
            "noise": asdict(self._levels),
            "radius_convention": radius_convention,
            "provenance": provenance,
        }
        write_stamps(output, self._stamps(records, table, output.name), table, metadata)

    def _stamps(
        self, records: list[dict[str, Any]], table: pd.DataFrame, label: str
    ) -> Iterator[np.ndarray]:
        """Yield stamps (1, S, S) and fill the measured columns, which are stored after the last."""
        psfs = {row["id"]: row["psf_index"] for row in records} if self._psfs else {}

        def draw(rows: list[dict[str, Any]]) -> Iterator[np.ndarray]:
            # Components of a scene carry the id of their galaxy, whose PSF they share.
            if psfs:
                rows = [{**row, "psf_index": psfs[row["id"]]} for row in rows]
            try:
                yield from self._renderer.render_many(rows)
            except DataError as error:
                raise DataError(f"{label}: {error}") from None

        made: Iterator[Scene]
        if self.scenes is None:
            made = (Scene(light, light, self._levels) for light in draw(records))
        else:
            made = self.scenes.scenes(records, draw)
        rows = progress(
            zip(records, made, strict=True), len(table), f"simulate {label}", "galaxies"
        )
        signal, rms = [], []
        for row, scene in rows:
            stamp = self._add_noise(scene.light, scene.levels, row)
            if scene.background is not None:
                stamp = stamp + scene.background
            if scene.missing is not None:
                stamp = np.where(scene.missing, 0.0, stamp)
            signal.append(float(np.sqrt(np.square(scene.own).sum())))
            rms.append(scene.levels.pixel_rms)
            yield stamp[None]
        with np.errstate(divide="ignore"):
            table["signal_to_noise"] = np.array(signal) / np.array(rms)
        if "pixel_rms" in table:
            table["pixel_rms"] = rms


def _noise_source(noise: Noise, image: Image, seed: int) -> tuple[NoiseLevels, AddNoise]:
    """Return the typical noise, and what adds it."""
    if noise.kind == "mosaic":
        from galadapt.simulation.mosaic_noise import MosaicNoiseSource

        source = MosaicNoiseSource(noise, image, seed)
        return source.levels, source.add

    def add(light: np.ndarray, levels: NoiseLevels, row: dict[str, Any]) -> np.ndarray:
        return add_noise(light, levels, stream(seed, row["id"], "noise"))

    return resolve(noise), add
