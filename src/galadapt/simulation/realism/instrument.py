"""Effects of the instrument: a varying PSF, uneven depth, residual sky."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import galsim
import numpy as np
from scipy import fft

from galadapt.config.realism import PsfJitter, SkyResidual, Strength
from galadapt.simulation.noise import NoiseLevels

_WAVENUMBERS, _DIRECTIONS = 128, 12  #: sampling of a PSF's transfer function


@dataclass(frozen=True)
class PsfShape:
    """Width and transfer function of a PSF."""

    sigma: float  #: of the Gaussian of the same full width at half maximum [px]
    wavenumber: np.ndarray  #: grid from 0 to the PSF's band limit [rad/px]
    transfer: np.ndarray  #: modulus of its transform there, averaged over directions

    @classmethod
    def of(cls, psf: galsim.GSObject, pixel_scale: float) -> PsfShape:
        """Measure an effective PSF [arcsec]."""
        wavenumber = np.linspace(0.0, psf.maxk * pixel_scale, _WAVENUMBERS)
        angles = np.linspace(0.0, np.pi, _DIRECTIONS, endpoint=False)
        modulus = [
            [abs(psf.kValue(k * math.cos(a), k * math.sin(a))) for a in angles]
            for k in wavenumber / pixel_scale
        ]
        sigma = psf.calculateFWHM() / math.sqrt(8 * math.log(2)) / pixel_scale
        return cls(float(sigma), wavenumber, np.mean(modulus, axis=1))

    def damping(self, wavenumber: np.ndarray) -> np.ndarray:
        """Share of a wave's amplitude that the PSF leaves, at any wavenumber [rad/px]."""
        return np.interp(wavenumber, self.wavenumber, self.transfer, right=0.0)


def jitter_psf(
    images: np.ndarray,
    settings: PsfJitter,
    psf_sigma: float,
    pixel_scale: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Blur and elongate the PSF of images (K, S, S) that are already convolved with it.

    A second convolution with an elongated Gaussian: flux is kept, and the product of transforms is
    exact for images sampled beyond their band limit. Beyond the stamp's edge the image is
    taken to be like the edge. `psf_sigma` is in pixels, `pixel_scale` in arcsec/px.
    """
    blur = settings.blur.at(rng.random()) / pixel_scale
    ellipticity = settings.ellipticity.at(rng.random())
    angle = rng.uniform(0, np.pi)
    # Variance added along one axis: (a^2 - b^2) / (a^2 + b^2) of the sum is the ellipticity.
    stretch = 2 * (psf_sigma**2 + blur**2) * ellipticity / (1 - ellipticity)
    side = images.shape[-1]
    pad = math.ceil(4 * math.sqrt(blur**2 + stretch)) + 1
    period = fft.next_fast_len(side + 2 * pad, real=True)
    after = period - side - pad
    padded = np.pad(images, ((0, 0), (pad, after), (pad, after)), mode="edge")
    ky = 2 * np.pi * fft.fftfreq(period)[:, None]
    kx = 2 * np.pi * fft.rfftfreq(period)[None, :]
    along = kx * np.cos(angle) + ky * np.sin(angle)
    transfer = np.exp(-0.5 * (blur**2 * (kx**2 + ky**2) + stretch * along**2))
    blurred = fft.irfft2(fft.rfft2(padded) * transfer, s=(period, period))
    return blurred[:, pad : pad + side, pad : pad + side]


def jitter_depth(levels: NoiseLevels, depth: Strength, rng: np.random.Generator) -> NoiseLevels:
    """Multiply the sky rms by a drawn factor; rms ~ exposure^(-1/2) sets the exposure."""
    factor = depth.at(rng.random())
    return replace(
        levels, pixel_rms=levels.pixel_rms * factor, exposure_time=levels.exposure_time / factor**2
    )


def sky_residual(
    side: int, settings: SkyResidual, pixel_rms: float, rng: np.random.Generator
) -> np.ndarray:
    """Background (side, side) that a reduction leaves: a constant and a gradient."""
    level = settings.level.at(rng.random())
    gradient = settings.gradient.at(rng.random())
    angle = rng.uniform(0, 2 * np.pi)
    axis = (np.arange(side) - (side - 1) / 2) / side
    slope = axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle)
    return pixel_rms * (level + gradient * slope)
