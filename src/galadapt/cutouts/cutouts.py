"""From a mosaic and positions to stamps, in bounded memory.

The mosaic is worked on in tiles with a margin: in each the background is fitted around masked
sources, sources are segmented, and the stamps whose centres lie in the tile are cut and checked.
Tiles without an object are never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from galadapt.config.image import Image
from galadapt.config.survey import Extraction, Splits
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import FLAGS, Flag
from galadapt.core.files import read_table, require, write_csv
from galadapt.core.log import log, progress
from galadapt.core.parallel import mapped
from galadapt.core.photometry import rescaling
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.splits import overlapping, split_by_cell, split_of
from galadapt.cutouts.stamps import Rejection, Stamp, judge
from galadapt.cutouts.tiles import Pixels, read_tile, tiles_of
from galadapt.sky import Mosaic, open_mosaic
from galadapt.stamps.format import write_stamps
from galadapt.stamps.spool import Spool

_COINCIDENT = 1.0  #: objects of a catalogue closer than this are one [px]
_BATCH = 2**26  #: stamps are handed over in batches of at most this size [bytes]

_NEEDED = ("id", "ra", "dec", *PARAMETERS, "position_angle", "flag")

#: What a stamp's row of the table takes from `Stamp`.
_MEASURED = (
    *("x_offset", "y_offset", "background", "local_rms", "empty_rms"),
    *("neighbour_fraction", "signal_to_noise", "fwhm"),
)

Batch = tuple[np.ndarray, list[Stamp | Rejection]]


def cutouts(
    mosaic: Pixels,
    x: np.ndarray,
    y: np.ndarray,
    size: int,
    extraction: Extraction,
    processes: int = 1,
) -> Iterator[Batch]:
    """Cut and check a stamp of side `size` [px] at every position, tile by tile.

    Positions x, y (N,) are 0-based pixels, not finite for objects that are not on the image. What
    becomes of an object depends on the mosaic, its position and the settings; not on the other
    objects, but for the flag ``coincident``, nor on the number of processes. More than one forks
    this process.

    Yields:
        Rows (indices into `x`) and what became of each. Every row comes once.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    ny, nx = mosaic.shape
    # Positions that are not finite, or on the other side of the sky, are outside too.
    beyond = np.max([-0.5 - x, x - nx + 0.5, -0.5 - y, y - ny + 0.5], axis=0, initial=-np.inf)
    inside = beyond < 0
    outside = np.flatnonzero(~inside)
    if len(outside):
        yield outside, [Rejection("outside", float(beyond[row])) for row in outside]
    known = [Flag.COINCIDENT if twice else Flag(0) for twice in coincident(x, y)]
    psf_fwhm = None
    if extraction.psf_fwhm is not None and np.isfinite(mosaic.pixel_scale):
        psf_fwhm = extraction.psf_fwhm / mosaic.pixel_scale
    if extraction.saturation is None and (level := getattr(mosaic, "saturation", None)) is not None:
        extraction = extraction.model_copy(update={"saturation": level})
    most = max(_BATCH // (4 * size * size), 1)
    tasks = [
        (line, column, rows[start : start + most])
        for line, column, rows in tiles_of(x, y, np.flatnonzero(inside), extraction)
        for start in range(0, len(rows), most)
    ]

    def work(task: tuple[int, int, np.ndarray]) -> Batch:
        line, column, rows = task
        tile = read_tile(mosaic, line, column, size, extraction)
        return rows, [
            judge(tile, x[row], y[row], size, extraction, psf_fwhm, known[row]) for row in rows
        ]

    found = mapped(work, tasks, processes)
    # A single tile shows no progress, least of all that of each of a thousand cutouts.
    yield from progress(found, len(tasks), "extraction", "tiles") if len(tasks) > 1 else found


def coincident(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which positions [px] (N,) have another within `_COINCIDENT` px; no unknown one has."""
    twice = np.zeros(len(x), bool)
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(rows) > 1:
        tree = cKDTree(np.stack([x[rows], y[rows]], axis=1))
        twice[rows[np.unique(tree.query_pairs(_COINCIDENT, output_type="ndarray"))]] = True
    return twice


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
    processes: int = 1,
) -> pd.DataFrame:
    """Cut a stamp for every selected object, write those that are usable and return their table.

    A mosaic of another pixel scale than the image's is resampled, one whose header gives another
    zero point is scaled to the image's. The stamp set, of domain "survey", is in the selection's
    order. Beside the selection's columns its table holds x, y [px on the mosaic], split,
    extraction_flags (`galadapt.core.extraction_flags`), position_angle on the image, and x_offset,
    y_offset, background, local_rms, empty_rms, neighbour_fraction, signal_to_noise and fwhm of
    `Stamp`. `rejected` is a CSV of id, reason (a key of `REASONS`) and value.

    Raises:
        DataError: an input is unreadable, the selection lacks a column, or no object is usable.
    """
    objects = read_table(selected)
    require(objects, _NEEDED, selected, "rerun the selection")
    size = image.stamp_size
    # Stamps come in the order of tiles and are kept in the order of the selection.
    with (
        open_mosaic(drz, wht, pixel_scale=image.pixel_scale) as mosaic,
        Spool(output.parent, size) as spool,
    ):
        factor = _brightening(mosaic, image, drz)
        ra, dec = objects["ra"].to_numpy(float), objects["dec"].to_numpy(float)
        x, y = mosaic.positions(ra, dec)
        objects["x"], objects["y"] = x, y
        objects["position_angle"] = mosaic.angle(ra, dec, objects["position_angle"].to_numpy())
        measured = np.full((len(objects), len(_MEASURED)), np.nan)
        corners = np.zeros((len(objects), 2), int)
        flags = np.zeros(len(objects), np.int32)
        refused: dict[int, Rejection] = {}
        for rows, judged in cutouts(mosaic, x, y, size, extraction, processes):
            for row, found in zip(rows.tolist(), judged, strict=True):
                if isinstance(found, Rejection):
                    refused[row] = found
                    continue
                found = found.scaled(factor)
                measured[row] = [getattr(found, name) for name in _MEASURED]
                corners[row], flags[row] = (found.x, found.y), found.flags
                spool.put(row, found.pixels)
        kept = np.array([row for row in range(len(objects)) if row not in refused], int)
        if len(kept) == 0:
            counts = pd.Series([found.reason for found in refused.values()]).value_counts()
            summary = ", ".join(f"{count} {reason}" for reason, count in counts.items())
            raise DataError(
                f"{selected}: none of {len(objects)} objects gives a usable stamp of {drz} "
                f"({summary}); check that they belong together, or loosen 'extraction'"
            )
        if splits.by == "id":
            numbers = objects["id"].iloc[kept]
            names = np.array([split_of(int(one), seed, splits) for one in numbers], dtype=object)
        else:
            names = split_by_cell(x[kept], y[kept], size, mosaic.shape, seed, splits)
            shared = overlapping(corners[kept, 0], corners[kept, 1], size, names)
            for row, pixels in zip(kept, shared, strict=True):
                if pixels:
                    refused[int(row)] = Rejection("split_overlap", float(pixels))
            kept, names = kept[shared == 0], names[shared == 0]
        table = objects.iloc[kept].reset_index(drop=True)
        table[list(_MEASURED)] = measured[kept]
        table["extraction_flags"] = flags[kept]
        table["split"] = names
        metadata = {
            "pixel_scale": image.pixel_scale,
            "zero_point": image.zero_point,
            "band": image.band,
            "domain": "survey",
            "pixel_rms": float(table["local_rms"].median()),
            "extraction_flags": {name: 1 << bit for bit, name in enumerate(FLAGS)},
            "provenance": provenance,
        }
        reasons = [
            {"id": objects["id"].iloc[row], "reason": found.reason, "value": found.value}
            for row, found in sorted(refused.items())
        ]
        write_csv(rejected, pd.DataFrame(reasons, columns=["id", "reason", "value"]))
        write_stamps(output, spool.take(kept.tolist()), table, metadata)
    log.info(f"extraction: {len(kept)} stamps, {len(refused)} rejected")
    return table


def _brightening(mosaic: Mosaic, image: Image, drz: Path) -> float:
    """What brings a mosaic's pixels to the zero point of the experiment."""
    if mosaic.resampled:
        log.info(
            f"{drz}: pixels of {mosaic.native_pixel_scale:.4f} arcsec are resampled to "
            f"image.pixel_scale, {mosaic.pixel_scale:g}"
        )
    if mosaic.zero_point is None:
        log.info(f"{drz}: no zero point in the header; taken as image.zero_point")
        return 1.0
    factor = rescaling(mosaic.zero_point, image.zero_point)
    if factor != 1:
        log.info(
            f"{drz}: fluxes are brought from the zero point {mosaic.zero_point:.6g} to "
            f"image.zero_point, {image.zero_point:.6g}"
        )
    return factor
