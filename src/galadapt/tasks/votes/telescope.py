"""From the light of a galaxy to its colour image: PSF, correlated noise, stretch and JPEG.

Light is in 8-bit units before the stretch, lengths in 64ths of the frame ("units"; pixels of a
stamp of 64 px). Channels are red, green and blue, the first axis of light and the last of an image.
"""

from __future__ import annotations

import copy
import io
import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import galsim
import numpy as np
from PIL import Image
from scipy import fft

from galadapt.tasks.votes.data import Telescope

FRAME = 64.0  #: side of the frame [units]

_FINE = 128  #: fewest points along a side of the frame

#: Light is drawn on the frame and beyond it, because transforms are periodic: that much of its side
#: at each border.
_MARGIN = 1 / 8

#: Least side of the JPEG of the frame [px]. Volunteers were shown 424 px, but the colours of those
#: images are as coarse as if compressed before they were enlarged.
_JPEG_SIDE = 64

_FWHM = math.sqrt(8 * math.log(2))  #: FWHM of a Gaussian over its standard deviation

_REACH, _STEPS = 150.0, 3000  #: tables of transforms: largest wave number times radius, and rows


@lru_cache(maxsize=32)
def radial_transform(profile: str, shape: float) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the transform of a round profile of flux 1 over wave number times radius.

    Args:
        profile: ``sersic``, cut at 9 half-light radii (radius: that of half the light), or
            ``moffat`` (radius: FWHM).
        shape: Index of the one, exponent of the other.
    """
    made = (
        galsim.Sersic(shape, half_light_radius=1.0, trunc=9.0)
        if profile == "sersic"
        else galsim.Moffat(shape, fwhm=1.0)
    )
    # Denser where the transform falls fastest.
    k = _REACH * np.linspace(0, 1, _STEPS) ** 2
    return k, np.array([made.kValue(float(one), 0.0).real for one in k])


def turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along an axis at this angle from x to y [rad], and across it."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


class Grid:
    """Points on which light is drawn: `factor` along each side of every pixel of a stamp."""

    def __init__(self, side: int) -> None:
        """Make the grid of stamps of `side` px."""
        self.side = side
        self.factor = math.ceil(_FINE / side)
        self.margin = math.ceil(_MARGIN * side)
        self.count = (side + 2 * self.margin) * self.factor
        self.step = FRAME / (side * self.factor)
        axis = ((np.arange(self.count) - (self.count - 1) / 2) * self.step).astype(np.float32)
        #: Coordinates [units] from the frame's middle, to be broadcast.
        self.x, self.y = axis[None, :], axis[:, None]
        self.kx = (2 * np.pi * fft.rfftfreq(self.count, self.step)).astype(np.float32)[None, :]
        self.ky = (2 * np.pi * fft.fftfreq(self.count, self.step)).astype(np.float32)[:, None]
        self._first = float(axis[0]), float(axis[0])

    def moved(self, x: float, y: float) -> Grid:
        """The same points, their coordinates counted from another place."""
        moved = copy.copy(self)
        moved.x, moved.y = self.x - np.float32(x), self.y - np.float32(y)
        moved._first = self._first[0] - x, self._first[1] - y
        return moved

    def place(self, x: float, y: float) -> np.ndarray:
        """Transform of a point of flux 1 (per grid point)."""
        along = np.exp(-1j * self.kx * np.float32(x - self._first[0]))
        return np.asarray(along * np.exp(-1j * self.ky * np.float32(y - self._first[1])))

    def draw(self, transform: np.ndarray) -> np.ndarray:
        """From a transform to light on the grid, per unit area."""
        light = fft.irfft2(transform, s=(self.count, self.count))
        return np.asarray(light / np.float32(self.step**2))

    def sersic(self, index: float, radius: float, ratio: float, angle: float) -> np.ndarray:
        """Light of a Sersic profile of flux 1 around the place that coordinates count from.

        Args:
            index: Sersic index, rounded to halves (1 to 6): each needs a table of its own.
            radius: Semi-major half-light radius.
            ratio: Axis ratio.
            angle: Of the major axis from x to y [rad].
        """
        table = radial_transform("sersic", min(max(round(2 * index), 2), 12) / 2)
        along, across = turned(self.kx, self.ky, angle)
        k = radius * np.sqrt(along**2 + (ratio * across) ** 2)
        return self.draw(np.interp(k, *table).astype(np.float32) * self.place(0.0, 0.0))


@dataclass(frozen=True)
class Optics:
    """The telescope as it was for one galaxy.

    Attributes:
        telescope: Its settings.
        grid: Where light is drawn.
        fwhm: FWHM of the PSF in green [units].
    """

    telescope: Telescope
    grid: Grid
    fwhm: float

    @cached_property
    def _psf(self) -> list[np.ndarray]:
        table = radial_transform("moffat", self.telescope.psf_beta)
        k = np.hypot(self.grid.kx, self.grid.ky) * self.fwhm
        return [
            np.interp(k * np.float32(factor), *table).astype(np.float32)
            for factor in self.telescope.psf_by_channel
        ]

    def blurred(self, light: np.ndarray, channel: int = 1) -> np.ndarray:
        """Blur light on the grid (count, count) by a channel's PSF: mean of pixels (side, side)."""
        grid = self.grid
        seen = fft.irfft2(fft.rfft2(light) * self._psf[channel], s=light.shape)
        begin, end = grid.margin * grid.factor, (grid.margin + grid.side) * grid.factor
        points = itertools.product(range(begin, begin + grid.factor), repeat=2)
        total = sum(seen[y : end : grid.factor, x : end : grid.factor] for y, x in points)
        return np.asarray(total / np.float32(grid.factor**2))

    @cached_property
    def _correlation(self) -> np.ndarray:
        """Covariance of the noise of pixels along one axis (side,); 1 before pixels average."""
        pixel = FRAME / self.grid.side
        sigma = self.telescope.noise_correlation * self.fwhm / _FWHM / pixel
        distance = np.arange(self.grid.side)
        distance = np.minimum(distance, self.grid.side - distance)[:, None]
        # Two pixels average over all distances of their points: a triangle.
        apart = np.linspace(-1, 1, 41)
        weight = (1 - np.abs(apart)) / (1 - np.abs(apart)).sum()
        alike = np.exp(-((distance - apart) ** 2) / (4 * sigma**2))
        return np.asarray(alike @ weight)

    @property
    def independent(self) -> float:
        """Pixels over which the noise is the same: the factor between white and this noise."""
        line = self._correlation
        return float((line.sum() / line[0]) ** 2)

    def variance(self, light: np.ndarray) -> np.ndarray:
        """Variance of the noise of pixels, from their blurred light (3, side, side)."""
        sky = np.array(self.telescope.noise, np.float32)[:, None, None] ** 2
        photons = light.clip(min=0) / self.telescope.gain
        return np.asarray((sky + photons) * float(self._correlation[0] ** 2))

    def noise(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise of pixels with this blurred light (3, side, side)."""
        power = np.sqrt(fft.fft(self._correlation).real.clip(min=0)).astype(np.float32)
        white = rng.standard_normal(light.shape, dtype=np.float32)
        spectrum = fft.rfft2(white) * power[:, None] * power[: self.grid.side // 2 + 1]
        unit = fft.irfft2(spectrum, s=light.shape[1:]) / float(self._correlation[0])
        return np.asarray(unit * np.sqrt(self.variance(light)))


def colour_image(light: np.ndarray, telescope: Telescope) -> np.ndarray:
    """Stretch light (3, side, side) to a colour image (side, side, 3) uint8, through a JPEG.

    All channels are divided by the same number, so that colours stay (Lupton et al. 2004, PASP 116,
    133); where one exceeds 255 all are lowered.
    """
    balanced = np.moveaxis(light, 0, -1) * np.array(telescope.balance, np.float32)
    bright = np.abs(balanced.mean(axis=-1, keepdims=True)) / telescope.softening + 1e-6
    stretched = balanced * np.arcsinh(bright) / bright
    sky = np.array(telescope.sky, np.float32)
    stretched *= np.minimum(1, 255 / (stretched + sky).max(axis=-1, keepdims=True).clip(min=1))
    pixels = np.round((stretched + sky).clip(0, 255)).astype(np.uint8)
    side = len(pixels)
    picture = Image.fromarray(pixels)
    if side < _JPEG_SIDE:
        picture = picture.resize((_JPEG_SIDE, _JPEG_SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=telescope.jpeg_quality)
    picture = Image.open(stream)
    if side < _JPEG_SIDE:
        picture = picture.resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture)
