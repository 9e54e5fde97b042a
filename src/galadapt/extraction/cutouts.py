"""Cutting stamps out of a mosaic, and judging each of them.

The mosaic is worked on in tiles with a margin, so memory is bounded by a tile and the stamps. In
each tile the background is fitted around masked sources and subtracted, sources are segmented,
and the stamps whose centres lie in the tile are cut by WCS.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError, PartialOverlapError
from photutils.background import Background2D
from photutils.segmentation import detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.ndimage import binary_dilation, gaussian_filter

from galadapt.config import PARAMETERS, Extraction, Image, Splits
from galadapt.errors import DataError
from galadapt.files import read_table, write_csv
from galadapt.mosaics import Mosaic, open_mosaic
from galadapt.progress import say, track
from galadapt.stamps import write_stamps

#: Why an object is rejected, and what the `value` beside the reason is.
REASONS = {
    "outside": "distance of the centre beyond the mosaic's border [px]",
    "edge": "pixels the stamp lacks on its worst side [px]",
    "bad_pixels": "share of pixels that are not finite or have no weight",
    "undetected": "brightest pixel near the centre over the local rms",
    "neighbours": "share of the detected flux that belongs to neighbours",
}

#: Side of a tile without its margin [px].
_TILE = 1024

#: Smoothing before detection [px]: a little less than the PSF's sigma keeps close pairs apart.
_SMOOTHING = 1.2

#: Growth of the source mask for the background [px]: wings below the detection threshold.
_GROWTH = 6

#: A source may sit this far from its catalogue position [px].
_CENTRE_RADIUS = 3.0

_NEEDED = ("id", "ra", "dec", *PARAMETERS, "position_angle", "flag")


def extract(
    drz: Path,
    wht: Path,
    selected: Path,
    image: Image,
    extraction: Extraction,
    splits: Splits,
    seed: int,
    output: Path,
    rejected: Path,
    provenance: dict[str, Any],
) -> pd.DataFrame:
    """Cut a stamp for every selected object and write those that are usable.

    Args:
        drz: Mosaic [e-/s].
        wht: Its inverse variance.
        selected: Table of objects from `galadapt.surveys.selection.select`.
        image: Stamp side, pixel scale, zero point and band.
        extraction: Background, segmentation and limits of rejection.
        splits: Shares of training and validation.
        seed: Seed of the split: an object's split depends on its id and the seed alone.
        output: Stamp set of domain "survey". Beside the selection's columns its table holds
            x_offset, y_offset [px from the stamp's centre (S-1)/2], split, local_rms [e-/s per
            px, from the weight map], neighbour_fraction, signal_to_noise (of the central segment,
            for uncorrelated noise) and position_angle on the image.
        rejected: CSV of id, reason (a key of `REASONS`) and value.
        provenance: Stored in the stamp set's metadata.

    Returns:
        The stamp set's table.

    Raises:
        DataError: an input is unreadable, the pixel scale is not the image's, the selection lacks
            a column, or no object is usable.
    """
    objects = read_table(selected)
    missing = [name for name in _NEEDED if name not in objects]
    if missing:
        raise DataError(
            f"{selected}: selection lacks the column(s) {', '.join(missing)}; rerun the selection"
        )
    with open_mosaic(drz, wht) as mosaic:
        if abs(mosaic.pixel_scale / image.pixel_scale - 1) > 0.01:
            raise DataError(
                f"{drz}: pixel scale is {mosaic.pixel_scale:.4f} arcsec, image.pixel_scale says "
                f"{image.pixel_scale:g}; set it to the mosaic's"
            )
        ra, dec = objects["ra"].to_numpy(), objects["dec"].to_numpy()
        x, y = mosaic.positions(ra, dec)
        angle = mosaic.angle(ra, dec, objects["position_angle"].to_numpy())
        judged = _judge_all(mosaic, x, y, image.stamp_size, extraction)
    kept = [row for row, stamp in enumerate(judged) if isinstance(stamp, _Stamp)]
    refused = [
        {"id": objects["id"].iloc[row], "reason": stamp.reason, "value": stamp.value}
        for row, stamp in enumerate(judged)
        if isinstance(stamp, _Rejection)
    ]
    if not kept:
        counts = pd.Series([row["reason"] for row in refused]).value_counts()
        summary = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        raise DataError(
            f"{selected}: none of {len(objects)} objects gives a usable stamp of {drz} "
            f"({summary}); check that they belong together, or loosen 'extraction'"
        )
    stamps = [stamp for stamp in judged if isinstance(stamp, _Stamp)]
    table = objects.iloc[kept].reset_index(drop=True)
    table["position_angle"] = angle[kept]
    for name in ("x_offset", "y_offset", "local_rms", "neighbour_fraction", "signal_to_noise"):
        table[name] = [getattr(stamp, name) for stamp in stamps]
    table["split"] = [split_of(int(number), seed, splits) for number in table["id"]]
    metadata = {
        "pixel_scale": image.pixel_scale,
        "zero_point": image.zero_point,
        "band": image.band,
        "domain": "survey",
        "pixel_rms": float(table["local_rms"].median()),
        "provenance": provenance,
    }
    write_csv(rejected, pd.DataFrame(refused, columns=["id", "reason", "value"]))
    write_stamps(output, (stamp.pixels[None] for stamp in stamps), table, metadata)
    say(f"extraction: {len(kept)} stamps, {len(refused)} rejected")
    return table


def split_of(number: int, seed: int, splits: Splits) -> str:
    """Split of one object, by a hash: adding or removing objects moves no other.

    Returns:
        "train", "validation" or "test".
    """
    text = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    share = int.from_bytes(text[:8], "big") / 2**64
    if share < splits.train:
        return "train"
    return "validation" if share < splits.train + splits.validation else "test"


@dataclass(frozen=True)
class _Stamp:
    pixels: np.ndarray
    x_offset: float
    y_offset: float
    local_rms: float
    neighbour_fraction: float
    signal_to_noise: float


@dataclass(frozen=True)
class _Rejection:
    reason: str
    value: float


@dataclass(frozen=True)
class _Tile:
    """A background-subtracted piece of the mosaic whose first pixel is (x, y)."""

    x: int
    y: int
    data: np.ndarray
    rms: np.ndarray
    bad: np.ndarray
    smooth: np.ndarray
    segments: np.ndarray


def _judge_all(
    mosaic: Mosaic, x: np.ndarray, y: np.ndarray, size: int, extraction: Extraction
) -> list[_Stamp | _Rejection]:
    """Judge every object, tile by tile; the result has the order of the positions."""
    ny, nx = mosaic.shape
    judged: list[_Stamp | _Rejection | None] = [None] * len(x)
    inside = np.zeros(len(x), dtype=bool)
    for row in range(len(x)):
        # Positions that are not finite, or on the other side of the sky, are outside too.
        beyond = np.max([-0.5 - x[row], x[row] - nx + 0.5, -0.5 - y[row], y[row] - ny + 0.5])
        inside[row] = bool(beyond < 0)
        if not inside[row]:
            judged[row] = _Rejection("outside", float(beyond))
    column = np.where(inside, x, 0).astype(int) // _TILE
    line = np.where(inside, y, 0).astype(int) // _TILE
    groups = sorted({(int(b), int(a)) for a, b in zip(column[inside], line[inside], strict=True)})
    for b, a in track(groups, len(groups), "extraction", "tiles"):
        tile = _tile(mosaic, a * _TILE, b * _TILE, size + 2 * extraction.background_box, extraction)
        for here in np.flatnonzero(inside & (column == a) & (line == b)).tolist():
            judged[here] = _judge(tile, x[here] - tile.x, y[here] - tile.y, size, extraction)
    return [stamp for stamp in judged if stamp is not None]


def _tile(mosaic: Mosaic, x: int, y: int, margin: int, extraction: Extraction) -> _Tile:
    ny, nx = mosaic.shape
    x0, y0 = max(x - margin, 0), max(y - margin, 0)
    data, weight = mosaic.read(y0, min(y + _TILE + margin, ny), x0, min(x + _TILE + margin, nx))
    bad = weight == 0
    rms = np.zeros_like(data)
    rms[~bad] = 1 / np.sqrt(weight[~bad])
    if bad.all():
        empty = np.zeros(data.shape, np.int32)
        return _Tile(x0, y0, data, rms, bad, data, empty)
    # Sources bias the background and the background biases the sources: two rounds settle both.
    mask = np.zeros(data.shape, bool)
    for _ in range(2):
        clean = np.where(bad, 0, data - _background(data, mask, bad, extraction.background_box))
        smooth = gaussian_filter(clean, _SMOOTHING)
        segments = _segments(smooth, rms, bad, extraction)
        mask = binary_dilation(segments > 0, iterations=_GROWTH)
    return _Tile(x0, y0, clean.astype(np.float32), rms, bad, smooth, segments)


def _background(data: np.ndarray, mask: np.ndarray, bad: np.ndarray, box: int) -> np.ndarray:
    box = min(box, *data.shape)
    # A mesh of mostly masked pixels says little; its neighbours fill in, or if there are none...
    for allowed in (80.0, 100.0):
        try:
            return Background2D(
                data, box, mask=mask, coverage_mask=bad, exclude_percentile=allowed
            ).background
        except ValueError:
            continue
    # ...as in a tile nearly all sources or nearly all empty, one number has to do.
    sky = data[~bad & ~mask] if (~bad & ~mask).any() else data[~bad]
    return np.full(data.shape, np.median(sky), np.float32)


def _segments(
    smooth: np.ndarray, rms: np.ndarray, bad: np.ndarray, extraction: Extraction
) -> np.ndarray:
    with warnings.catch_warnings():
        # An empty tile is no surprise.
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(
            smooth, extraction.detection_threshold * rms, extraction.detection_area, mask=bad
        )
    return np.zeros(smooth.shape, np.int32) if found is None else found.data


def _judge(
    tile: _Tile, x: float, y: float, size: int, extraction: Extraction
) -> _Stamp | _Rejection:
    """Cut and judge one object at (x, y) [px] of a tile."""
    try:
        cutout = Cutout2D(tile.data, (x, y), size, mode="strict")
    except (PartialOverlapError, NoOverlapError):
        ny, nx = tile.data.shape
        lacking = size / 2 - min(x + 0.5, nx - 0.5 - x, y + 0.5, ny - 0.5 - y)
        return _Rejection("edge", float(np.ceil(lacking)))
    box = cutout.slices_original
    bad = tile.bad[box]
    if bad.mean() > extraction.max_bad_fraction:
        return _Rejection("bad_pixels", float(bad.mean()))
    local_rms = float(np.median(tile.rms[box][~bad]))
    smooth, segments = tile.smooth[box], tile.segments[box]
    centre: tuple[float, float] = cutout.to_cutout_position((float(x), float(y)))
    label = _central_label(segments, smooth, centre)
    if label == 0:
        near = _distance(smooth.shape, centre) <= _CENTRE_RADIUS
        return _Rejection("undetected", float(smooth[near].max() / local_rms))
    fraction = _neighbour_fraction(cutout.data, smooth, segments, label, centre, local_rms)
    if fraction > extraction.max_neighbour_fraction:
        return _Rejection("neighbours", fraction)
    own = segments == label
    noise = np.sqrt((tile.rms[box][own] ** 2).sum())
    middle = (size - 1) / 2
    return _Stamp(
        pixels=cutout.data.copy(),
        x_offset=float(centre[0] - middle),
        y_offset=float(centre[1] - middle),
        local_rms=local_rms,
        neighbour_fraction=fraction,
        signal_to_noise=float(cutout.data[own].sum() / noise),
    )


def _distance(shape: tuple[int, ...], centre: tuple[float, float]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(columns - centre[0], rows - centre[1])


def _central_label(segments: np.ndarray, smooth: np.ndarray, centre: tuple[float, float]) -> int:
    """Label under the centre, else that of the brightest detected pixel close to it, else 0."""
    label = int(segments[round(centre[1]), round(centre[0])])
    if label:
        return label
    near = (_distance(segments.shape, centre) <= _CENTRE_RADIUS) & (segments > 0)
    if not near.any():
        return 0
    return int(segments[near][np.argmax(smooth[near])])


def _neighbour_fraction(
    data: np.ndarray,
    smooth: np.ndarray,
    segments: np.ndarray,
    label: int,
    centre: tuple[float, float],
    rms: float,
) -> float:
    """Share of the detected flux that is not the central object's.

    Other segments are neighbours. Inside the central segment, so is what has no counterpart on the
    other side of the centre: where the image is more than twice, and three sigma above, itself
    turned by 180 degrees (the symmetry the SDSS deblender uses; Lupton et al. 2001).
    """
    own = segments == label
    others = data[(segments > 0) & ~own].sum()
    turned = np.zeros_like(smooth)
    # Turning about half-integer points keeps pixels whole.
    turn = np.array([round(2 * centre[1]), round(2 * centre[0])])
    opposite = turn[:, None, None] - np.indices(smooth.shape)
    seen = ((opposite >= 0) & (opposite < len(smooth))).all(axis=0)
    turned[seen] = smooth[opposite[0][seen], opposite[1][seen]]
    excess = smooth - np.clip(turned, 0, None)
    blended = excess[own & seen & (excess > 3 * rms) & (excess > smooth / 2)].sum()
    total = data[segments > 0].sum()
    return float(np.clip((others + blended) / total, 0, 1)) if total > 0 else 0.0
