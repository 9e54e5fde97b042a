"""The noise of an image: from its maps, checked against its pixels, or measured in them."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.stats import SigmaClip, mad_std, sigma_clipped_stats
from astropy.wcs import WCS
from photutils.background import MADStdBackgroundRMS
from scipy.ndimage import binary_erosion, distance_transform_edt, generic_filter

from galadapt.core.errors import DataError
from galadapt.sky.fits_files import EXTENSIONS, companion, plane_of, planes_of
from galadapt.sky.mosaic import Mosaic
from galadapt.sky.pixels import MESH, MESHES, Noise, sample_boxes

#: What such a map in the image's own file is. Drizzled images carry as WHT an exposure time by
#: default, an inverse variance at choice: only the shape of it is trusted.
_OWN_MAPS = {
    "weight": ("IVAR", "INVVAR"),
    "rms": EXTENSIONS["rms"],
    "variance": EXTENSIONS["variance"],
    "exposure": ("WHT", "WEIGHT", "EXP", "EXPTIME", "EXPOSURE"),
}

_SAMPLE = 512  #: side of the box in which the noise is compared with that of the weight map [px]

#: The noise may be so many times that of its map before a warning, and before an error.
_NOISE_WARNING, _NOISE_ERROR = 4.0, 30.0

#: Noise this many times that of most of its map stands for no data.
_NO_DATA = 1e3

_NO_SKY = 5.0  #: an edge this near to zero, over its scatter, is that of an image without sky


def noise_of(
    stack: contextlib.ExitStack,
    maps: dict[str, Path],
    own: Noise | None,
    mosaic: Mosaic,
    sky: WCS | None,
    remark: Callable[[str], None],
) -> Noise:
    """The noise of an image, which `mosaic` opens without any; `own` is the map in its file."""
    path, shape = mosaic.path, mosaic.native_shape
    found = own
    for kind, name in maps.items():
        found = Noise(kind, companion(stack, name, kind, shape, path, sky)[0])
    if found is not None:
        found = _without_placeholders(mosaic, found, maps.get(found.kind, path), remark)
    if found is None:
        remark(f"{path}: no weight or rms map given: the noise is measured in the image")
        return Noise("measured", mesh=_measured(mosaic)[0])
    if found.kind == "exposure":
        return _scaled_to_image(mosaic, found)
    ratio = _noise_ratio(mosaic, found)
    if not 1 / _NOISE_WARNING < ratio < _NOISE_WARNING:
        what = (
            f"{maps.get(found.kind, path)}: the noise of {path} is {ratio:.3g} times that of "
            f"this {found.kind} map"
        )
        if not 1 / _NOISE_ERROR < ratio < _NOISE_ERROR:
            raise DataError(
                f"{what}; give an inverse variance in the image's unit as weight, a noise as rms, "
                "and a relative or exposure map as exposure"
            )
        remark(f"{what}; check the maps and the unit")
    return found


def own_map(
    stack: contextlib.ExitStack,
    hdus: fits.HDUList,
    science: Any,
    path: Path,
    remark: Callable[[str], None],
) -> Noise | None:
    """The noise map in an image's own file, if there is one."""
    for hdu in planes_of(hdus):
        if hdu is science or hdu.shape != science.shape or hdu.ver != science.ver:
            continue
        # What `CCDData` of astropy writes is named by a card.
        written = str(hdu.header.get("UTYPE", "")).lower()
        named = {"inverse": "weight", "variance": "variance"}
        kind_by_card = next((kind for word, kind in named.items() if word in written), "rms")
        for kind, names in _OWN_MAPS.items():
            if hdu.name in names:
                kind = kind_by_card if hdu.name == "UNCERT" else kind
                remark(f"{path}: noise from its extension {hdu.name}, taken as {kind}")
                return Noise(kind, plane_of(stack, hdu, path))
    return None


def _without_placeholders(
    mosaic: Mosaic, noise: Noise, path: Path, remark: Callable[[str], None]
) -> Noise:
    """Judge a map by its own body: weights a million times smaller stand for no data."""
    sampled = [noise.weight(box).ravel() for box in sample_boxes(mosaic.native_shape)]
    weights = np.concatenate(sampled)
    weights = weights[np.isfinite(weights) & (weights > 0)]
    if not len(weights):
        return noise
    floor = float(np.percentile(weights, 95)) / _NO_DATA**2
    if (weights < floor).any():
        remark(
            f"{path}: pixels whose noise is over {_NO_DATA:g} times that of the others are taken "
            "as no data"
        )
    return dataclasses.replace(noise, floor=floor)


def _sample(mosaic: Mosaic) -> tuple[int, int, int, int]:
    """A box near the middle of the image that holds data, of at most `_SAMPLE` px a side."""
    ny, nx = mosaic.native_shape
    side_y, side_x = min(_SAMPLE, ny), min(_SAMPLE, nx)
    best, most = (0, side_y, 0, side_x), -1
    for share_y, share_x in ((2, 2), (1, 1), (1, 3), (3, 1), (3, 3)):
        y0 = min(max(ny * share_y // 4 - side_y // 2, 0), ny - side_y)
        x0 = min(max(nx * share_x // 4 - side_x // 2, 0), nx - side_x)
        box = (y0, y0 + side_y, x0, x0 + side_x)
        good = int(mosaic.native_data(*box)[1].sum())
        if good > most:
            best, most = box, good
        if good > side_y * side_x // 2:
            break
    return best


def _noise_ratio(mosaic: Mosaic, noise: Noise) -> float:
    """Noise of the image over that of its map; 1 when it cannot be measured.

    Differences of neighbouring pixels are free of smooth light; where the noise is correlated they
    are smaller than those of independent pixels, at most by a factor of about two in archives.
    """
    y0, y1, x0, x1 = _sample(mosaic)
    data, good = mosaic.native_data(y0, y1, x0, x1)
    weight = noise.weight(np.s_[y0:y1, x0:x1]) / mosaic.factor**2
    good = good & np.isfinite(weight) & (weight > 0)
    pair = good[:, 1:] & good[:, :-1]
    if pair.sum() < 100:
        return 1.0
    seen = float(mad_std(np.diff(data, axis=1)[pair])) / np.sqrt(2)
    mapped = float(1 / np.sqrt(np.median(weight[good])))
    # An image without any noise is a model, not a contradiction.
    return seen / mapped if seen > 1e-12 * mapped else 1.0


def _scaled_to_image(mosaic: Mosaic, noise: Noise) -> Noise:
    """Scale a relative weight so that it is the inverse variance seen in the background."""
    mesh, relative = _measured(mosaic, noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = float(np.nanmedian(1 / (mesh**2 * relative)))
    if not (np.isfinite(factor) and factor > 0):
        raise DataError(
            f"{mosaic.path}: its exposure map is nowhere positive where the image has data; check "
            "that they are a pair"
        )
    return Noise("weight", noise.pixels, factor, floor=noise.floor)


def _measured(mosaic: Mosaic, noise: Noise | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Background noise of an image on a mesh of `MESH` px.

    Clipped median absolute deviations, then the median over 5 x 5 meshes, so that a galaxy wider
    than a mesh does not count as noise. The image is read once, in boxes.

    Returns:
        Noise in the file's unit (my, mx), and the median of the noise map's weight in each mesh.
    """
    estimate = MADStdBackgroundRMS(sigma_clip=SigmaClip(sigma=3.0, maxiters=5))
    ny, nx = mosaic.native_shape
    # A quarter of the pixels of a mesh is plenty where there are many meshes.
    step = 1 if ny * nx <= 2**24 else 2
    shape = (-(-ny // MESH), -(-nx // MESH))
    mesh, relative = np.full(shape, np.nan), np.full(shape, np.nan)
    block = MESH * MESHES
    for y in range(0, ny, block):
        for x in range(0, nx, block):
            y1, x1 = min(y + block, ny), min(x + block, nx)
            data, good = mosaic.native_data(y, y1, x, x1)
            weight = None if noise is None else noise.weight(np.s_[y:y1, x:x1])
            for a in range(0, y1 - y, MESH):
                for b in range(0, x1 - x, MESH):
                    cell = np.s_[a : a + MESH : step, b : b + MESH : step]
                    usable = good[cell] if weight is None else good[cell] & (weight[cell] > 0)
                    if usable.sum() < usable.size / 4:
                        continue
                    place = (y + a) // MESH, (x + b) // MESH
                    mesh[place] = estimate(data[cell][usable]) / mosaic.factor
                    if weight is not None:
                        relative[place] = np.median(weight[cell][usable])
    mesh[~(mesh > 0)] = np.nan
    if np.isnan(mesh).all():
        raise DataError(
            f"{mosaic.path}: no noise can be measured, as the image is empty or constant; give a "
            "weight or an rms map"
        )
    with warnings.catch_warnings():
        # Between meshes without data there is nothing to take a median of.
        warnings.simplefilter("ignore", RuntimeWarning)
        smooth = generic_filter(mesh, np.nanmedian, size=5, mode="nearest")
    nearest = distance_transform_edt(np.isnan(smooth), return_distances=False, return_indices=True)
    return smooth[tuple(nearest)], relative


def edge_level(data: np.ndarray, good: np.ndarray, side: int) -> tuple[float, float]:
    """Level and scatter of the outermost pixels of a small image: what lies beyond its edge.

    A galaxy may fill its cutout. The level is 0 where the edge is within `_NO_SKY` of its scatter
    from it: the sky has been subtracted, and the light there is the galaxy's. A frame at the level
    of that light cost the 82 COSMOS galaxies a quarter of a magnitude. Pixels are `good` where they
    hold data; a tenth of the image's smaller `side` [px] is edge.

    Returns:
        level, scatter; the latter 0 when it cannot be measured.
    """
    edge = good & ~binary_erosion(good, iterations=max(2, side // 10))
    if not edge.any():
        return 0.0, 0.0
    level = float(sigma_clipped_stats(data[edge])[1])
    scatter = float(mad_std(data[edge]))
    return (0.0 if abs(level) < _NO_SKY * scatter else level), scatter
