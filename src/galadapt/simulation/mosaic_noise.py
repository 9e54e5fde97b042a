"""Real noise: patches of empty sky cut from a mosaic.

The mosaic's background is subtracted, its sources are masked and its depth is evened out by the
weight map (`simulation.realism.depth` brings unevenness back, known for every stamp). It is cut
into bands, each of one split, that share no pixel: no network is tested on noise it was trained on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from astropy.stats import mad_std
from photutils.background import Background2D
from photutils.segmentation import detect_sources
from scipy.ndimage import binary_dilation, correlate1d, gaussian_filter

from galadapt.config.image import Image
from galadapt.config.simulation import MosaicNoise, Noise
from galadapt.core.errors import DataError
from galadapt.core.files import expand
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.streams import stream
from galadapt.sky import SCALE_TOLERANCE, open_mosaic
from galadapt.stamps.format import SPLITS

SHARES = (0.7, 0.15, 0.15)  #: shares of the mosaic's length for training, validation and test

# The three bands recur after this many stamp sides: each split covers all parts of a large mosaic.
_CYCLE = 10

MAX_PIXELS = 4096**2  #: most pixels of a mosaic: several arrays of that size are held at once
_MESH, _SMOOTHING = 48, 1.2  #: mesh of the background [px] and smoothing before detection [px]


class MosaicNoiseSource:
    """Adds patches of a mosaic to noiseless stamps.

    The `pixel_rms` of `levels` is measured in the mosaic where no source is.
    """

    def __init__(self, noise: Noise, image: Image, seed: int) -> None:
        """Open the mosaic, mask its sources and list where patches can be cut.

        Raises:
            DataError: a file is missing or broken, the pixel scale is not the stamps', the mosaic
                is too large, or a split's band holds no empty patch.
        """
        settings = noise.mosaic
        assert settings is not None
        self._seed, self._side = seed, image.stamp_size
        self._sky, self._masked, usable = _empty_sky(settings, image)
        rms = float(mad_std(self._sky[usable]))
        self.levels = replace(resolve(noise), pixel_rms=rms)
        self._sky[~usable] = 0.0
        self._positions = self._place(settings, usable)

    def _place(self, settings: MosaicNoise, usable: np.ndarray) -> dict[str, np.ndarray]:
        """List the first pixels (n, 2) of all usable patches of every split."""
        side = self._side
        lost = _sums(~usable & ~self._masked, side)
        masked = _sums(self._masked, side)
        free = (lost == 0) & (masked <= settings.max_masked * side**2)
        # Bands lie along the longer axis of the part with data.
        rows, columns = (np.flatnonzero((usable | self._masked).any(axis=k)) for k in (1, 0))
        axis = 0 if np.ptp(rows) >= np.ptp(columns) else 1
        bands = _bands((rows, columns)[axis], side)
        found = {}
        for number, split in enumerate(SPLITS):
            # A patch belongs to a band if its first and its last pixel do.
            first, last = bands[: -side + 1], bands[side - 1 :]
            inside = np.zeros(free.shape[axis], bool)
            inside[: len(first)] = (first == last) & (first % 3 == number)
            positions = np.argwhere(free & np.expand_dims(inside, 1 - axis))
            if len(positions) == 0:
                raise DataError(
                    f"{expand(settings.directory) / settings.drz}: no patch of {side} px without "
                    f"sources in the part for {split} ({SHARES[number]:.0%} of the mosaic); give "
                    "a larger mosaic, smaller stamps, or raise "
                    "simulation.noise.mosaic.max_masked"
                )
            found[split] = positions
        return found

    def patch(self, split: str, rng: np.random.Generator) -> tuple[int, int, np.ndarray]:
        """Draw a patch: its first row and column, and its pixels (S, S) turned or mirrored."""
        positions = self._positions[split]
        y, x = (int(k) for k in positions[int(rng.integers(len(positions)))])
        box = np.s_[y : y + self._side, x : x + self._side]
        filler = np.zeros((self._side, self._side))
        if self._masked[box].any():
            sky_only = replace(self.levels, source_poisson=False)
            filler = add_noise(filler, sky_only, rng)
        pixels = np.where(self._masked[box], filler, self._sky[box])
        turned = np.rot90(pixels, int(rng.integers(4)))
        return y, x, turned[:, ::-1] if rng.integers(2) else turned

    def add(self, light: np.ndarray, levels: NoiseLevels, row: dict[str, Any]) -> np.ndarray:
        """Add a patch and the galaxy's photon noise; patches are scaled to the rms of `levels`."""
        _, _, sky = self.patch(row["split"], stream(self._seed, row["id"], "mosaic_noise"))
        noisy = light + sky * (levels.pixel_rms / self.levels.pixel_rms)
        if not levels.source_poisson:
            return noisy
        rng = stream(self._seed, row["id"], "noise")
        return noisy + add_noise(light, levels, rng, rms_map=np.zeros(light.shape)) - light


def _empty_sky(settings: MosaicNoise, image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mosaic at even depth, without background, its source mask, and the empty sky."""
    folder = expand(settings.directory)
    drz = folder / settings.drz
    with open_mosaic(drz, folder / settings.wht) as mosaic:
        pixels = mosaic.shape[0] * mosaic.shape[1]
        if pixels > MAX_PIXELS:
            raise DataError(
                f"{drz}: {pixels} px are more than {MAX_PIXELS} that fit in memory; cut a "
                "part of the mosaic and of its weight map"
            )
        if abs(mosaic.pixel_scale / image.pixel_scale - 1) > SCALE_TOLERANCE:
            raise DataError(
                f"{drz}: pixel scale is {mosaic.pixel_scale:.4f} arcsec, image.pixel_scale is "
                f"{image.pixel_scale:g}; give a mosaic at the stamps' scale"
            )
        data, weight = mosaic.read()
    bad = weight == 0
    if bad.all():
        raise DataError(f"{drz}: no pixel has data and weight; check that the files are a pair")
    mask = np.zeros(data.shape, bool)
    # Sources bias the background and the background the sources: two rounds settle both.
    for _ in range(2):
        try:
            sky = Background2D(
                data, min(_MESH, *data.shape), mask=mask, coverage_mask=bad, exclude_percentile=80
            ).background
        except ValueError:
            raise DataError(
                f"{drz}: sources or missing data cover every part of the mosaic; give an emptier "
                "one"
            ) from None
        clean = np.where(bad, 0.0, data - sky)
        smooth = gaussian_filter(clean, _SMOOTHING)
        # The weight's normalisation differs between archives; its shape is what counts.
        relative = np.zeros_like(data)
        relative[~bad] = 1 / np.sqrt(weight[~bad])
        relative /= np.median(relative[~bad])
        empty = ~bad & ~mask
        rms = relative * mad_std(clean[empty] / relative[empty])
        found = detect_sources(
            smooth, settings.detection_threshold * rms, settings.detection_area, mask=bad
        )
        mask = np.zeros(data.shape, bool) if found is None else found.data > 0
        if settings.growth:
            mask = binary_dilation(mask, iterations=settings.growth)
        mask &= ~bad
    if not (~bad & ~mask).any():
        raise DataError(f"{drz}: sources cover the whole mosaic; raise detection_threshold")
    even = np.divide(clean, relative, out=np.zeros_like(clean), where=~bad)
    return even, mask, ~bad & ~mask


def _bands(along: np.ndarray, side: int) -> np.ndarray:
    """Number the bands from the positions with data on the axis that is cut; outside them -1.

    Bands 0, 3, 6... are for training, 1, 4, 7... for validation, 2, 5, 8... for testing.
    """
    low, high = int(along[0]), int(along[-1]) + 1
    cycles = max((high - low) // (_CYCLE * side), 1)
    shares = np.tile(SHARES, cycles) / cycles
    ends = low + np.round((high - low) * np.cumsum(shares))
    bands = np.searchsorted(ends, np.arange(high), side="right")
    return np.where(np.arange(high) < low, -1, bands)


def _sums(flags: np.ndarray, side: int) -> np.ndarray:
    """Count flags in the square that starts at each pixel; those beyond the array count too."""
    ones, origin = np.ones(side, int), -(side // 2)
    rows = correlate1d(flags.astype(int), ones, axis=0, mode="constant", cval=1, origin=origin)
    return correlate1d(rows, ones, axis=1, mode="constant", cval=side, origin=origin)
