"""The k-table renderer on an accelerator: the arithmetic of `ktable`, batched and compiled by JAX.

JAX is no dependency of galadapt: it is imported when this renderer is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import galsim
import numpy as np

from galadapt.config.image import Image
from galadapt.core.errors import ConfigError
from galadapt.simulation.ktable import (
    Grid,
    KTableRenderer,
    beyond,
    blur,
    folded,
    stamp_of,
    waves,
)
from galadapt.simulation.renderer import Galaxy, named
from galadapt.simulation.sersic import OCTAVES, first_piece, line_pieces, sersic_table

# Samples of spectra transformed at once, a power of two: bounds the memory of a batch.
_SAMPLES = 2**22

_CHUNK = 1024  #: stamps looked at together to find those of equal period

_FIELDS = ("psf", "wings", "copies_x", "copies_y", "near_matrix", "far_matrix")


class KTableJaxRenderer(KTableRenderer):
    """Draws stamps in batches of equal period.

    A batch always has the same size for its period (the last one is filled up with copies), so
    each period compiles once and a stamp does not depend on which others it is drawn with.
    """

    def __init__(self, image: Image, psf: galsim.GSObject, memory_limit: float = 2048.0) -> None:
        """Prepare as `KTableRenderer`; a ConfigError if JAX is not installed."""
        try:
            import jax
        except ImportError:
            raise ConfigError(
                "simulation.renderer: ktable_jax needs JAX, which is not installed; "
                "install it or use ktable"
            ) from None
        super().__init__(image, psf, memory_limit)
        self._jax = jax
        self._table = jax.numpy.asarray(sersic_table().values)
        self._compiled: dict[int, Callable[..., Any]] = {}

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw one stamp; see `Renderer.render`."""
        return next(self.render_many([parameters]))

    def render_many(self, rows: Sequence[Mapping[str, float]]) -> Iterator[np.ndarray]:
        """Draw stamps in order; see `Renderer.render_many`."""
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            plans = []
            for row in chunk:
                with named(row):
                    plans.append(self.plan(row))
            out = np.empty((len(chunk), self.side, self.side), np.float32)
            for period in sorted({period for _, period, _ in plans}):
                members = [i for i, plan in enumerate(plans) if plan[1] == period]
                size = self._batch_size(period)
                for first in range(0, len(members), size):
                    batch = members[first : first + size]
                    drawn = self._draw([plans[i] for i in batch], period, size)
                    out[batch] = drawn[: len(batch)]
            yield from out

    def _batch_size(self, period: int) -> int:
        grid = self.grid(period)
        return max(1, 1 << (_SAMPLES // grid.psf.size).bit_length() - 1)

    def _draw(self, plans: list[tuple[Galaxy, int, bool]], period: int, size: int) -> np.ndarray:
        plans = plans + [plans[-1]] * (size - len(plans))
        grid = self.grid(period)
        galaxies = [galaxy for galaxy, _, _ in plans]
        many = Galaxy(*(np.array(values) for values in zip(*galaxies, strict=True)))
        stencils = [sersic_table().stencil(galaxy.index) for galaxy in galaxies]
        if period not in self._compiled:
            self._compiled[period] = self._compile(grid)
        drawn = self._compiled[period](
            self._table,
            tuple(getattr(grid, name) for name in _FIELDS),
            waves(many, grid.kx, grid.ky),
            Galaxy(*(values.astype(np.float32) for values in many)),
            np.array([row for row, _ in stencils], np.int32),
            np.array([weights for _, weights in stencils]),
            np.array([beyond(galaxy, period) for galaxy in galaxies]),
            np.array([blur(galaxy.radius) for galaxy in galaxies], np.int32),
            np.array([corrected for _, _, corrected in plans], np.float32),
        )
        return np.asarray(drawn)

    def _compile(self, grid: Grid) -> Callable[..., Any]:
        jax, xp = self._jax, self._jax.numpy
        side = self.side
        to_bits = partial(jax.lax.bitcast_convert_type, new_dtype=xp.int32)

        def one(table: Any, fields: tuple[Any, ...], *of_galaxy: Any) -> Any:
            wave, galaxy, row, weights, outside, blurred, corrected = of_galaxy
            constants = grid._replace(**dict(zip(_FIELDS, fields, strict=True)))
            rows = jax.lax.dynamic_slice_in_dim(table, row, 4)
            pieces = jax.lax.complex(*line_pieces(weights, rows))
            start = first_piece(OCTAVES[0])
            stamp = stamp_of(
                xp, xp.fft, to_bits, wave, pieces, start, constants.psf, grid.period, side
            )
            return stamp - corrected * folded(xp, galaxy, outside, blurred, constants)

        return jax.jit(jax.vmap(one, in_axes=(None, None, *[0] * 7)))
