"""The noise of an image: from its maps, checked against its pixels, or measured in them."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.stats import SigmaClip, mad_std, sigma_clipped_stats
from photutils.background import MADStdBackgroundRMS
from scipy.ndimage import binary_erosion, distance_transform_edt, generic_filter

from galadapt.core.errors import DataError
from galadapt.sky.fits_files import EXTENSIONS, Plane, companion
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

#: The noise may be so many times that of its map before a warning, and before an error: less, where
#: it is correlated.
_NOISE_WARNING, _NOISE_ERROR = (0.25, 2.0), 30.0

#: Fewest pairs of pixels of a cell in which noise is measured; fewest cells, least range of a map's
#: noise in them [ln], and least correlation, from which on the image's noise goes with a power of
#: the map's; powers before a warning, and below the negative of which it is an error.
_PAIRS, _CELLS, _SPREAD, _RELATED = 100, 16, 0.3, 0.8
_POWER_WARNING, _POWER_ERROR = (0.7, 1.4), 0.3

#: Units of time, extensions of exposure maps, and words in their files' names.
_TIMES = {"s", "sec", "secs", "second", "seconds", "ks", "min", "minutes", "h", "hr", "hours"}
_TIME_EXTENSIONS = ("EXP", "EXPTIME", "EXPOSURE", "TEXP")
_TIME_NAME = re.compile(r"(?<![a-z])t?exp(map|time|osure)?(?![a-z])")

#: Largest values of a map that agree with an exposure time by this share may be one.
_SAME_TIME = 0.05

#: Noise this many times that of most of its map stands for no data.
_NO_DATA = 1e3

_NO_SKY = 5.0  #: an edge this near to zero, over its scatter, is that of an image without sky


def noise_of(
    plane: Plane, maps: dict[str, Path], own: Noise | None, mosaic: Mosaic, measured: Noise | None
) -> Noise:
    """The noise of an image, which `mosaic` opens without any; `own` is the map in its file.

    Where there is no map, it is `measured`, or measured here.
    """
    path, remark = mosaic.path, plane.cards.remark
    found = own
    for kind, name in maps.items():
        pixels, header = companion(plane, name, kind)
        _refuse_time(kind, header, name)
        found = Noise(kind, pixels)
    if found is not None:
        found = _without_placeholders(mosaic, found, maps.get(found.kind, path), remark)
    if found is None:
        remark(f"{path}: no weight or rms map given: the noise is measured in the image")
        return measured or Noise("measured", mesh=_measured(mosaic)[0])
    if found.kind == "exposure":
        return _scaled_to_image(mosaic, found)
    name = maps.get(found.kind, path)
    of_image = f"{name}: the noise of {path}"
    ratio, power = _compared(mosaic, found)
    if not 1 / _NOISE_ERROR < ratio < _NOISE_ERROR or power < -_POWER_ERROR:
        what = f"is {ratio:.3g} times that of" if power >= -_POWER_ERROR else "falls as it rises in"
        raise DataError(
            f"{of_image} {what} this {found.kind} map; give an inverse variance in the image's "
            "unit as --weight, a noise as --rms, and a relative or exposure map as --exposure"
        )
    if not _NOISE_WARNING[0] < ratio < _NOISE_WARNING[1]:
        remark(
            f"{of_image} is {ratio:.3g} times that of this {found.kind} map; check the maps and "
            "the unit, and give an exposure map as --exposure"
        )
    elif not _POWER_WARNING[0] < power < _POWER_WARNING[1]:
        remark(
            f"{of_image} changes as the power {power:.1f} of that of this {found.kind} map; check "
            "whether it is an inverse variance (--weight), a noise (--rms) or its square "
            "(--variance)"
        )
    if found.kind in maps:
        _doubt_exposure(mosaic, found, name, remark)
    return found


def _refuse_time(kind: str, header: fits.Header, path: Path) -> None:
    """Refuse a map of seconds: its factor to an inverse variance is not known."""
    unit, name = (str(header.get(card, "")).strip() for card in ("BUNIT", "EXTNAME"))
    if kind == "exposure":
        return
    if unit.lower() in _TIMES or name.upper() in _TIME_EXTENSIONS:
        said = f"BUNIT is '{unit}'" if unit.lower() in _TIMES else f"its extension is {name}"
        raise DataError(
            f"{path}: an exposure map, as {said}, and no {kind}; give it as --exposure, which is "
            "scaled to the noise of the image"
        )


def _doubt_exposure(
    mosaic: Mosaic, noise: Noise, path: Path, remark: Callable[[str], None]
) -> None:
    """Say where a map looks like an exposure map: its factor may be about right by chance."""
    reason = "by its name" if _TIME_NAME.search(path.name.lower()) else ""
    time = mosaic.exposure_time
    if time is not None and time > 1 and noise.pixels is not None:
        boxes = sample_boxes(mosaic.native_shape)
        values = np.concatenate([np.ravel(noise.pixels[box]) for box in boxes])
        values = values[np.isfinite(values) & (values > 0)]
        if len(values) and abs(float(np.percentile(values, 99.5)) / time - 1) < _SAME_TIME:
            reason = "as its largest values are the image's exposure time"
    if reason:
        remark(
            f"{path}: used as --{noise.kind}, but may be an exposure map, {reason}; if it is, give "
            "it as --exposure, which is scaled to the noise of the image"
        )


def own_map(plane: Plane) -> Noise | None:
    """The noise map in an image's own file, if there is one."""
    for hdu in plane.others:
        # What `CCDData` of astropy writes is named by a card.
        written = str(hdu.header.get("UTYPE", "")).lower()
        named = {"inverse": "weight", "variance": "variance"}
        kind_by_card = next((kind for word, kind in named.items() if word in written), "rms")
        for kind, names in _OWN_MAPS.items():
            if hdu.name in names:
                kind = kind_by_card if hdu.name == "UNCERT" else kind
                plane.cards.remark(
                    f"{plane.cards.path}: noise from its extension {hdu.name}, taken as {kind}"
                )
                return Noise(kind, plane.pixels_of(hdu))
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


def _compared(mosaic: Mosaic, noise: Noise) -> tuple[float, float]:
    """Noise of the image over that of its map, and the power of the map that it goes with.

    Of cells of `MESH` px that sample the image; 1 where it cannot be measured. Differences of
    neighbouring pixels are free of smooth light; where the noise is correlated they are smaller
    than those of independent pixels, at most by a factor of about two in archives.
    """
    seen, mapped = [], []
    for rows, columns in sample_boxes(mosaic.native_shape):
        data, good = mosaic.native_data(rows.start, rows.stop, columns.start, columns.stop)
        weight = noise.weight((rows, columns)) / mosaic.factor**2
        good = good & np.isfinite(weight) & (weight > 0)
        for y in range(0, data.shape[0], MESH):
            for x in range(0, data.shape[1], MESH):
                cell = np.s_[y : y + MESH, x : x + MESH]
                pair = good[cell][:, 1:] & good[cell][:, :-1]
                if pair.sum() >= _PAIRS:
                    seen.append(float(mad_std(np.diff(data[cell], axis=1)[pair])) / np.sqrt(2))
                    mapped.append(float(1 / np.sqrt(np.median(weight[cell][good[cell]]))))
    ratio = np.array(seen) / np.array(mapped)
    # An image without any noise is a model, not a contradiction.
    noisy = ratio > 1e-12
    if noisy.sum() <= len(ratio) / 2 or not len(ratio):
        return 1.0, 1.0
    found = float(np.median(ratio[noisy]))
    image, of_map = np.log(np.array(seen)[noisy]), np.log(np.array(mapped)[noisy])
    spread = float(np.ptp(np.percentile(of_map, [10, 90])))
    if noisy.sum() < _CELLS or spread < _SPREAD:
        return found, 1.0
    related = float(np.corrcoef(of_map, image)[0, 1])
    if not abs(related) > _RELATED:
        return found, 1.0
    return found, float(np.sign(related) * image.std() / of_map.std())


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
