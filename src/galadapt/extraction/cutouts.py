"""From a mosaic and positions to stamps, in bounded memory.

The mosaic is worked on in tiles with a margin: in each the background is fitted around masked
sources, sources are segmented, and the stamps whose centres lie in the tile are cut and judged.
Tiles without an object are never read.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from galadapt.config import PARAMETERS, Extraction, Image, Splits
from galadapt.errors import DataError
from galadapt.extraction.flags import Flag
from galadapt.extraction.splits import overlapping, split_by_cell, split_of
from galadapt.extraction.stamps import REASONS, Rejection, Stamp, judge
from galadapt.extraction.tiles import Pixels, read_tile, tiles_of
from galadapt.files import read_table, write_csv
from galadapt.mosaics import open_mosaic
from galadapt.progress import say, track
from galadapt.stamps import write_stamps

__all__ = ["REASONS", "Rejection", "Stamp", "cutouts", "extract"]

#: Objects of a catalogue closer than this are one [px].
_COINCIDENT = 1.0

#: Stamps are handed over in batches of at most this size [bytes].
_BATCH = 2**26

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
    """Cut and judge a stamp at every position, tile by tile.

    What becomes of an object depends on the mosaic, its position and the settings; not on the
    other objects, but for the flag ``coincident``, nor on the number of processes.

    Args:
        mosaic: `galadapt.mosaics.Mosaic`, open.
        x: Columns [px], 0-based (N,); not finite for objects that are not on the image.
        y: Rows (N,).
        size: Stamp side S [px].
        extraction: Background, segmentation and limits.
        processes: Processes to share the tiles among; more than one forks this process.

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
    twice = _coincident(x, y, inside)
    psf_fwhm = None
    if extraction.psf_fwhm is not None and mosaic.pixel_scale:
        psf_fwhm = extraction.psf_fwhm / mosaic.pixel_scale
    most = max(_BATCH // (4 * size * size), 1)
    tasks = [
        (line, column, rows[start : start + most])
        for line, column, rows in tiles_of(x, y, np.flatnonzero(inside), extraction)
        for start in range(0, len(rows), most)
    ]

    def work(task: tuple[int, int, np.ndarray]) -> Batch:
        line, column, rows = task
        tile = read_tile(mosaic, line, column, size, extraction)
        known = [Flag.COINCIDENT if twice[row] else Flag(0) for row in rows]
        return rows, [
            judge(tile, x[row], y[row], size, extraction, psf_fwhm, flags)
            for row, flags in zip(rows, known, strict=True)
        ]

    yield from track(_mapped(work, tasks, processes), len(tasks), "extraction", "tiles")


def _coincident(x: np.ndarray, y: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Tell which positions have another one within `_COINCIDENT` pixels."""
    twice = np.zeros(len(x), bool)
    rows = np.flatnonzero(inside)
    if len(rows) > 1:
        tree = cKDTree(np.stack([x[rows], y[rows]], axis=1))
        twice[rows[np.unique(tree.query_pairs(_COINCIDENT, output_type="ndarray"))]] = True
    return twice


#: What a forked process works on: functions and open mosaics travel by forking, not by pickling.
_WORK: list[Callable[[Any], Any]] = []


def _call(task: Any) -> Any:
    return _WORK[-1](task)


def _mapped(work: Callable[[Any], Batch], tasks: list[Any], processes: int) -> Iterator[Batch]:
    """Map in order; with processes, never more than two results per process ahead."""
    if min(processes, len(tasks)) <= 1:
        yield from map(work, tasks)
        return
    _WORK.append(work)
    try:
        with multiprocessing.get_context("fork").Pool(min(processes, len(tasks))) as pool:
            waiting: deque[Any] = deque()
            for task in tasks:
                waiting.append(pool.apply_async(_call, (task,)))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().get()
            while waiting:
                yield waiting.popleft().get()
    finally:
        _WORK.remove(work)
