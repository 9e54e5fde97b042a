"""The renderers: GalSim's as the reference, a set of PSFs, and the choice by name."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

import galsim
import numpy as np

from galadapt.config.image import Image
from galadapt.core.errors import ConfigError, DataError
from galadapt.simulation.drawing import drawn
from galadapt.simulation.ktable import KTableRenderer
from galadapt.simulation.renderer import Renderer

_CHUNK_PIXELS = 2**24  #: pixels of the stamps a set of PSFs draws before it yields them

# Settings at which GalSim itself is exact to a few hundredths of the noise.
_TIGHT = {"kvalue_accuracy": 1e-6, "maxk_threshold": 1e-5, "folding_threshold": 2e-3}


class GalsimRenderer(Renderer):
    """A single Sersic profile drawn by GalSim at tight settings, one stamp at a time.

    The reference for every other renderer: slow (0.1 to 10 s per stamp), a new index costs most.
    """

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp; see `Renderer.render`."""
        # An FFT of side N takes 24 N^2 bytes.
        largest = math.isqrt(int(self._memory_limit * 2**20) // 24)
        gsparams = galsim.GSParams(maximum_fft_size=largest, **_TIGHT)
        galaxy, centre = self.galaxy(parameters), (self.side - 1) / 2
        try:
            # GalSim's radius is the circularised one; its angles start at +x, GALFIT's at +y.
            profile = galsim.Sersic(
                n=galaxy.index,
                half_light_radius=galaxy.radius * math.sqrt(galaxy.q) * self._scale,
                flux=galaxy.flux,
                gsparams=gsparams,
            ).shear(q=galaxy.q, beta=(galaxy.angle + math.pi / 2) * galsim.radians)
            convolved = galsim.Convolve(
                profile, self._psf, gsparams=gsparams, propagate_gsparams=False
            )
            offset = galaxy.x - centre, galaxy.y - centre
            return drawn(convolved, self.side, self._scale, offset, float)
        except (galsim.GalSimFFTSizeError, galsim.GalSimFFTSizeWarning) as error:
            raise DataError(
                f"a galaxy of radius {galaxy.radius:g} px and index {galaxy.index:g} needs an FFT "
                f"of {error.size} px, more than {self._memory_limit:g} MiB; raise "
                "simulation.memory_limit or use the renderer ktable"
            ) from None


class PsfSetRenderer(Renderer):
    """Draws each galaxy through the PSF of a set that its ``psf_index`` names.

    One renderer per PSF; those used longest ago are dropped when all of them hold more than the
    memory limit. Galaxies are drawn PSF by PSF within chunks, so that each renderer is prepared
    once per chunk at worst.
    """

    def __init__(
        self,
        image: Image,
        psfs: Sequence[Callable[[], galsim.GSObject]],
        kind: str,
        memory_limit: float = 2048.0,
    ) -> None:
        """Prepare; `psfs` are those of `psf.make_psfs`, `kind` is ``simulation.renderer``.

        The memory limit [MiB] is that of one galaxy and of all renderers.
        """
        self._image, self._psfs, self._kind, self._limit = image, psfs, kind, memory_limit
        self._chunk = max(1, min(1024, _CHUNK_PIXELS // image.stamp_size**2))
        self._renderers: OrderedDict[int, Renderer] = OrderedDict()

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp; see `Renderer.render`."""
        return next(self.render_many([parameters]))

    @property
    def held(self) -> int:
        """Bytes kept between galaxies."""
        return sum(renderer.held for renderer in self._renderers.values())

    def render_many(self, rows: Sequence[Mapping[str, float]]) -> Iterator[np.ndarray]:
        """Draw many stamps; see `Renderer.render_many`."""
        for start in range(0, len(rows), self._chunk):
            chunk = rows[start : start + self._chunk]
            drawn: dict[int, np.ndarray] = {}
            for index in sorted({int(row["psf_index"]) for row in chunk}):
                members = [i for i, row in enumerate(chunk) if row["psf_index"] == index]
                stamps = self._renderer(index).render_many([chunk[i] for i in members])
                drawn.update(zip(members, stamps, strict=True))
                while len(self._renderers) > 1 and self.held > self._limit * 2**20:
                    self._renderers.popitem(last=False)
            yield from (drawn.pop(i) for i in range(len(chunk)))

    def _renderer(self, index: int) -> Renderer:
        if index not in self._renderers:
            psf = self._psfs[index]()
            self._renderers[index] = make_renderer(self._image, psf, self._kind, self._limit)
        self._renderers.move_to_end(index)
        return self._renderers[index]


def make_renderer(
    image: Image, psf: galsim.GSObject, kind: str, memory_limit: float = 2048.0
) -> Renderer:
    """Build a renderer by the name of ``simulation.renderer``; other arguments as `Renderer`'s.

    Raises:
        ConfigError: no renderer has that name, what it needs is not installed, or the memory
            limit cannot hold one stamp.
        DataError: the PSF cannot be sampled.
    """
    if kind == "ktable":
        return KTableRenderer(image, psf, memory_limit)
    if kind == "ktable_jax":
        from galadapt.simulation.ktable_jax import KTableJaxRenderer

        return KTableJaxRenderer(image, psf, memory_limit)
    if kind == "galsim":
        return GalsimRenderer(image, psf, memory_limit)
    raise ConfigError(
        f"simulation.renderer: no renderer '{kind}'; use one of ktable, ktable_jax, galsim"
    )
