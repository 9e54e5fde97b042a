"""A survey field: the common output of all kinds of survey.

It is a mosaic (``drz``) with a celestial WCS and its zero point (ABZP), its weight map (``wht``), a
catalogue, and a table of what is known beyond it (``truth``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, read_table, require, write_parquet
from galadapt.core.log import log, progress
from galadapt.core.quantity import PARAMETERS
from galadapt.sky.catalogues import FLAG_GOOD, FLAG_NO_FIT

#: Columns of ``catalogue.parquet`` and their units; NaN where a value is missing.
#: effective_radius is the semi-major axis of the half-light ellipse, ellipticity 1 - b/a,
#: position_angle from north through east, flag one of `galadapt.sky.catalogues`, sn the
#: signal-to-noise ratio.
CATALOGUE = {
    **{"id": "", "ra": "deg", "dec": "deg"},
    **{"magnitude": "mag", "effective_radius": "arcsec", "sersic_index": "", "ellipticity": ""},
    "position_angle": "deg",
    **{"magnitude_error": "mag", "effective_radius_error": "arcsec", "sersic_index_error": ""},
    **{"ellipticity_error": "", "position_angle_error": "deg"},
    **{"flag": "", "sn": ""},
}

#: Columns that a fit gives.
FITTED = tuple(name for one in (*PARAMETERS, "position_angle") for name in (one, f"{one}_error"))

Band = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Field:
    """The files of a field."""

    drz: Path  #: mosaic, FITS
    wht: Path  #: inverse variance per pixel, correlation included; 0 where there is no data
    catalogue: Path  #: Parquet, `CATALOGUE`, one row per object
    truth: Path  #: Parquet; its columns depend on the kind of survey

    def write_images(
        self,
        shape: tuple[int, int],
        wcs: WCS,
        image: Image,
        exposure_time: float | None,
        origin: str,
        bands: Iterable[Band],
    ) -> None:
        """Write mosaic and weight map (ny, nx), some rows at a time, atomically.

        `exposure_time` is in seconds, None if unknown; `origin` is the survey's name in the header.
        `bands` yields pixels and weights of consecutive rows, (rows, nx) each.
        """
        cards: dict[str, Any] = {
            "FILTER": image.band,
            "ABZP": (image.zero_point, "AB magnitude of 1 e-/s"),
            "ORIGIN": origin,
        }
        if exposure_time is not None:
            cards["EXPTIME"] = (exposure_time, "[s]")
        with contextlib.ExitStack() as stack:
            streams = []
            for path, unit in ((self.drz, "ELECTRONS/S"), (self.wht, "1/(ELECTRONS/S)^2")):
                header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2)])
                header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
                header.update(wcs_header(wcs))
                header.update({"BUNIT": unit, **cards})
                streams.append(stack.enter_context(image_stream(path, header, shape)))
            for band in bands:
                for stream, values in zip(streams, band, strict=True):
                    stream.write(values.astype(np.float32))

    def write_cells(
        self,
        count: int,
        image: Image,
        exposure_time: float | None,
        origin: str,
        draw: Callable[[int], Band],
    ) -> tuple[WCS, np.ndarray]:
        """Write a mosaic of square cells, twice as wide as a stamp, one of `count` objects in each.

        `draw` gives pixels and weights of a cell by its number; those from `count` on are empty.
        Other arguments are those of `write_images`.

        Returns:
            WCS; first column and row of each object's cell (count, 2).
        """
        side = 2 * image.stamp_size
        columns = int(np.ceil(np.sqrt(count)))
        lines = -(-count // columns)
        shape = (lines * side, columns * side)
        wcs = tangent_wcs(shape, image.pixel_scale)

        def bands() -> Iterator[Band]:
            for line in progress(range(lines), lines, origin, "rows of cells"):
                cells = [draw(line * columns + column) for column in range(columns)]
                data, weight = (np.concatenate(parts, axis=1) for parts in zip(*cells, strict=True))
                yield data, weight

        self.write_images(shape, wcs, image, exposure_time, origin, bands())
        line, column = np.divmod(np.arange(count), columns)
        return wcs, np.stack([column, line], axis=1) * side

    def write_tables(
        self, catalogue: pd.DataFrame, truth: pd.DataFrame, about: str, provenance: dict[str, Any]
    ) -> None:
        """Write the catalogue, with units, `about` and provenance in its metadata, and the truth.

        The catalogue has at least id and flag; its other columns of `CATALOGUE` may be missing.
        Objects with flag 3 (no fit) lose all values of the fit.
        """
        table = catalogue.reindex(columns=list(CATALOGUE))
        table.loc[table["flag"] == FLAG_NO_FIT, list(FITTED)] = np.nan
        table.attrs = {"about": about, "units": CATALOGUE, "provenance": provenance}
        write_parquet(self.catalogue, table)
        write_parquet(self.truth, truth)
        labelled = int(table[list(PARAMETERS)].notna().all(axis=1).sum())
        good = int((table["flag"] == FLAG_GOOD).sum())
        log.info(f"{about}: {len(table)} rows, {labelled} with labels, {good} with a good flag")


@contextlib.contextmanager
def image_stream(
    path: Path, header: fits.Header, shape: tuple[int, int]
) -> Iterator[fits.StreamingHDU]:
    """Yield a stream that takes the rows of a float32 image (ny, nx); the file is atomic."""
    header["BITPIX"], header["NAXIS1"], header["NAXIS2"] = -32, shape[1], shape[0]
    with atomic(path) as temporary, fits.StreamingHDU(temporary, header) as stream:
        yield stream


def read_catalogue(path: Path) -> pd.DataFrame:
    """Read a field's catalogue.

    Raises:
        DataError: it is missing or broken, lacks a column, or an id stands twice.
    """
    table = read_table(path)
    table.attrs = {}
    require(table, CATALOGUE, path, "rerun the survey")
    twice = table.loc[table["id"].duplicated(), "id"]
    if len(twice):
        raise DataError(f"{path}: id {twice.iloc[0]} stands twice; give every object its own")
    return table


def tangent_wcs(
    shape: tuple[int, int], pixel_scale: float, ra: float = 150.1, dec: float = 2.3
) -> WCS:
    """A gnomonic WCS with north up and east left, centred on (ra, dec) [deg]."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) * pixel_scale / 3600
    return wcs


def wcs_header(wcs: WCS) -> fits.Header:
    """Cards of a WCS, with the CD matrix: not every old tool reads PC with CDELT."""
    header = wcs.to_header(relax=True)
    for key in ("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"):
        header.remove(key, ignore_missing=True)
    for (row, column), value in np.ndenumerate(wcs.pixel_scale_matrix):
        header[f"CD{row + 1}_{column + 1}"] = float(value)
    return header
