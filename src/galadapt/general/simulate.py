"""Endless simulated stamps to train with: PSF, depth, noise, masks and neighbours all differ.

Galaxies are drawn in groups that share a PSF. Each is rendered once, without noise, as a product of
Fourier transforms, and used several times with another flux, orientation, noise, mask and other
neighbours: galaxies of the same group, moved. Everything is in units of the noise of a pixel, so
that zero point, exposure and gain drop out. A batch depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln

from galadapt.config.general import General, GeneralDraws
from galadapt.core.random import generator
from galadapt.general.parameters import SIDE
from galadapt.general.psfs import PsfMaker
from galadapt.simulation import ktable
from galadapt.simulation.noise import kernel
from galadapt.simulation.profiles import fit_single_sersic, half_light_radius
from galadapt.simulation.renderer import Galaxy
from galadapt.simulation.sersic import scale

#: Period of the transforms [px]: twice the stamp, so that moved galaxies fill it as well.
PERIOD = 2 * SIDE

#: Wave numbers up to this multiple of the Nyquist frequency: a PSF of 1.8 px has power beyond it.
_REACH = 1.5

#: Galaxies are rendered with this flux over the noise, at which the neglected light is invisible.
_FLUX = float(np.exp(12.0))

#: Light of folded copies [noise of a pixel] from which they are subtracted.
_FOLDED = 0.02

_PURPOSE = 0x6E00  #: of the random streams; + 1 for noise and masks

#: Side of the field of noise that stamps of a group are cut from [px].
_NOISE_FIELD = 416

#: Sersic indices of bulges.
_BULGES = (1.5, 2.5, 4.0)


class Stamps(NamedTuple):
    """A batch."""

    images: np.ndarray  #: (n, S, S) float32 in units of the stated noise, 0 where masked
    valid: np.ndarray  #: (n, S, S) bool
    psfs: np.ndarray  #: (g, S, S) float32, effective PSFs, centred on the middle of four pixels
    psf_index: np.ndarray  #: (n,) which of them
    theta: np.ndarray  #: (n, 7) truth
    crowded: np.ndarray  #: (n,) bool: with neighbours
    composite: np.ndarray  #: (n,) bool: not a single Sersic profile


@dataclass
class _Group:
    """Galaxies with one PSF, rendered without noise."""

    light: np.ndarray  #: (g, P, P) float32 of flux 1, middle of the stamp at (P - 1) / 2
    theta: np.ndarray  #: (g, 7) with ln_flux of 0
    composite: np.ndarray  #: (g,)
    psf: np.ndarray  #: (S, S), flux 1


def joined(parts: Sequence[Any]) -> Any:
    """Concatenate the arrays of named tuples of one kind."""
    return parts[0]._make(map(np.concatenate, zip(*parts, strict=True)))


def drawn(recipe: General, seed: int, sets: int, **draws: float) -> Iterator[Stamps]:
    """Draw galaxies with another seed and some other `draws` of the recipe, each used once.

    They come in sets, whose batches share their PSFs and noise.
    """
    training = recipe.training.model_copy(update={"seed": seed, "passes": 1})
    changed = recipe.draws.model_copy(update=draws)
    simulator = Simulator(recipe.model_copy(update={"training": training, "draws": changed}))
    for number in range(sets):
        batches = list(simulator.batches(number))
        yield joined(batches)._replace(psfs=batches[0].psfs)


class Simulator:
    """Makes batches by number."""

    def __init__(self, settings: General) -> None:
        """Prepare the constants of all groups."""
        self._settings = settings
        last = int(_REACH * PERIOD / 2)
        step = 2 * np.pi / PERIOD
        self._kx, self._ky = step * np.arange(last + 1), step * np.arange(-last, last + 1)
        self._last = last
        self._psfs = PsfMaker(settings.draws.psf, self._kx, self._ky)

    def batches(self, number: int) -> Iterator[Stamps]:
        """Make the batches of one set of galaxies, `mixed` times `passes` of them."""
        training = self._settings.training
        rng = generator(training.seed, _PURPOSE, number)
        count = training.mixed * training.batch // training.group
        groups = [self._group(rng) for _ in range(count)]
        rng = generator(training.seed, _PURPOSE + 1, number)
        for _ in range(training.passes):
            # A batch has galaxies of every group.
            order = rng.permutation(count * training.group)
            parts = [self._stamps(group, rng) for group in groups]
            whole = joined(parts)._replace(psf_index=np.repeat(np.arange(count), training.group))
            for rows in order.reshape(-1, training.batch):
                yield Stamps(*(a if a is whole.psfs else a[rows] for a in whole))

    # --- galaxies without noise -------------------------------------------------------------------

    def _group(self, rng: np.random.Generator) -> _Group:
        draws, count = self._settings.draws, self._settings.training.group
        psf = self._psfs.draw(rng).transform
        # Frequencies beyond which the PSF has nothing are left out.
        power = np.abs(psf).max(axis=0)
        last = max(24, int(np.flatnonzero(power > 1e-5)[-1]))
        rows = slice(self._last - last, self._last + last + 1)
        transform = np.ascontiguousarray(psf[rows, : last + 1])
        kx, ky = self._kx[: last + 1], self._ky[rows]
        grid = ktable.Grid.of(PERIOD, SIDE, kx, ky, transform)
        theta, parts = draw_galaxies(draws, count, rng)
        light = np.empty((count, PERIOD, PERIOD), np.float32)
        for row in range(count):
            light[row] = sum(
                self._render(grid, theta[row], *part) for part in parts[row] if part[0] > 0
            )
        image = ktable.point_source(transform, kx, ky, PERIOD, SIDE)
        composite = np.array([len(part) > 1 for part in parts])
        # A PSF's image has the sum 1, as users give it: light beyond it is in nobody's flux.
        seen = image.sum()
        psf_image = (image / seen).astype(np.float32)
        return _Group(light / np.float32(_FLUX * seen), theta, composite, psf_image)

    def _render(
        self, grid: ktable.Grid, theta: np.ndarray, share: float, radius: float, index: float
    ) -> np.ndarray:
        """Draw one component (P, P), with the middle of the stamp at the middle of the period."""
        q = 1 - np.hypot(theta[3], theta[4])
        b = float(scale(index))
        area = 2 * np.pi * index * q * radius**2
        flux = share * _FLUX
        galaxy = Galaxy(
            flux=flux,
            radius=radius,
            index=index,
            b=b,
            q=q,
            angle=np.arctan2(theta[4], theta[3]) / 2,
            x=(PERIOD - 1) / 2 + theta[5],
            y=(PERIOD - 1) / 2 + theta[6],
            central=flux / area * np.exp(2 * index * np.log(b) - gammaln(2 * index)),
        )
        image = ktable.with_copies(galaxy, grid, PERIOD)
        distance = PERIOD - SIDE / 2
        if 4 * galaxy.central * np.exp(-b * (distance / radius) ** (1 / index)) > _FOLDED:
            middle = slice((PERIOD - SIDE) // 2, (PERIOD + SIDE) // 2)
            shift = (PERIOD - SIDE) / 2
            moved = galaxy._replace(x=galaxy.x - shift, y=galaxy.y - shift)
            image = image.copy()
            image[middle, middle] -= ktable.copies_in(moved, grid)
        return image

    # --- one use of the galaxies ------------------------------------------------------------------

    def _stamps(self, group: _Group, rng: np.random.Generator) -> Stamps:
        draws = self._settings.draws
        count = len(group.theta)
        theta = group.theta.copy()
        drawn = rng.uniform(draws.ln_flux.low, draws.ln_flux.high, count)
        theta[:, 0] += drawn
        flux = np.exp(drawn).astype(np.float32)
        photons = draws.photons.at_log(rng.random())
        white = rng.random() < draws.white
        taps = kernel(0.0 if white else round(draws.drop.at(rng.random()), 1))
        noise = _noise_field(taps, rng)
        crowded = rng.random(count) < draws.crowded
        masked = rng.random(count) < draws.masked
        middle = (PERIOD - SIDE) // 2
        images = np.empty((count, SIDE, SIDE), np.float32)
        valid = np.ones((count, SIDE, SIDE), bool)
        for row in range(count):
            light = flux[row] * group.light[row, middle : middle + SIDE, middle : middle + SIDE]
            if rng.random() < draws.knots and theta[row, 2] < 1.0:
                light = self._with_knots(light, flux[row], group, theta[row], rng)
            if crowded[row]:
                others, mask = self._neighbours(group, row, float(flux[row]), draws.neighbours, rng)
                light = light + others
                if masked[row]:
                    valid[row] &= ~mask
            if masked[row]:
                _mask(valid[row], draws.cutouts, rng)
            y, x = rng.integers(0, _NOISE_FIELD - SIDE, 2)
            scatter = np.sqrt(1 + np.maximum(light, 0) / photons)
            image = light + scatter * noise[y : y + SIDE, x : x + SIDE]
            if rng.random() > draws.sky_known:
                image += _sky(draws.sky, rng)
            images[row] = image
        stated = np.exp(draws.noise_error * rng.standard_normal(count))
        images /= stated[:, None, None].astype(np.float32)
        theta[:, 0] -= np.log(stated)
        images *= valid
        psf = group.psf
        # One orientation per group: the PSF turns with its galaxies.
        transposed, mirrored = rng.random(2) < 0.5
        images, valid, psf, theta = turned(images, valid, psf, theta, transposed, mirrored)
        return Stamps(
            images, valid, psf[None], np.zeros(count, int), theta, crowded, group.composite
        )

    @staticmethod
    def _neighbours(
        group: _Group, row: int, flux: float, mean: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add other galaxies of the group, moved; also the pixels that a mask of them covers."""
        light = np.zeros((SIDE, SIDE), np.float32)
        mask = np.zeros((SIDE, SIDE), bool)
        radius = float(np.exp(group.theta[row, 1]))
        for _ in range(1 + rng.poisson(mean - 1)):
            other = int(rng.integers(len(group.theta)))
            size = float(np.exp(group.theta[other, 1]))
            # Few are brighter than the galaxy, many fainter; the large ones are rarely near.
            ratio = np.exp(rng.uniform(-4.5, 1.2))
            x, y = rng.integers(-SIDE // 2, SIDE // 2 + 1, 2)
            if np.hypot(x, y) < max(5.0, 1.2 * radius, 0.8 * size):
                continue
            top, left = (PERIOD - SIDE) // 2 - y, (PERIOD - SIDE) // 2 - x
            own = group.light[other, top : top + SIDE, left : left + SIDE]
            amplitude = np.float32(ratio * flux)
            light += amplitude * own
            mask |= amplitude * own > rng.uniform(1.0, 4.0) + 0.01 * amplitude * own.max()
        near = max(4.0, 1.0 * radius)
        middle = (SIDE - 1) / 2
        axis = np.arange(SIDE) - middle
        mask &= np.hypot(axis[:, None], axis[None, :]) > near
        return light, mask

    @staticmethod
    def _with_knots(
        light: np.ndarray,
        flux: np.float32,
        group: _Group,
        theta: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Gather a share of a disc's light into point sources inside it."""
        share = rng.uniform(0.03, 0.2)
        weights = rng.standard_exponential(rng.integers(2, 8))
        weights *= share / weights.sum()
        light = np.float32(1 - share) * light
        radius, q = np.exp(theta[1]), 1 - np.hypot(theta[3], theta[4])
        angle = np.arctan2(theta[4], theta[3]) / 2
        half = SIDE // 2
        psf = np.pad(group.psf, half)
        for weight in weights:
            r, azimuth = radius * np.sqrt(rng.uniform(0.02, 3.0)), rng.uniform(0, 2 * np.pi)
            along, across = r * np.cos(azimuth), q * r * np.sin(azimuth)
            x = round(theta[5] - along * np.sin(angle) + across * np.cos(angle))
            y = round(theta[6] + along * np.cos(angle) + across * np.sin(angle))
            if max(abs(x), abs(y)) < half:
                moved = psf[half - y : half - y + SIDE, half - x : half - x + SIDE]
                light += np.float32(weight) * flux * moved
        return light


def draw_galaxies(
    draws: GeneralDraws, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[list[tuple[float, float, float]]]]:
    """Draw vectors (n, 7) with ln_flux of 0, and components (share, radius, index) of each."""
    half = rng.random((2, count)) < 0.5
    unit = rng.random((6, count))
    low, high = draws.effective_radius.low, draws.effective_radius.high
    radius = np.where(half[0], low * (high / low) ** unit[0], low + (high - low) * unit[0])
    low, high = draws.sersic_index.low, draws.sersic_index.high
    index = np.where(half[1], low * (high / low) ** unit[1], low + (high - low) * unit[1])
    e = draws.ellipticity.low + (draws.ellipticity.high - draws.ellipticity.low) * unit[2]
    angle = 2 * np.pi * unit[3]
    x, y = draws.max_offset * (2 * unit[4:6] - 1)
    theta = np.stack(
        [np.zeros(count), np.log(radius), np.log(index), e * np.cos(angle), e * np.sin(angle), x, y]
    ).T
    parts = [[(1.0, float(radius[row]), float(index[row]))] for row in range(count)]
    chosen = np.flatnonzero(rng.random(count) < draws.composite)
    if len(chosen):
        fraction = rng.uniform(0.05, 0.8, len(chosen))
        ratio, bulge = rng.uniform(0.1, 0.8, len(chosen)), rng.choice(_BULGES, len(chosen))
        fractions = np.stack([fraction, 1 - fraction], axis=1)
        radii = np.stack([ratio, np.ones(len(chosen))], axis=1)
        indices = np.stack([bulge, np.ones(len(chosen))], axis=1)
        radii *= (radius[chosen] / half_light_radius(fractions, radii, indices))[:, None]
        # As it would be fitted at a typical depth; photon noise as in deep infrared mosaics.
        flux = np.full(len(chosen), np.exp(9.0))
        fitted = fit_single_sersic(
            flux, 1 - e[chosen], fractions, radii, indices, 1.0, 20.0, psf_sigma=1.5
        )
        for place, row in enumerate(chosen):
            total, size, best = (float(values[place]) for values in fitted)
            if draws.sersic_index.low <= best <= draws.sersic_index.high and total > 0:
                theta[row, :3] = np.log(total / flux[place]), np.log(size), np.log(best)
                both = (array[place].tolist() for array in (fractions, radii, indices))
                parts[row] = list(zip(*both, strict=True))
    return theta, parts


def turned(
    images: np.ndarray,
    valid: np.ndarray,
    psf: np.ndarray,
    theta: np.ndarray,
    transposed: bool,
    mirrored: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Transpose stamps, or mirror them left to right, with their PSF and vectors."""
    theta = theta.copy()
    if mirrored:
        images, valid, psf = images[..., ::-1], valid[..., ::-1], psf[..., ::-1]
        theta[:, 4] *= -1
        theta[:, 5] *= -1
    if transposed:
        images, valid, psf = (np.swapaxes(a, -1, -2) for a in (images, valid, psf))
        # The angle from +y becomes 90 degrees minus it.
        theta[:, 3] *= -1
        theta[:, [5, 6]] = theta[:, [6, 5]]
    return images, valid, psf, theta


def _noise_field(taps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = _NOISE_FIELD + len(taps) - 1
    field = rng.standard_normal((side, side), np.float32)
    for _ in range(2):
        field = sum(tap * field[k : k + _NOISE_FIELD] for k, tap in enumerate(taps)).T
    return np.ascontiguousarray(field)


def _sky(scatter: float, rng: np.random.Generator) -> np.ndarray:
    level, slope_x, slope_y = scatter * rng.standard_normal(3)
    axis = (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
    return (level + slope_x * axis[None, :] + slope_y * axis[:, None]).astype(np.float32)


def _mask(valid: np.ndarray, cutouts: float, rng: np.random.Generator) -> None:
    """Mask bad pixels, columns, what lies beyond an edge or a small cutout, discs."""
    kind = rng.random(5)
    if kind[4] < cutouts:
        # A cutout smaller than the stamp.
        width = rng.integers(4, SIDE // 2 - 16)
        valid[:width] = valid[-width:] = valid[:, :width] = valid[:, -width:] = False
    if kind[0] < 0.5:
        count = rng.integers(1, 60)
        valid[tuple(rng.integers(0, SIDE, (2, count)))] = False
    if kind[1] < 0.15:
        valid[:, rng.integers(SIDE)] = False
    if kind[2] < 0.25:
        # Missing beyond an edge, at most to a quarter of the stamp from the middle.
        width = rng.integers(1, SIDE // 2 - 8)
        side = rng.integers(4)
        strip = (slice(0, width), slice(SIDE - width, SIDE))[side % 2]
        valid[(strip, slice(None)) if side < 2 else (slice(None), strip)] = False
    if kind[3] < 0.4:
        axis = np.arange(SIDE)
        for _ in range(rng.integers(1, 4)):
            x, y = rng.integers(0, SIDE, 2)
            if np.hypot(x - SIDE / 2, y - SIDE / 2) < 8:
                continue
            radius = rng.uniform(1.5, min(14.0, np.hypot(x - SIDE / 2, y - SIDE / 2) - 4))
            valid[np.hypot(axis[:, None] - y, axis[None, :] - x) < radius] = False
