"""The base of all renderers: parameters in, a noiseless stamp out.

To add a renderer, write a subclass of `Renderer` and name it in `renderers.make_renderer` and in
`config.simulation.Simulation.renderer`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import galsim
import numpy as np
from scipy.special import gammaln

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.photometry import flux_of
from galadapt.core.quantity import PARAMETERS
from galadapt.simulation.sersic import scale


class Galaxy(NamedTuple):
    """One profile in pixels."""

    flux: Any  #: total [e-/s]
    radius: Any  #: semi-major half-light axis [px]
    index: Any  #: Sersic index
    b: Any  #: its b_n
    q: Any  #: axis ratio
    angle: Any  #: position angle [rad], from +y counter-clockwise
    x: Any  #: column of the centre, 0-based [px]
    y: Any  #: row of the centre [px]
    central: Any  #: surface brightness at the centre [e-/s/px]


class Renderer:
    """Draws noiseless galaxies."""

    def __init__(self, image: Image, psf: galsim.GSObject, memory_limit: float = 2048.0) -> None:
        """Prepare; `psf` is an effective PSF, pixel included [arcsec], from `psf.make_psf`.

        `memory_limit` is the memory that one galaxy's transform may take [MiB].
        """
        self.side, self._scale = image.stamp_size, image.pixel_scale
        self._zero_point = image.zero_point
        self._psf, self._memory_limit = psf, memory_limit

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp by `PARAMETERS`, position_angle [deg], x_offset and y_offset [px].

        Returns:
            (S, S) [e-/s], the galaxy at pixel (S - 1) / 2 + offset; float32 of the k-table,
            float64 of GalSim.

        Raises:
            DataError: this galaxy cannot be drawn.
        """
        raise NotImplementedError

    @property
    def held(self) -> int:
        """Bytes kept between galaxies, beside caches of GalSim's own."""
        return 0

    def render_many(self, rows: Sequence[Mapping[str, float]]) -> Iterator[np.ndarray]:
        """Draw many stamps in order, each as `render` draws it.

        Raises:
            DataError: a galaxy cannot be drawn; the message names its `id` if it has one.
        """
        for row in rows:
            with named(row):
                stamp = self.render(row)
            yield stamp

    def galaxy(self, parameters: Mapping[str, float]) -> Galaxy:
        """Convert parameters, as `render` takes them, to the profile in pixels.

        Raises:
            DataError: a value is outside what can be drawn.
        """
        names = (*PARAMETERS, "position_angle", "x_offset", "y_offset")
        values = {name: float(parameters[name]) for name in names}
        n, radius = values["sersic_index"], values["effective_radius"]
        q = 1.0 - values["ellipticity"]
        low, high = SERSIC_INDEX_LIMITS
        problem = ""
        if not all(map(math.isfinite, values.values())):
            problem = "a value is not finite"
        elif not low <= n <= high:
            problem = f"the index must lie in [{low}, {high}]"
        elif radius <= 0:
            problem = "the radius must be positive"
        elif not 0 < q <= 1:
            problem = "the ellipticity must lie in [0, 1)"
        if problem:
            shown = ", ".join(f"{name} {parameters[name]:g}" for name in PARAMETERS)
            raise DataError(f"galaxy with {shown} cannot be drawn: {problem}; correct it")
        flux = flux_of(values["magnitude"], self._zero_point)
        b = float(scale(n))
        area = 2 * math.pi * n * q * radius**2
        centre = (self.side - 1) / 2
        return Galaxy(
            flux=flux,
            radius=radius,
            index=n,
            b=b,
            q=q,
            angle=math.radians(values["position_angle"]),
            x=centre + values["x_offset"],
            y=centre + values["y_offset"],
            central=flux / area * math.exp(2 * n * math.log(b) - gammaln(2 * n)),
        )


@contextlib.contextmanager
def named(row: Mapping[str, float]) -> Iterator[None]:
    """Name the galaxy of a row in errors, if it has an `id`."""
    try:
        yield
    except DataError as error:
        if "id" in row:
            raise DataError(f"galaxy {row['id']}: {error}") from None
        raise
