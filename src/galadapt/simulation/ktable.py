"""The default renderer: a table of the Sersic transform times the PSF's, one inverse FFT per stamp.

The image is band-limited by its PSF, so a product sampled on the k-grid of the native pixels is
exact but for folding in real space: the inverse FFT of period P adds every copy of the galaxy P
pixels apart. Copies lie in the galaxy's smooth outskirts, which the PSF does not change, so they
are computed from the profile itself and subtracted. What this cannot remove (narrow copies, the
PSF's own wings) is predicted, and the period grows until it is negligible.

A PSF with power beyond the Nyquist frequency is sampled as far as its power reaches, and the
spectrum folded onto the native grid: that is what sampling at pixel centres does.

The arithmetic is written once for numpy and jax.numpy (`xp`), for one galaxy.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import galsim
import numpy as np
from numpy.polynomial import chebyshev
from scipy import fft
from scipy.ndimage import gaussian_filter
from scipy.special import gammaincc

from galadapt.config.image import Image
from galadapt.core.errors import ConfigError, DataError
from galadapt.simulation.renderer import Galaxy, Renderer
from galadapt.simulation.sersic import FRACTION_BITS, OCTAVES, first_piece, sersic_table

#: Largest error of folding allowed per pixel [e-/s]: 1/50 of the noise of CANDELS wide.
FOLDED = 1e-4

FOLDED_FLUX = 2e-3  #: largest error of folding allowed in the stamp's light, over the galaxy's flux

#: Largest error per pixel of leaving out the frequencies beyond those a galaxy needs [e-/s].
CUT = 1e-5

# Periods over the side of the stamp.
_SHORT = (1.25, 1.375, 1.5, 1.625, 1.75, 1.875, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 4, 4.5, 5, 6)
_PERIODS = (*_SHORT, 8, 12, 16, 24, 32, 48, 64)

_RINGS = 3  #: copies of the galaxy on each side that are summed; beyond, their sum is an integral

# Nodes per axis on which the nearest ring of copies, and the farther ones, are evaluated.
_NEAR, _FAR = 16, 6

# Width of the PSF [px] in the estimate of what it does to a copy: generous for its wings.
_PSF_SIGMA = 3.0

# What the corrections leave, measured over the default priors: of the far copies' mean, of the
# highest of the PSF's wings, of their light.
_BEYOND_ERROR, _WING_ERROR, _WING_LIGHT = 0.02, 0.2, 0.3

# Blurs [px] of the wings' copies; that nearest the galaxy's radius stands for the galaxy's own.
_BLURS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

# How far a galaxy brings its light towards the stamp [r_e], and how much of the contrast of the
# PSF's wings a thin one keeps.
_REACH, _CONTRAST = 1.2, 0.1

# Directions uniform in the frame in which the profile is round, over one half.
_ROUND = (np.cos((np.arange(24) + 0.5) * np.pi / 24), np.sin((np.arange(24) + 0.5) * np.pi / 24))

_MAX_OVERSAMPLING = 8.0  #: samples beyond this multiple of the Nyquist frequency are refused


class Waves(NamedTuple):
    """What a galaxy's transform needs along each axis of the grid; leading axes are galaxies.

    x^2 is (along_x + along_y)^2 + across. Phases reach hundreds of radians, too many for float32:
    they are computed in float64.
    """

    along_x: Any  #: (K + 1,) float32
    along_y: Any  #: (2 K + 1,) float32
    across: Any  #: (2 K + 1,) float32
    phase_x: Any  #: shift of the centre (K + 1,) complex64
    phase_y: Any  #: the same (2 K + 1,), times the flux


def waves(galaxy: Galaxy, kx: np.ndarray, ky: np.ndarray) -> Waves:
    """Prepare one galaxy, or many whose attributes are arrays (n,), for wave numbers [rad/px]."""
    flux, radius, _, _, q, angle, x, y, _ = (np.asarray(v, float)[..., None] for v in galaxy)
    # x^2 = (alpha kx + beta ky)^2 + (gamma ky)^2: the ellipse with one square completed.
    sine, cosine = np.sin(angle), np.cos(angle)
    alpha = radius * np.sqrt(sine**2 + (q * cosine) ** 2)
    beta = radius**2 * (q**2 - 1) * sine * cosine / alpha
    gamma = radius**2 * q / alpha
    return Waves(
        along_x=(alpha * kx).astype(np.float32),
        along_y=(beta * ky).astype(np.float32),
        across=((gamma * ky) ** 2).astype(np.float32),
        phase_x=np.exp(-1j * kx * x).astype(np.complex64),
        phase_y=(flux * np.exp(-1j * ky * y)).astype(np.complex64),
    )


def stamp_of(
    xp: Any,
    transforms: Any,
    to_bits: Any,
    wave: Waves,
    pieces: Any,
    start: int,
    psf: Any,
    period: int,
    side: int,
) -> Any:
    """Render one galaxy with its folded copies, (side, side) float32 [e-/s].

    Args:
        xp: numpy or jax.numpy.
        transforms: scipy.fft or jax.numpy.fft.
        to_bits: Reinterprets float32 as int32.
        pieces: From `SersicTable.pieces`; `start` is the leading bits of the first.
        psf: The PSF's transform at the frequencies of `wave`, (2 K + 1, K' + 1).
        period: Period P [px].
    """
    # In place where arrays are mutable: fresh memory costs as much as the arithmetic.
    x2 = wave.along_x[None, :] + wave.along_y[:, None]
    x2 *= x2
    x2 += wave.across[:, None]
    bits = to_bits(x2)
    # k = 0, before the first piece, takes that piece, F = 1.
    piece = xp.take(pieces, (bits >> FRACTION_BITS) - start, axis=0, mode="clip")
    values = (bits & ((1 << FRACTION_BITS) - 1)).astype(xp.float32)
    values *= piece.imag
    values += piece.real
    return image_of(xp, transforms, values * psf, wave, period, side)


def image_of(xp: Any, transforms: Any, spectrum: Any, wave: Waves, period: int, side: int) -> Any:
    """Invert a spectrum (2 K + 1, K' + 1), rows ky = -K..K, into a shifted stamp (side, side)."""
    last = spectrum.shape[0] // 2
    spectrum = spectrum * wave.phase_y[:, None]
    rows = _column(xp, [spectrum[last:], spectrum[:last]], period, last)
    rows = transforms.ifft(rows, axis=0)[:side] * wave.phase_x[None, :]
    return transforms.irfft(_half(xp, rows, period), n=period, axis=1)[:, :side]


def _column(xp: Any, blocks: list[Any], period: int, last: int) -> Any:
    """Fold ky = 0..K and -K..-1 onto `period` rows."""
    width = blocks[0].shape[1]
    gap = period - (2 * last + 1)
    if gap >= 0:
        empty = xp.zeros((gap, width), blocks[0].dtype)
        return xp.concatenate([blocks[0], empty, blocks[1]])
    # Pad to whole periods at the far side of each block, then add the periods up.
    tail = -(last + 1) % period
    head = -last % period
    positive = xp.concatenate([blocks[0], xp.zeros((tail, width), blocks[0].dtype)])
    negative = xp.concatenate([xp.zeros((head, width), blocks[0].dtype), blocks[1]])
    both = xp.concatenate([positive, negative]).reshape(-1, period, width)
    return both.sum(axis=0)


def _half(xp: Any, rows: Any, period: int) -> Any:
    """Fold kx = 0..K onto the half spectrum 0..P/2 that an inverse real FFT takes."""
    nyquist, last = period // 2, rows.shape[1] - 1
    if last < nyquist:
        return rows
    # With kx = -K..-1 as conjugates, all of them modulo the period.
    mirrored = xp.conj(rows[:, 1:][:, ::-1])
    return _column(xp, [rows.T, mirrored.T], period, last)[: nyquist + 1].T


def copies(xp: Any, galaxy: Galaxy, x: Any, y: Any) -> Any:
    """Brightness of the profile [e-/s/px] at points (M,): (M,) float32."""
    sine, cosine = xp.sin(galaxy.angle), xp.cos(galaxy.angle)
    minor = galaxy.q * galaxy.radius
    x, y = x - galaxy.x, y - galaxy.y
    along = (cosine / galaxy.radius) * y
    along -= (sine / galaxy.radius) * x
    x *= cosine / minor
    y *= sine / minor
    x += y
    x *= x
    along *= along
    along += x
    power = xp.exp(xp.log(along) / (2 * galaxy.index))
    power *= -galaxy.b
    return galaxy.central * xp.exp(power)


def blur(radius: float) -> int:
    """Number of the blur of the wings' copies that suits a galaxy of this radius [px]."""
    return int(np.searchsorted(np.sqrt(np.multiply(_BLURS[1:], (0.5, *_BLURS[1:-1]))), radius))


def folded(xp: Any, galaxy: Galaxy, beyond: Any, blurred: Any, grid: Grid) -> Any:
    """Light of all copies of the galaxy inside the stamp, (side, side) float32 [e-/s].

    The attributes of `galaxy` are float32; `beyond` is the mean light of the copies outside the
    summed rings [e-/s/px], `blurred` comes from `blur`.
    """
    # A matrix product sums in an order that depends on the machine: numpy's is done in float64,
    # whose rounding does not reach the float32 result.
    light = copies(xp, galaxy, grid.copies_x, grid.copies_y)
    split = 8 * _NEAR**2
    near = light[:split].reshape(-1, _NEAR, _NEAR).sum(axis=0)
    far = light[split:].reshape(-1, _FAR, _FAR).sum(axis=0) + beyond
    near = near + grid.far_matrix @ far @ grid.far_matrix.T
    light = grid.near_matrix @ near @ grid.near_matrix.T
    light = light + galaxy.flux * xp.take(grid.wings, blurred, axis=0)
    return light.astype(xp.float32)


class Grid(NamedTuple):
    """One period's constants; arrays only where computation needs them."""

    period: int  #: P [px]
    last: int  #: largest frequency K in units of 2 pi / P
    kx: Any  #: wave numbers 0..K [rad/px]
    ky: Any  #: wave numbers -K..K [rad/px]
    psf: Any  #: the PSF's transform (2 K + 1, K + 1), complex64, or float32 where it is real
    tail_x: Any  #: sum of its absolute values from kx on, over P^2: K + 1 numbers
    tail_y: Any  #: the same in ky
    #: Columns and rows [px], relative to each copy's period, of the nodes at which the ring of 8
    #: nearest copies, and then the farther ones, are evaluated; (M,) float32.
    copies_x: Any
    copies_y: Any
    near_matrix: Any  #: interpolates from the nodes of the nearest to the stamp, (side, nodes)
    far_matrix: Any  #: interpolates from the nodes of the farther ones to those of the nearest
    #: Light of the copies of a central point source of unit flux, blurred by `_BLURS`,
    #: (blurs, side, side) float32.
    wings: Any
    highest: float = 0.0  #: largest absolute value of the wings, not blurred
    average: float = 0.0  #: mean absolute value

    @classmethod
    def of(cls, period: int, side: int, kx: np.ndarray, ky: np.ndarray, psf: np.ndarray) -> Grid:
        """Compute the constants of a period for stamps of a side, with a PSF without wings.

        Args:
            period: P [px].
            side: Of the stamps from which copies are subtracted [px].
            kx: Wave numbers 0..K [rad/px]; `ky` those from -K to K.
            psf: The PSF's transform there (2 K + 1, K + 1).
        """
        last = len(kx) - 1
        near, far = _nodes(side, _NEAR), _nodes(side, _FAR)
        # The columns kx > 0 stand for those at -kx as well.
        power = np.abs(psf) / period**2
        power[:, 1:] *= 2
        along_y = power.sum(axis=1)
        along_y = along_y[last:] + np.append(0.0, along_y[:last][::-1])
        # Sums from each element on; lists, because they are bisected.
        tail_x, tail_y = (np.cumsum(k[::-1])[::-1].tolist() for k in (power.sum(axis=0), along_y))
        return cls(
            *(period, last, kx, ky, psf, tail_x, tail_y),
            *_points(period, near, far),
            _interpolation(near, np.arange(side)),
            _interpolation(far, near),
            wings=np.zeros((len(_BLURS), 1, 1), np.float32),
        )


def _nodes(side: int, count: int) -> np.ndarray:
    """Coordinates [px] of Chebyshev nodes on the stamp."""
    return chebyshev.chebpts1(count) * side / 2 + (side - 1) / 2


def _interpolation(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Matrix of the polynomial through values at `nodes`, evaluated at `points`."""
    centre, half = points.mean(), np.ptp(points) / 2 + 0.5
    values, wanted = (
        chebyshev.chebvander((at - centre) / half, len(nodes) - 1) for at in (nodes, points)
    )
    # Multiples of 2^-40: no machine's last digit.
    return np.round(wanted @ np.linalg.inv(values) * 2.0**40) / 2.0**40


def _points(period: int, near: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the nodes, relative to each copy: nearest copies first, float32."""
    steps = np.arange(-_RINGS, _RINGS + 1)
    shifts = period * np.array([(i, j) for j in steps for i in steps])
    ring = np.abs(shifts).max(axis=1) // period
    places = []
    for nodes, chosen in ((near, ring == 1), (far, ring > 1)):
        x = nodes[None, None, :] - shifts[chosen, 0, None, None]
        y = nodes[None, :, None] - shifts[chosen, 1, None, None]
        places.append(np.stack(np.broadcast_arrays(x, y)).reshape(2, -1))
    columns, rows = np.concatenate(places, axis=1).astype(np.float32)
    return columns, rows


class KTableRenderer(Renderer):
    """Draws stamps from the table; see the module."""

    def __init__(self, image: Image, psf: galsim.GSObject, memory_limit: float = 2048.0) -> None:
        """Prepare.

        Raises:
            DataError: the PSF has power too far beyond the Nyquist frequency.
            ConfigError: the stamp alone exceeds the memory limit.
        """
        super().__init__(image, psf.dilate(1.0 / image.pixel_scale), memory_limit)
        self._reach = float(self._psf.maxk) / math.pi
        if self._reach > _MAX_OVERSAMPLING:
            raise DataError(
                f"the PSF has power to {self._reach:.1f} times the Nyquist frequency of "
                f"{image.pixel_scale:g} arcsec pixels; use finer pixels or a broader PSF"
            )
        sizes = [2 * fft.next_fast_len(math.ceil(self.side * p / 2)) for p in _PERIODS]
        self._periods = [p for p in sizes if self._memory(p) <= memory_limit]
        if not self._periods:
            raise ConfigError(
                f"simulation.memory_limit: {memory_limit:g} MiB cannot hold the transform of a "
                f"{self.side} px stamp, {self._memory(sizes[0]):.0f} MiB; raise it"
            )
        self._grids: dict[int, Grid] = {}
        self._reference: np.ndarray | None = None

    def _memory(self, period: int) -> float:
        """Peak memory [MiB] of one galaxy: five float32 or index arrays and the spectrum twice."""
        samples = 0.5 * (period * self._reach) ** 2
        return 40.0 * samples / 2**20

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp; see `Renderer.render`."""
        return self.draw(*self.plan(parameters))

    @property
    def held(self) -> int:
        """Bytes kept between galaxies."""
        return sum(grid.psf.nbytes + grid.wings.nbytes for grid in self._grids.values())

    def plan(self, parameters: Mapping[str, float]) -> tuple[Galaxy, int, bool]:
        """Choose the period and correction of a galaxy, the arguments of `draw`.

        Raises:
            DataError: the galaxy cannot be drawn.
        """
        galaxy = self.galaxy(parameters)
        period, corrected = self.period(galaxy)
        grid = self.grid(period)
        octaves(galaxy, grid.kx, grid.ky)
        return galaxy, period, corrected

    def draw(self, galaxy: Galaxy, period: int, corrected: bool) -> np.ndarray:
        """Draw a profile with an even period, at least the side [px]: (side, side) float32 [e-/s].

        `corrected` tells whether to subtract the copies that fold into the stamp.
        """
        grid = self.grid(period)
        stamp = with_copies(galaxy, grid, self.side)
        return stamp - copies_in(galaxy, grid, blur(galaxy.radius)) if corrected else stamp

    def grid(self, period: int) -> Grid:
        """Return the constants of a period, computed once."""
        if period not in self._grids:
            psf, kx, ky = self._sample(period)
            wings = self._wings(period, psf, kx, ky).astype(np.float32)
            level = np.abs(wings[0])
            real = np.abs(psf.imag).max() < 1e-7
            self._grids[period] = Grid.of(period, self.side, kx, ky, psf)._replace(
                psf=psf.real.astype(np.float32) if real else psf.astype(np.complex64),
                wings=wings,
                highest=float(level.max()),
                average=float(level.mean()),
            )
        return self._grids[period]

    def _sample(self, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the PSF's transform at wave numbers in x and y, and these."""
        last = max(1, math.floor(self._reach * period / 2))
        step = 2 * math.pi / period
        grid = galsim.ImageCD(galsim.BoundsI(0, last, -last, last), scale=step)
        psf = self._psf.drawKImage(image=grid, recenter=False).array
        return psf, step * np.arange(last + 1), step * np.arange(-last, last + 1)

    def _wings(self, period: int, psf: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """Measure what copies of a point source add to the stamp: against an eightfold period."""
        reference = 2 * fft.next_fast_len(4 * self.side)
        if period >= reference:
            return np.zeros((len(_BLURS), self.side, self.side))
        if self._reference is None:
            self._reference = point_source(*self._sample(reference), reference, self.side)
        wings = point_source(psf, kx, ky, period, self.side) - self._reference
        return np.array([gaussian_filter(wings, sigma, mode="nearest") for sigma in _BLURS])

    def period(self, galaxy: Galaxy) -> tuple[int, bool]:
        """Choose the shortest period whose error is below `FOLDED`, and whether to correct.

        Raises:
            DataError: even the longest period within the memory limit leaves more.
        """
        for number, period in enumerate(self._periods):
            corrected = self._choice(galaxy, number)
            if corrected is not None:
                return period, corrected
        raise DataError(
            f"a galaxy of radius {galaxy.radius:g} px, index {galaxy.index:g}, axis ratio "
            f"{galaxy.q:g} and {galaxy.flux:.3g} e-/s needs a transform beyond {period} px, more "
            f"than {self._memory_limit:g} MiB; raise simulation.memory_limit or draw it smaller"
        )

    def _choice(self, galaxy: Galaxy, number: int) -> bool | None:
        """Whether a period needs the correction; None if even that leaves too much.

        Predicted are the largest error of folding per pixel, and its sum over the stamp.
        """
        period, (flux, radius, n, b, q, _, x, y, central) = self._periods[number], galaxy
        # The nearest copy's centre lies this far from the stamp, if along the major axis. Centres
        # may lie outside the stamp (neighbours): their copies come nearer.
        centre = (self.side - 1) / 2
        distance = period - self.side / 2 - max(1.0, abs(x - centre), abs(y - centre))
        if distance <= 0:
            return None
        exponent = b * (distance / radius) ** (1 / n)
        light = 4 * central * math.exp(-exponent)
        # Scales on which a copy changes, along and across its ridge.
        smooth = min(distance * n / exponent, q * distance * math.sqrt(n / exponent))
        kept = 1.0
        if smooth > self.side / 8:
            kept = min(1.0, 0.5 * (_PSF_SIGMA / smooth) ** 2)
        if kept * light > FOLDED:
            return None
        outside = float(gammaincc(2 * n, b * (_RINGS * period / radius) ** (1 / n)))
        mean = flux * outside / period**2
        grid = self.grid(period)
        highest, average = flux * grid.highest, flux * grid.average
        # The ends of a long galaxy lie nearer, and keep some of the wings' contrast.
        ends, nearer = 0.0, bisect_left(self._periods, period - _REACH * radius) - 1
        if nearer >= 0:
            ends = _CONTRAST * (1 - q) ** 2 * flux * self.grid(self._periods[nearer]).highest

        def tolerable(light: float, mean: float, highest: float, average: float) -> bool:
            total = (light + mean + average) * self.side**2
            return light + mean + max(highest, ends) < FOLDED and total < FOLDED_FLUX * flux

        if tolerable(light, mean, highest, average):
            return False
        left = (kept * light, _BEYOND_ERROR * mean, _WING_ERROR * highest, _WING_LIGHT * average)
        return True if tolerable(*left) else None


def cut(galaxy: Galaxy, grid: Grid) -> tuple[int, int]:
    """Return the last frequencies in x and y that a galaxy needs on a grid; see `CUT`.

    What is left out is bounded by the PSF's power beyond a frequency, times the largest value of
    the galaxy's transform there.
    """
    sine, cosine = math.sin(galaxy.angle) ** 2, math.cos(galaxy.angle) ** 2
    major, minor = galaxy.radius**-2, (galaxy.q * galaxy.radius) ** -2
    bounds = sersic_table().bounds(galaxy.index)
    # The least x^2 at a given kx is kx^2 over the inverse matrix's diagonal element.
    x = _needed(galaxy.flux, bounds, sine * major + cosine * minor, grid.kx[1], grid.tail_x)
    y = _needed(galaxy.flux, bounds, cosine * major + sine * minor, grid.kx[1], grid.tail_y)
    return x, y


def _needed(
    flux: float, bounds: list[float], inverse: float, step: float, tail: list[float]
) -> int:
    """Return the last frequency beyond which `tail` times the bound is below `CUT`."""
    beyond = len(tail)
    octave = math.frexp(((beyond - 1) * step) ** 2 / inverse)[1] - 1
    while True:
        # Frequencies from `first` to `beyond` lie in this octave of x^2 or above.
        first = math.ceil(math.sqrt(2.0**octave * inverse) / step)
        bound = bounds[min(max(octave - OCTAVES[0], 0), len(bounds) - 1)]
        enough = bisect_left(tail, True, key=lambda light: flux * bound * light < CUT)
        if enough > first or first <= 2:
            return max(1, min(enough, beyond) - 1)
        beyond, octave = first, octave - 1


def octaves(galaxy: Galaxy, kx: np.ndarray, ky: np.ndarray) -> tuple[int, int]:
    """Return the range of log2 x^2 a galaxy needs for wave numbers 0..kx[-1], -ky[-1]..ky[-1].

    Raises:
        DataError: the galaxy is too large for the table.
    """
    largest = 2 * math.log2(galaxy.radius * math.hypot(kx[-1], ky[-1]))
    least = 2 * math.log2(galaxy.radius * galaxy.q * kx[1])
    low, high = OCTAVES
    if largest >= high:
        raise DataError(
            f"a radius of {galaxy.radius:g} px is beyond the table of transforms; "
            "give a radius in pixels"
        )
    first = min(max(math.floor(least) - 1, low), high - 1)
    return first, max(math.floor(largest) + 1, low + 1)


def beyond(galaxy: Galaxy, period: int) -> np.float32:
    """Mean light [e-/s/px] of the copies outside the summed rings."""
    along, across = _ROUND[0], galaxy.q * _ROUND[1]
    sine, cosine = math.sin(galaxy.angle), math.cos(galaxy.angle)
    edge = np.maximum(abs(cosine * across - sine * along), abs(cosine * along + sine * across))
    edge = (_RINGS + 0.5) * period / galaxy.radius / edge
    outside = gammaincc(2 * galaxy.index, galaxy.b * edge ** (1 / galaxy.index))
    return np.float32(galaxy.flux * outside.mean() / period**2)


def with_copies(galaxy: Galaxy, grid: Grid, side: int) -> np.ndarray:
    """Render a galaxy with the copies that fold into the stamp, (side, side) float32 [e-/s].

    Raises:
        DataError: the galaxy is too large for the table.
    """
    last_x, last_y = cut(galaxy, grid)
    rows = slice(grid.last - last_y, grid.last + last_y + 1)
    kx, ky, psf = grid.kx[: last_x + 1], grid.ky[rows], grid.psf[rows, : last_x + 1]
    needed = octaves(galaxy, kx, ky)
    pieces = sersic_table().pieces(galaxy.index, needed)
    wave, start = waves(galaxy, kx, ky), first_piece(needed[0])
    return stamp_of(np, _TRANSFORMS, _bits, wave, pieces, start, psf, grid.period, side)


def copies_in(galaxy: Galaxy, grid: Grid, blurred: int = 0) -> np.ndarray:
    """Light of those copies, on the side that the grid was made for; see `folded`."""
    single = Galaxy(*map(np.float32, galaxy))
    return folded(np, single, beyond(galaxy, grid.period), blurred, grid)


def point_source(
    psf: np.ndarray, kx: np.ndarray, ky: np.ndarray, period: int, side: int
) -> np.ndarray:
    """Draw a point source of unit flux in the middle, (side, side), from a PSF's transform."""
    # In float64: wings are what is left of a difference.
    phases = (np.exp(-1j * wave * ((side - 1) / 2)) for wave in (kx, ky))
    return image_of(np, fft, psf, Waves(None, None, None, *phases), period, side)


#: scipy.fft, free to overwrite what it transforms.
_TRANSFORMS = SimpleNamespace(ifft=partial(fft.ifft, overwrite_x=True), irfft=fft.irfft)


def _bits(values: np.ndarray) -> np.ndarray:
    return values.view(np.int32)
