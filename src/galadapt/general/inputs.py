"""What the network is given of a stamp, its valid pixels, its noise and its PSF.

- `centre`: the middle at native resolution; `field`: the whole stamp, binned. Three planes each:
  light over noise and light over the galaxy's flux, both compressed, and valid pixels;
- `scalars`: Gaussian-weighted fluxes, positions and second moments on several scales, light in
  rings, noise at two resolutions, and the same moments of the PSF: its compact description.

All are in units that do not depend on zero point, exposure or gain. `anchor` is a measured
ln(flux), to which the network adds a correction.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np

from galadapt.general.parameters import SIDE

#: Side of the middle at native resolution, and the binning of the field [px].
CENTRE, BINNED = 48, 4

#: Widths of the Gaussian weights [px].
WIDTHS = (1.2, 2.0, 3.3, 5.5, 9.0, 15.0, 25.0)

#: The one whose flux is the anchor: wide enough for any PSF, narrow enough for neighbours.
_ANCHOR = 2

#: Radii of the rings [px].
RINGS = (0.0, 1.5, 2.5, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0, 34.0, 46.0, 60.0)

#: Pixels farther than this from the middle show the noise [px].
_BORDER = 40.0


class Inputs(NamedTuple):
    """Arrays for the network, float32."""

    centre: np.ndarray  #: (n, 48, 48, 3)
    field: np.ndarray  #: (n, 32, 32, 3)
    scalars: np.ndarray  #: (n, m)
    anchor: np.ndarray  #: (n,)


@cache
def _functionals() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (S S, 6 widths + rings), and the noise of each width's flux and of each ring."""
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    x, y = np.meshgrid(axis, axis)
    r2 = x**2 + y**2
    columns = []
    for width in WIDTHS:
        weight = np.exp(-r2 / (2 * width**2))
        terms = (1.0, x / width, y / width, (x**2 + y**2) / width**2)
        columns += [weight * term for term in terms]
        columns += [weight * (y**2 - x**2) / width**2, weight * -2 * x * y / width**2]
    r = np.sqrt(r2)
    for low, high in itertools.pairwise(RINGS):
        ring = (r >= low) & (r < high)
        columns.append(ring / ring.sum())
    matrix = np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)
    noise = np.sqrt((matrix**2).sum(axis=0))
    return matrix, noise[: 6 * len(WIDTHS) : 6], noise[6 * len(WIDTHS) :]


def _sums(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Weighted sums (n, m) of images: a product for each, or they would depend on their place."""
    return np.asarray((images.reshape(len(images), 1, -1) @ matrix)[:, 0])


def _moments(values: np.ndarray, floor: np.ndarray) -> list[np.ndarray]:
    """Positions, size and shape on each scale, of weighted sums (n, 6 widths)."""
    sums = values.reshape(len(values), len(WIDTHS), 6)
    flux = np.sqrt(np.maximum(sums[..., 0], 0) ** 2 + (2 * floor) ** 2)
    position = np.clip(sums[..., 1:3] / flux[..., None], -2, 2)
    size = np.clip(sums[..., 3] / flux, -1, 4)
    shape = np.clip(sums[..., 4:6] / (np.abs(sums[..., 3:4]) + 0.3 * flux[..., None]), -1.5, 1.5)
    n = len(values)
    return [position.reshape(n, -1), size, shape.reshape(n, -1)]


def describe_psf(psfs: np.ndarray) -> np.ndarray:
    """Compact description (g, m) of effective PSFs (g, S, S), centred in the middle."""
    matrix, _, _ = _functionals()
    values = _sums(psfs, matrix)
    count = 5
    flux = values[:, : 6 * count : 6]
    _, size, shape = _moments(values[:, : 6 * len(WIDTHS)], np.full(len(WIDTHS), 1e-6))
    rings = values[:, 6 * len(WIDTHS) :]
    return np.concatenate(
        [
            np.log(np.maximum(flux, 1e-4)),
            size[:, :count],
            shape[:, : 2 * count],
            np.log(np.maximum(rings[:, :8], 1e-8)) / 4,
        ],
        axis=1,
    ).astype(np.float32)


def prepare(
    images: np.ndarray, valid: np.ndarray, psfs: np.ndarray, psf_index: np.ndarray
) -> Inputs:
    """Turn stamps into what the network is given.

    Args:
        images: (n, S, S) background-subtracted, in units of their noise.
        valid: (n, S, S) whether a pixel counts.
        psfs: (g, S, S) effective PSFs of sum 1, centred in the middle.
        psf_index: (n,) the PSF of each stamp.
    """
    images = np.where(valid, images, 0).astype(np.float32)
    # A masked pixel takes the value of the one opposite, which a galaxy's symmetry suggests.
    opposite = images[:, ::-1, ::-1]
    filled = np.where(valid, images, opposite)
    matrix, noise, ring_noise = _functionals()
    values = _sums(filled, matrix)
    flux = values[:, : 6 * len(WIDTHS) : 6]
    soft = np.sqrt(np.maximum(flux, 0) ** 2 + (2 * noise) ** 2)
    # From a weighted sum to the flux of a point: the weight's share of a typical galaxy is left to
    # the network.
    anchor = np.log(soft[:, _ANCHOR])
    rings = values[:, 6 * len(WIDTHS) :]
    light, seen = binned(filled), binned(valid.astype(np.float32)) / BINNED**2
    scalars = [
        anchor[:, None] / 4 - 2,
        np.log(soft) - anchor[:, None],
        np.arcsinh(flux / noise) / 4,
        *_moments(values[:, : 6 * len(WIDTHS)], noise),
        np.arcsinh(rings) / 3,
        np.arcsinh(rings / ring_noise) / 4,
        np.arcsinh(rings / soft[:, _ANCHOR, None] * 200),
        _noise(images, valid, light, seen),
        describe_psf(psfs)[psf_index],
    ]
    low = (SIDE - CENTRE) // 2
    middle = slice(low, low + CENTRE)
    share = np.float32(30.0) / soft[:, _ANCHOR, None, None].astype(np.float32)
    return Inputs(
        _planes(filled[:, middle, middle], share, valid[:, middle, middle], 1.0),
        _planes(light, share / 2, seen, BINNED),
        np.concatenate(scalars, axis=1).astype(np.float32),
        anchor.astype(np.float32),
    )


def binned(images: np.ndarray) -> np.ndarray:
    """Sum squares of `BINNED` pixels of images (n, S, S)."""
    count = SIDE // BINNED
    rows = images.reshape(-1, count, BINNED, SIDE).sum(axis=2)
    return np.asarray(rows.reshape(-1, count, count, BINNED).sum(axis=3))


def _planes(light: np.ndarray, share: np.ndarray, valid: np.ndarray, noise: float) -> np.ndarray:
    scaled = light * np.float32(1 / noise)
    planes = (np.arcsinh(scaled) / 4, np.arcsinh(light * share), valid)
    return np.stack(planes, axis=-1, dtype=np.float32, casting="unsafe")


def _noise(
    images: np.ndarray, valid: np.ndarray, light: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Logarithm of the scatter far from the middle, of pixels and of binned pixels (n, 2)."""
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    far = np.hypot(axis[:, None], axis[None, :]) > _BORDER
    n = len(images)
    found = np.zeros((n, 2))
    whole = seen > 1 - 1e-6
    far_binned = binned(far[None].astype(np.float32))[0] == BINNED**2
    # Every third pixel is enough for a scatter, and costs a third of the sorting.
    for column, (values, good) in enumerate(
        ((images[:, ::3, :], (valid & far)[:, ::3, :]), (light / BINNED, whole & far_binned))
    ):
        for row in range(n):
            some = values[row][good[row]]
            if len(some) > 30:
                places = [len(some) // 10, len(some) // 2]
                low, high = np.partition(some, places)[places]
                # Half of the pixels below the median: sources lie above it.
                found[row, column] = np.log(max((high - low) / 1.2816, 1e-2))
    return found
