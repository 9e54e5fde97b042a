"""Random effective PSFs, as transforms on a grid of wave numbers.

Four families, so that a network learns the PSF's influence and not one instrument: Moffat profiles
(the ground, and wings), obscured circular apertures with jitter (space), a core with a halo, and
images of PSFs, stretched and turned (diffraction spikes; by default the F160W PSF of WFC3, made by
`galadapt.simulation.psf`). All are elliptical, and all contain the pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import galsim
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.special import gamma, kv

from galadapt.config.general import PsfDraws
from galadapt.config.image import OnePsf
from galadapt.simulation.psf import fwhm as fwhm_of
from galadapt.simulation.psf import make_psf

#: Nodes of the radial transforms, and samples per axis of the transform of an image.
_RADIAL, _SAMPLES = 2048, 257

#: Largest wave number of the transform of an image [1/FWHM].
_REACH = 14.0

#: Pixel scale of the optical PSFs [arcsec].
_SCALE = 0.06


class Drawn(NamedTuple):
    """One PSF."""

    transform: np.ndarray  #: (2 K + 1, K + 1), rows ky = -K..K, complex64
    fwhm: float  #: of the effective PSF, geometric mean of the axes [px]


def _moffat(k: np.ndarray, beta: float) -> np.ndarray:
    """Transform of a Moffat profile of FWHM 1 at wave numbers k (Trujillo et al. 2001, eq. 4)."""
    scale = 0.5 / np.sqrt(2 ** (1 / beta) - 1)
    x = np.maximum(k * scale, 1e-6)
    return 2 * (x / 2) ** (beta - 1) * kv(beta - 1, x) / gamma(beta - 1)


def _aperture(k: np.ndarray, obscuration: float) -> np.ndarray:
    """Transform of an Airy profile of FWHM about 1 with a central obscuration (O'Neill 1956)."""
    x = np.minimum(k / (2 * np.pi * 1.029), 1.0)
    e = obscuration

    def lens(a: float, b: float) -> np.ndarray:
        """Overlap of discs of radii a and b whose centres lie 2 x apart, over pi."""
        d = 2 * np.maximum(x, 1e-9)
        apart, inside = d >= a + b, d <= abs(a - b)
        one = np.arccos(np.clip((d**2 + a**2 - b**2) / (2 * d * a), -1, 1))
        two = np.arccos(np.clip((d**2 + b**2 - a**2) / (2 * d * b), -1, 1))
        root = np.clip((a + b - d) * (d + a - b) * (d - a + b) * (d + a + b), 0, None)
        area = (a**2 * one + b**2 * two - 0.5 * np.sqrt(root)) / np.pi
        return np.where(apart, 0.0, np.where(inside, min(a, b) ** 2, area))

    if e == 0:
        return lens(1.0, 1.0)
    return (lens(1.0, 1.0) - 2 * lens(1.0, e) + lens(e, e)) / (1 - e**2)


def _image(settings: OnePsf) -> np.ndarray:
    """Sample the transform of a PSF, its pixel included, over k in units of 1/FWHM.

    Returns:
        (2, n, n), real and imaginary part.
    """
    # A FITS image is drawn at its own sampling, the optics with the pixels of F160W mosaics.
    scale = getattr(settings, "pixel_scale", _SCALE)
    psf = make_psf(settings, scale)
    width = fwhm_of(psf, scale)
    half = _SAMPLES // 2
    step = _REACH / width / half
    bounds = galsim.BoundsI(-half, half, -half, half)
    sampled = psf.drawKImage(bounds=bounds, scale=step, recenter=False).array
    return np.stack([sampled.real, sampled.imag])


class PsfMaker:
    """Draws PSFs for galaxies on a grid of wave numbers [rad/px]."""

    def __init__(self, settings: PsfDraws, kx: np.ndarray, ky: np.ndarray) -> None:
        """Prepare for kx = 0..K and ky = -K..K."""
        self._settings = settings
        self._kx, self._ky = kx[None, :], ky[:, None]
        self._images = [_image(one) for one in settings.images]
        self._pixel = np.sinc(self._kx / (2 * np.pi)) * np.sinc(self._ky / (2 * np.pi))

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Draw one PSF."""
        settings = self._settings
        fwhm = settings.fwhm.at_log(rng.random())
        stretch = np.exp(0.5 * settings.ellipticity.at(rng.random() ** 2))
        angle = rng.uniform(0, np.pi)
        family = rng.choice(4, p=np.divide(settings.shares, sum(settings.shares)))
        # The pixel widens the PSF: in quadrature, with a box as wide as its second moment.
        own = np.sqrt(max(fwhm**2 - 0.6, 0.5 * fwhm**2))
        cosine, sine = np.cos(angle), np.sin(angle)
        u = own * stretch * (cosine * self._kx + sine * self._ky)
        v = own / stretch * (-sine * self._kx + cosine * self._ky)
        if family == 3:
            u, v = u * fwhm / own, v * fwhm / own
            values = _turned(self._images[rng.integers(len(self._images))], u, v)
        else:
            values = _radial(family, np.hypot(u, v), rng) * self._pixel
        return Drawn(values.astype(np.complex64), fwhm)


def _radial(family: int, k: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    nodes = np.linspace(0.0, float(k.max()) * 1.001, _RADIAL)
    if family == 0:
        values = _moffat(nodes, rng.uniform(2.2, 5.0))
    elif family == 1:
        # Jitter widens the core; what is left of the FWHM is the aperture's.
        jitter = rng.uniform(0.0, 0.8)
        values = _aperture(nodes * np.sqrt(1 - jitter**2), rng.choice([0.0, 0.2, 0.33, 0.4]))
        values = values * np.exp(-((nodes * jitter * 0.4247) ** 2) / 2)
    else:
        halo, width = rng.uniform(0.02, 0.25), rng.uniform(2.0, 5.0)
        core = np.exp(-((nodes * 0.4247) ** 2) / 2)
        values = (1 - halo) * core + halo * _moffat(nodes * width, rng.uniform(2.5, 5.0))
    return np.interp(k, nodes, values)


def _turned(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    half = _SAMPLES // 2
    places = np.stack([v, u]) * (half / _REACH) + half
    real, imaginary = (map_coordinates(part, places, order=1) for part in image)
    return np.asarray(real + 1j * imaginary)
