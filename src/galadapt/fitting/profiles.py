"""Sersic profiles seen through a PSF, with their derivatives: many galaxies at a time.

The transform of a galaxy is flux F_n(x) PSF(k) exp(-i k.c), where x is the elliptical wave number.
F_n and its slopes come from the renderer's table (`galadapt.simulation.sersic`); the ellipse enters
through x^2, which is a sum of three fixed functions of k, and the centre through the phase. So all
derivatives are analytic, and each costs one small inverse FFT.

Inside, the ellipse's matrix is r^2 exp(H), r^2 = a b, where H is symmetric and without trace: its
two components change smoothly through a round galaxy, H = 0. Outside, galaxies have the parameters
`NAMES`.

The inverse FFT of period P adds copies of the galaxy P pixels apart. Those in the window are
smooth: they are evaluated from the profile at few nodes, with their derivatives, and subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import galsim
import numpy as np
from numpy.polynomial import chebyshev
from scipy import fft
from scipy.special import digamma, gammaincc, gammaln

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.simulation.sersic import FRACTION_BITS, OCTAVES, scale, sersic_table

#: What describes a galaxy: logarithms of total flux, semi-major half-light radius [px] and Sersic
#: index; e cos 2PA and e sin 2PA, with e = 1 - b/a and PA counter-clockwise from +y; column and row
#: of the centre from the middle of the stamp, (S - 1) / 2 [px].
NAMES = ("ln_flux", "ln_radius", "ln_index", "e1", "e2", "x", "y")

#: Their number; inside a fit they are ln flux, ln sqrt(a b), ln n, eta cos 2PA and eta sin 2PA with
#: eta = -ln(b/a), x and y.
PARAMETERS = len(NAMES)

#: Limits of ln n, and of |eta|: an axis ratio of 0.04.
LOG_INDEX = tuple(np.log(SERSIC_INDEX_LIMITS))
LARGEST_ETA = 3.2

#: Every so many pieces of the renderer's table are one piece here: 128 per octave of x^2, linear
#: interpolation to 8e-6 of the value.
_STRIDE = 4
_BITS = FRACTION_BITS + 2

_PERIOD = 1.5  #: of the FFT, in sides of the window, at least

#: Nodes per axis on which the nearest copies and those of rings 2 and 3 are evaluated.
_NEAR, _FAR, _RINGS = 9, 4, 3

#: Modes beyond the last with this share of the PSF's power are left out.
_PSF_CUT = 1e-4

_STEP = 1.01  #: of radius and index in numerical slopes

_BLUR = 2.5  #: of the wings of a point source's copies [working px]

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8  #: filter before every second pixel is taken


def inner_of(theta: np.ndarray) -> np.ndarray:
    """Turn parameters (n, 7) in the order of `NAMES` into those used inside, (n, 7)."""
    inner = np.array(theta, float)
    e = np.hypot(theta[:, 3], theta[:, 4])
    eta = -np.log1p(-np.minimum(e, 1 - math.exp(-LARGEST_ETA)))
    ratio = np.where(e > 1e-9, eta / np.maximum(e, 1e-9), 1.0)
    inner[:, 1] -= eta / 2
    inner[:, 3:5] *= ratio[:, None]
    return inner


def outer_of(inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn parameters used inside (n, 7) into those of `NAMES`; with the derivatives (n, 7, 7)."""
    theta = np.array(inner, float)
    eta = np.hypot(inner[:, 3], inner[:, 4])
    safe = np.maximum(eta, 1e-9)
    e = -np.expm1(-eta)
    ratio = np.where(eta > 1e-9, e / safe, 1.0)
    theta[:, 1] += eta / 2
    theta[:, 3:5] *= ratio[:, None]
    slopes = np.zeros((len(inner), PARAMETERS, PARAMETERS))
    slopes[:, range(PARAMETERS), range(PARAMETERS)] = 1.0
    unit = inner[:, 3:5] / safe[:, None]
    slopes[:, 1, 3:5] = unit / 2
    # Along eta the slope is that of e, across it e / eta.
    outward = unit[:, :, None] * unit[:, None, :]
    slopes[:, 3:5, 3:5] = ratio[:, None, None] * (np.eye(2) - outward)
    slopes[:, 3:5, 3:5] += np.exp(-eta)[:, None, None] * outward
    return theta, slopes


class Window:
    """Draws galaxies in a square window of n working pixels, each of f x f pixels of the stamp."""

    def __init__(
        self, psf: galsim.GSObject, side: int, factor: int = 1, filter_1d: np.ndarray | None = None
    ) -> None:
        """Prepare.

        Args:
            psf: Effective PSF, in pixels of the stamp.
            side: Of the window [working px].
            factor: 1, or a power of 2: filtered by `TAPS` and decimated, so often as it takes.
            filter_1d: Transfer function of a further filter along each axis, at the wave numbers
                0 to P/2 of the period: what whitens the noise.
        """
        self.side, self.factor = side, factor
        self.period = period_of(side)
        self._modes(psf, filter_1d)
        self._nodes()
        self._wings(psf, filter_1d)

    def _modes(self, psf: galsim.GSObject, filter_1d: np.ndarray | None) -> None:
        period, factor = self.period, self.factor
        # The stamp's Nyquist is factor * period / 2; the filter leaves little beyond 3/4 of it.
        most = math.floor(float(psf.maxk) / math.pi * factor * period / 2)
        most = min(most, period - 1 if factor == 1 else math.floor(0.75 * period))
        half = self._transform(psf, most)
        half *= self._filter(most, filter_1d)
        power = np.abs(half)
        rows = np.maximum(power.max(axis=1)[most:], power.max(axis=1)[most::-1])
        reach = np.maximum(rows, power.max(axis=0))
        last = max(2, int(np.flatnonzero(reach > _PSF_CUT * reach.max())[-1]))
        self._last = last
        self._psf = half[most - last : most + last + 1, : last + 1].astype(np.complex64)
        kx = 2 * math.pi / period * np.arange(last + 1)
        ky = 2 * math.pi / period * np.arange(-last, last + 1)
        self._kx, self._ky = kx, ky
        planes = ky[:, None] ** 2 + kx**2, ky[:, None] ** 2 - kx**2, -2 * ky[:, None] * kx
        self._planes = [plane.astype(np.float32) for plane in planes]

    def _transform(self, psf: galsim.GSObject, last: int, stretch: int = 1) -> np.ndarray:
        """The PSF's transform, (2 K + 1, K + 1), times that of the decimation's filter."""
        step = 2 * math.pi / (self.period * stretch * self.factor)
        grid = galsim.ImageCD(galsim.BoundsI(0, last, -last, last), scale=step)
        values = psf.drawKImage(image=grid, recenter=False).array.copy()
        k = step * np.arange(-last, last + 1)
        along = np.ones(2 * last + 1)
        for power in range(int(math.log2(self.factor))):
            along *= np.cos(2**power * k / 2) ** 3
        values *= along[:, None] * along[last:]
        return np.asarray(values / self.factor**2)

    def _filter(self, last: int, filter_1d: np.ndarray | None) -> np.ndarray | float:
        """The further filter at the modes: it is periodic, as what it is applied to is sampled."""
        if filter_1d is None:
            return 1.0
        mode = np.arange(-last, last + 1) % self.period
        along = filter_1d[np.minimum(mode, self.period - mode)]
        return np.asarray(along[:, None] * along[last:])

    def _nodes(self) -> None:
        """Points of the copies, relative to the centre of the window, and their interpolation."""
        side, period = self.side, self.period
        steps = np.arange(-_RINGS, _RINGS + 1)
        shifts = period * np.array([(i, j) for j in steps for i in steps])
        ring = np.abs(shifts).max(axis=1) // period
        points, self._spread = [], []
        for count, chosen in ((_NEAR, shifts[ring == 1]), (_FAR, shifts[ring > 1])):
            unit = chebyshev.chebpts1(count)
            nodes = unit * side / 2
            x = nodes[None, None, :] - chosen[:, 0, None, None]
            y = nodes[None, :, None] - chosen[:, 1, None, None]
            points.append(np.stack(np.broadcast_arrays(x, y)).reshape(2, -1))
            pixels = (np.arange(side) - (side - 1) / 2) / (side / 2)
            vander = chebyshev.chebvander(unit, count - 1)
            to_pixels = chebyshev.chebvander(pixels, count - 1) @ np.linalg.inv(vander)
            self._spread.append(to_pixels.astype(np.float32))
        self._split = points[0].shape[1]
        self._x, self._y = np.concatenate(points, axis=1).astype(np.float32)

    def _wings(self, psf: galsim.GSObject, filter_1d: np.ndarray | None) -> None:
        """What copies of a point source of unit flux in the middle add to the window."""
        smooth = 1.0 if filter_1d is None else float(filter_1d[0]) ** 2
        drawn = []
        for stretch in (1, 4):
            last = min(self._last, self.period // 2 - 1) * stretch
            values = self._transform(psf, last, stretch)
            period = self.period * stretch
            # Wings are smooth: no need of the modes at which either period is cut.
            blur = np.exp(-((2 * math.pi / period * _BLUR * np.arange(-last, last + 1)) ** 2) / 2)
            values *= blur[:, None] * blur[last:]
            middle = (self.side - 1) / 2
            phase = np.exp(-2j * math.pi / period * np.arange(-last, last + 1) * middle)
            values = values * phase[:, None] * phase[last:]
            drawn.append(_drawn(values, period, self.side))
        self._wing = (smooth * (drawn[0] - drawn[1])).astype(np.float32)
        #: What the further filter makes of smooth light.
        self.smooth = np.float32(smooth)

    def draw(self, inner: np.ndarray) -> np.ndarray:
        """Draw galaxies with all derivatives.

        Args:
            inner: Parameters inside (B, 7), radius and centre in working pixels, the centre from
                the window's first pixel.

        Returns:
            Derivatives (B, 7, n, n) float32; the first, by ln flux, is the image itself.
        """
        images = _drawn(self._spectra(inner), self.period, self.side)
        self._unfold(images, inner)
        return images

    def _spectra(self, inner: np.ndarray) -> np.ndarray:
        """Transforms of the image and its derivatives, (B, 7, 2 K + 1, K + 1) complex64."""
        flux, radius, index = (np.exp(inner[:, k]) for k in range(3))
        forms = _ellipses(inner, radius**2)[..., None, None]
        x2 = _form(forms[0], self._planes)
        minor = radius**2 * np.exp(-np.hypot(inner[:, 3], inner[:, 4]))
        least = math.floor(math.log2(float(minor.min()) * self._kx[1] ** 2))
        most = math.floor(math.log2(float(x2.max()))) + 1
        first = min(max(least - 1, OCTAVES[0]), OCTAVES[1] - 1)
        last = min(max(most, first + 1), OCTAVES[1])
        pieces, offset = _pieces(index, first, last)
        bits = x2.view(np.int32)
        rows = (bits >> _BITS) - offset
        np.clip(rows, 0, pieces.shape[1] - 1, out=rows)
        rows += (np.arange(len(inner), dtype=np.int32) * pieces.shape[1])[:, None, None]
        piece = np.take(pieces.reshape(-1), rows).view(np.float32).reshape(*x2.shape, 4)
        place = (bits & ((1 << _BITS) - 1)).astype(np.float32)
        phase_x = np.exp(-1j * self._kx * inner[:, 5, None])
        phase_y = np.exp(-1j * self._ky * inner[:, 6, None]) * flux[:, None]
        base = phase_y.astype(np.complex64)[:, :, None] * phase_x.astype(np.complex64)[:, None, :]
        base *= self._psf
        found = np.empty((len(inner), PARAMETERS, *x2.shape[1:]), np.complex64)
        place *= piece[..., 1]
        place += piece[..., 0]
        np.multiply(base, place, out=found[:, 0])
        np.multiply(base, piece[..., 3], out=found[:, 2])
        base *= piece[..., 2]
        x2 *= 2
        np.multiply(base, x2, out=found[:, 1])
        for number in (1, 2):
            np.multiply(base, _form(forms[number], self._planes), out=found[:, 2 + number])
        np.multiply(found[:, 0], (-1j * self._kx).astype(np.complex64), out=found[:, 5])
        np.multiply(found[:, 0], (-1j * self._ky).astype(np.complex64)[:, None], out=found[:, 6])
        return found

    def _unfold(self, images: np.ndarray, inner: np.ndarray) -> None:
        """Subtract the copies of the galaxies, and those of the PSF's wings, in place."""
        flux, radius, index = (np.exp(inner[:, k]) for k in range(3))
        middle = (self.side - 1) / 2

        def column(values: np.ndarray) -> np.ndarray:
            return np.asarray(values, np.float32)[:, None]

        x = self._x - column(inner[:, 5] - middle)
        y = self._y - column(inner[:, 6] - middle)
        y2, x2 = y * y, x * x
        planes = y2 + x2, x2 - y2, 2 * x * y
        # The inverse matrix has -H.
        forms = _ellipses(inner, 1 / radius**2)[..., None]
        s = _form(forms[0], planes)
        b = np.asarray(scale(index))
        slope_b = (scale(index * 1.001) - scale(index * 0.999)) / (0.002 * index)
        log_s = np.log(s)
        power = np.exp(log_s * column(1 / (2 * index)))
        central = np.log(flux * self.smooth / (2 * math.pi * radius**2 * index))
        central += 2 * index * np.log(b) - gammaln(2 * index)
        light = np.exp(column(central) - column(b) * power)
        light /= np.float32(self.factor**2)
        # d ln(light) / d ln s.
        fall = power * column(-b / (2 * index))
        found = np.empty((len(inner), 5, light.shape[1]), np.float32)
        found[:, 0] = light
        fall *= light
        found[:, 1] = -2 * (light + fall)
        # d ln(light) / d ln n at a given s.
        constant = index * (-1 / index - 2 * digamma(2 * index) + 2 * np.log(b))
        constant += 2 * index**2 * slope_b / b
        found[:, 2] = light * column(constant) - light * power * column(index * slope_b)
        found[:, 2] -= fall * log_s
        # d s / d eta over s, times fall.
        fall /= s
        for number in (1, 2):
            found[:, 2 + number] = fall * _form(forms[number], planes)
        shape = (len(inner), 5, -1)
        near = found[..., : self._split].reshape(*shape, _NEAR, _NEAR).sum(axis=2)
        far = found[..., self._split :].reshape(*shape, _FAR, _FAR).sum(axis=2)
        matrix, coarse = self._spread
        images[:, :5] -= matrix @ near @ matrix.T + coarse @ far @ coarse.T
        images[:, 0] -= np.asarray(flux, np.float32)[:, None, None] * self._wing
        # Farther copies are a level, whose slopes are those of the share of light out there.
        edge = (_RINGS + 0.5) * self.period
        unit = flux * float(self.smooth) / (self.factor * self.period) ** 2
        share = _outside(edge / radius, index)
        slopes = (
            share,
            (_outside(edge / (radius * _STEP), index) - share) / math.log(_STEP),
            (_outside(edge / radius, index * _STEP) - share) / math.log(_STEP),
        )
        for number, one in enumerate(slopes):
            images[:, number] -= np.asarray(unit * one, np.float32)[:, None, None]


def _drawn(spectra: np.ndarray, period: int, side: int) -> np.ndarray:
    """Images (..., n, n) of spectra (..., 2 K + 1, K + 1), folded beyond the working Nyquist."""
    last, half = spectra.shape[-1] - 1, period // 2
    rows = np.zeros((*spectra.shape[:-2], period, last + 1), spectra.dtype)
    rows[..., : last + 1, :] = spectra[..., last:, :]
    rows[..., period - last :, :] += spectra[..., :last, :]
    if last >= half:
        # Column c beyond is the conjugate of column P - c, its rows in reverse.
        mirrored = np.conj(rows[..., half:])
        mirrored = np.roll(mirrored[..., ::-1, :], 1, axis=-2)[..., ::-1]
        rows = rows[..., : half + 1]
        rows[..., period - last :] += mirrored
    rows = fft.ifft(rows, axis=-2, overwrite_x=True)[..., :side, :]
    return np.ascontiguousarray(fft.irfft(rows, n=period, axis=-1)[..., :side])


def _ellipses(inner: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Coefficients (3, 3, B) float32 of size exp(H), and of its slopes by both components of H.

    They are those of x^2 + y^2, y^2 - x^2 and -2 x y.
    """
    eta1, eta2 = inner[:, 3], inner[:, 4]
    eta = np.hypot(eta1, eta2)
    cosh = np.cosh(eta)
    # sinh(eta) / eta, and its slope by eta over eta.
    small = eta < 1e-3
    safe = np.where(small, 1.0, eta)
    sinhc = np.where(small, 1 + eta**2 / 6, np.sinh(safe) / safe)
    slope = np.where(small, 1 / 3.0, (cosh - sinhc) / safe**2)
    even = size * sinhc
    return np.array(
        [
            (size * cosh, even * eta1, even * eta2),
            (even * eta1, size * (slope * eta1 * eta1 + sinhc), size * (slope * eta1 * eta2)),
            (even * eta2, size * (slope * eta2 * eta1), size * (slope * eta2 * eta2 + sinhc)),
        ],
        np.float32,
    )


def _form(coefficients: np.ndarray, planes: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of three planes times coefficients, each (B, 1, ...)."""
    total: np.ndarray = coefficients[0] * planes[0]
    total += coefficients[1] * planes[1]
    total += coefficients[2] * planes[2]
    return total


def _outside(radius: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Share of the light beyond radii in units of the half-light radius."""
    return np.asarray(gammaincc(2 * index, np.asarray(scale(index)) * radius ** (1 / index)))


def period_of(side: int) -> int:
    """Even length of a window's FFT."""
    return 2 * fft.next_fast_len(math.ceil(side * _PERIOD / 2))


def _pieces(index: np.ndarray, first: int, last: int) -> tuple[np.ndarray, int]:
    """Transforms of some indices (B,) as line pieces in x^2, over octaves of x^2.

    Returns:
        (B, pieces) complex128, which are four float32 in one gather: value, its slope per trailing
        bit, dF / dx^2, dF / dln n; and the leading bits of the first piece.
    """
    table = sersic_table()
    per_octave = 1 << (23 - _BITS)
    begin, end = (per_octave * (octave - OCTAVES[0]) for octave in (first, last))
    values = table.values[:, begin * _STRIDE : end * _STRIDE + 1 : _STRIDE]
    stencils = [table.stencil(float(n)) for n in index]
    changes = [table.stencil_slope(float(n)) for n in index]
    rows = np.stack([values[row : row + 4] for row, _ in stencils])
    weights = np.array([[w, c] for (_, w), c in zip(stencils, changes, strict=True)], np.float32)
    both = weights @ rows
    found = np.empty((len(index), end - begin, 4), np.float32)
    step = np.diff(both[:, 0], axis=1)
    found[..., 0] = both[:, 0, :-1]
    found[..., 1] = step * np.float32(2.0**-_BITS)
    octave = np.repeat(np.arange(first, last), per_octave)
    found[..., 2] = step * (per_octave * 2.0**-octave).astype(np.float32)
    found[..., 3] = (both[:, 1, 1:] + both[:, 1, :-1]) / 2
    # The first piece is F = 1, used for x = 0.
    found[:, 0] = [1.0, 0.0, 0.0, 0.0]
    return found.view(np.complex128)[..., 0], (127 + first) << (23 - _BITS)
