"""Scenes: galaxies with all the realism that is switched on, ready for noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.image import Image
from galadapt.config.realism import Archive, Realism
from galadapt.simulation.noise import NoiseLevels
from galadapt.simulation.realism import archive, galaxies, instrument
from galadapt.simulation.realism.instrument import PsfShape
from galadapt.simulation.streams import stream

#: Draws components in order: noiseless stamps (S, S) [e-/s] of rows with the parameters, the
#: geometry and, for messages, the `id` of their galaxy. Centres may lie outside the stamp.
Draw = Callable[[list[dict[str, Any]]], Iterable[np.ndarray]]

#: Columns that `Scenes.parameters` adds to the stamp table when galaxies are composite.
COMPOSITION = ("total_magnitude", "bulge_fraction", "bulge_radius", "disc_radius", "bulge_index")

# Fits stop together, so galaxies are fitted in blocks that start at multiples of this index:
# otherwise a label would depend on where a shard begins.
_BLOCK = 64

_CHUNK = 64  #: galaxies whose components are drawn at once; each may have dozens

# Weighs the fits of composite galaxies when there is no noise [e-/s]: CANDELS wide's.
_FIT_RMS = 0.0051


@dataclass(frozen=True)
class Scene:
    """One stamp before its noise; images are (S, S) [e-/s]."""

    light: np.ndarray  #: light that arrives, with photon noise of its own
    own: np.ndarray  #: the part of it that is the galaxy's
    levels: NoiseLevels  #: noise of this stamp
    background: np.ndarray | None = None  #: added without photon noise of its own, of either sign
    missing: np.ndarray | None = None  #: where there is no data, if anywhere


class Scenes:
    """Makes scenes. Everything drawn depends on the seed and the galaxy's index only."""

    def __init__(
        self, realism: Realism, image: Image, levels: NoiseLevels, psf: PsfShape, seed: int
    ) -> None:
        """Prepare; `levels` are the typical noise, `psf` is what the renderer convolves with."""
        self._realism, self._image, self._levels = realism, image, levels
        self._psf, self._seed = psf, seed

    @property
    def varying_depth(self) -> bool:
        """Whether the noise differs from stamp to stamp."""
        return self._realism.depth is not None

    def parameters(
        self, draw_parameters: Callable[[int, int], pd.DataFrame], start: int, stop: int
    ) -> pd.DataFrame:
        """Draw galaxies [start, stop) with their labels.

        `draw_parameters` gives the drawn parameters of any range of galaxies. The table holds
        labels and geometry; with composite galaxies also `COMPOSITION`.
        """
        settings = self._realism.bulge_disc
        if settings is None:
            return draw_parameters(start, stop)
        levels = self._levels
        if levels.pixel_rms == 0:
            levels = replace(levels, pixel_rms=_FIT_RMS)
        blocks = []
        for first in range(start - start % _BLOCK, stop, _BLOCK):
            drawn = draw_parameters(first, first + _BLOCK)
            block = galaxies.compose(
                drawn, settings, self._image, levels, self._psf.sigma, self._seed, first
            )
            blocks.append(block.iloc[max(start - first, 0) : stop - first])
        return pd.concat(blocks, ignore_index=True)

    def scenes(self, rows: Sequence[dict[str, Any]], draw: Draw) -> Iterator[Scene]:
        """Yield the scenes of galaxies in order, in bounded memory.

        `rows` are those of `parameters` with their `id`, the index in the global list; `draw`
        renders components.
        """
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            casts = [self._cast(row) for row in chunk]
            components = [
                {**component, "id": row["id"]}
                for row, cast_ in zip(chunk, casts, strict=True)
                for component in cast_.components
            ]
            stamps = iter(draw(components))
            for row, cast_ in zip(chunk, casts, strict=True):
                yield self._scene(row, cast_, stamps)

    def _rng(self, row: dict[str, Any], purpose: str) -> np.random.Generator:
        return stream(self._seed, int(row["id"]), purpose)

    def _cast(self, row: dict[str, Any]) -> _Cast:
        """List the components of a galaxy, its disc first, and of its neighbours after them."""
        realism, rng = self._realism, partial(self._rng, row)
        own, has_disc = galaxies.smooth_components(row)
        arms = None
        # Arms and knots share the disc's light without sharing draws.
        if has_disc and realism.spiral:
            side, damping = self._image.stamp_size, self._psf.damping
            arms = galaxies.spiral_arms(own[0], realism.spiral, side, damping, rng("spiral"))
        if has_disc and realism.clumps:
            own = galaxies.knots(own[0], realism.clumps, rng("clumps")) + own[1:]
        others = []
        if realism.neighbours:
            others = galaxies.neighbours(row, realism.neighbours, self._image, rng("neighbours"))
        return _Cast(own + others, len(own), arms)

    def _scene(self, row: dict[str, Any], cast_: _Cast, stamps: Iterator[np.ndarray]) -> Scene:
        realism, side, rng = self._realism, self._image.stamp_size, partial(self._rng, row)
        own, others = np.zeros((2, side, side))
        for number in range(len(cast_.components)):
            stamp = next(stamps)
            if number == 0 and cast_.arms is not None:
                stamp = stamp * cast_.arms
            light = own if number < cast_.own else others
            light += stamp
        levels = self._levels
        if realism.psf:
            both, sigma, scale = np.stack([own, others]), self._psf.sigma, self._image.pixel_scale
            own, others = instrument.jitter_psf(both, realism.psf, sigma, scale, rng("psf_jitter"))
        if realism.depth:
            levels = instrument.jitter_depth(levels, realism.depth, rng("depth_jitter"))
        background, rms = np.zeros((side, side)), levels.pixel_rms
        missing = None
        if realism.archive:
            own, others, taken, missing = self._archive(row, own, others, realism.archive, rms)
            background -= taken
        if realism.sky:
            background += instrument.sky_residual(side, realism.sky, rms, rng("sky_residual"))
        if missing is not None:
            own, others, background = (
                np.where(missing, 0.0, plane) for plane in (own, others, background)
            )
            if realism.archive and realism.archive.edges and realism.archive.edges.fill == "noise":
                missing = None
        return Scene(own + others, own, levels, background, missing)

    def _archive(
        self,
        row: dict[str, Any],
        own: np.ndarray,
        others: np.ndarray,
        settings: Archive,
        pixel_rms: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | float, np.ndarray | None]:
        """Cut, mask and clean: own and others' light, what is subtracted, what is missing."""
        side, rng = self._image.stamp_size, partial(self._rng, row)
        half_sides = None
        window: np.ndarray | float = 1.0
        if settings.box:
            half_sides = archive.box_half_sides(row, settings.box, self._image, rng("archive_box"))
            window = archive.box_window(row, half_sides, side, self._psf.sigma)
        if settings.masks:
            draws = rng("archive_masks")
            masked = archive.neighbour_mask(own, others, settings.masks, pixel_rms, draws)
            own, others = (np.where(masked, 0.0, plane) for plane in (own, others))
        taken: np.ndarray | float = 0.0
        wings = settings.over_subtraction
        if wings:
            draws = rng("over_subtraction")
            taken = window * archive.over_subtraction(own + others, row, half_sides, wings, draws)
        missing = None
        if settings.edges:
            missing = archive.missing_strip(side, settings.edges, rng("missing_edge"))
        return own * window, others * window, taken, missing


@dataclass(frozen=True)
class _Cast:
    """Components of one stamp: the galaxy's first `own`, of which the first is the disc."""

    components: list[dict[str, Any]]
    own: int
    arms: np.ndarray | None
