"""The point spread function of a frame: seeing, aberrations and tracking over its field."""

from __future__ import annotations

import math
from dataclasses import dataclass

import galsim
import numpy as np
from scipy import fft

from galadapt.tasks.stars.settings import SimulatedFrames

#: Side of the box a star is drawn in [px]; beyond it a bright star's wings are below the sky.
BOX = 128

#: The k-space grid reaches twice the pixels' Nyquist frequency, where seeing leaves nothing.
_FINER = 2

_SHORTEST_TRAIL = 0.05  #: trails shorter than this do not show [arcsec]


@dataclass(frozen=True)
class Optics:
    """Parameters of the PSF of one frame. Lengths in arcsec, angles in radians."""

    seeing: float  #: FWHM of the atmosphere at the centre (Kolmogorov profile)
    growth: float  #: its growth from centre to corner, as a share
    shear: tuple[float, float]  #: its shear (g1, g2)
    obscuration: float
    coma: tuple[float, float]  #: flare at the centre, from the head to the end of the tail
    coma_corner: float  #: length of the radial coma that is added at the corner
    drift: float  #: length of the trail
    drift_angle: float
    steady: float  #: share of the exposure before the drift begins
    defocus: float  #: outer radius of the defocused image at the centre
    tilt: tuple[float, float]  #: gradient of the defocus as a share per half side

    def psf(self, u: float, v: float, settings: SimulatedFrames) -> galsim.GSObject:
        """PSF at a place of the field, without the pixel.

        Aberrations are given by their geometric size, from the slope of the wavefront at the
        edge of the pupil (Noll 1976 for the polynomials): a defocus of a waves spreads light
        over a radius of 8 sqrt(3) a wavelength / diameter, a coma of a waves over a flare of
        18 sqrt(8) a wavelength / diameter.
        Columns u and rows v are in half sides from the centre, -1 to 1.
        """
        distance = math.hypot(u, v) / math.sqrt(2)
        atmosphere = galsim.Kolmogorov(fwhm=self.seeing * (1 + self.growth * distance**2))
        waves = settings.waves
        coma = np.array(self.coma) + self.coma_corner * np.array([u, v]) / math.sqrt(2)
        # A wavefront ahead at one edge of the pupil throws the tail to the other side.
        coma2, coma1 = -coma / (18 * math.sqrt(8) * waves)
        defocus = self.defocus * (1 + self.tilt[0] * u + self.tilt[1] * v)
        optics = galsim.OpticalPSF(
            lam_over_diam=waves,
            obscuration=self.obscuration,
            defocus=defocus / (8 * math.sqrt(3) * waves),
            coma1=coma1,
            coma2=coma2,
            oversampling=1.0,
            pad_factor=1.5,
        )
        parts = [atmosphere.shear(g1=self.shear[0], g2=self.shear[1]), optics]
        if self.drift > _SHORTEST_TRAIL:
            # A box so narrow is a line; it begins where the star stood at first.
            line = galsim.Box(self.drift, 0.02, flux=1 - self.steady).shift(self.drift / 2, 0)
            trail = line + galsim.DeltaFunction(flux=self.steady)
            parts.append(trail.rotate(self.drift_angle * galsim.radians))
        return galsim.Convolve(parts)


def transform(psf: galsim.GSObject, pixel_scale: float) -> np.ndarray:
    """Fourier transform of a PSF of unit flux with its pixel, on the grid that `draw` uses.

    Returns:
        Half plane (side, side // 2 + 1) complex, zero frequency first.
    """
    side = BOX * _FINER
    step = 2 * math.pi / (BOX * pixel_scale)
    full = galsim.Convolve([psf, galsim.Pixel(pixel_scale)]).drawKImage(
        nx=side, ny=side, scale=step
    )
    return np.asarray(fft.ifftshift(full.array)[:, : side // 2 + 1])


def draw(spectrum: np.ndarray, x: float, y: float) -> np.ndarray:
    """Draw a star of unit flux into a box (BOX, BOX), from the spectrum by `transform`.

    The star is at column x and row y [px] from the centre of pixel (BOX / 2, BOX / 2).
    """
    side = BOX * _FINER
    place = np.array([x, y]) * _FINER
    rows = np.exp(-2j * np.pi * fft.fftfreq(side) * place[1])
    columns = np.exp(-2j * np.pi * fft.rfftfreq(side) * place[0])
    fine = fft.irfft2(spectrum * rows[:, None] * columns, s=(side, side))
    return np.asarray(fft.fftshift(fine)[::_FINER, ::_FINER] * _FINER**2)
