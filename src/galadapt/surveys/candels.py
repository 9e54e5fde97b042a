"""CANDELS: HST/WFC3 F160W mosaics from MAST and the GALFIT catalogues of van der Wel et al.

The mosaics (1 to 2 GB each) are never held in memory: they are checked by their headers and given a
second name, or, for a part of the sky, copied row by row. What of the catalogue (2014, 2012, or
VizieR's form of the latter) cannot be a label gets a flag and a reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.config.image import Image
from galadapt.config.machine import Downloads
from galadapt.config.survey import CandelsSurvey, SkyBox
from galadapt.core.errors import DataError
from galadapt.core.files import expand
from galadapt.core.log import log
from galadapt.sky.archives import Archives, read_archives, unpack
from galadapt.sky.calibration import SCALE_TOLERANCE, unit_kind
from galadapt.sky.catalogues import FLAG_BAD, FLAG_GOOD, FLAG_NO_FIT, FLAG_SUSPICIOUS, read_galfit
from galadapt.sky.downloads import fetch, link_or_copy
from galadapt.sky.fits_files import Plane, open_plane
from galadapt.sky.pixels import Pixels
from galadapt.sky.sky import Sky, without_stale_distortion
from galadapt.surveys.field import FITTED, Field, image_stream

#: Why an object is flagged and with which flag at least, the worst first. The flags of the
#: catalogue itself stay; objects off the mosaic are left out and counted only.
REASONS = {
    "no_fit": FLAG_NO_FIT,
    "impossible_values": FLAG_NO_FIT,
    "bad_fit": FLAG_BAD,
    "radius_at_floor": FLAG_BAD,
    "absurd_magnitude": FLAG_BAD,
    "suspicious_fit": FLAG_SUSPICIOUS,
    "": FLAG_GOOD,
}

#: Folder and file of each field's 2014 catalogue.
_NAMES_2014 = {"gs": "goodss", "cos": "cosmos", "uds": "uds", "egs": "aegis", "gn": "goodsn"}

#: Smallest effective radius GALFIT was allowed [arcsec], 0.3 px (van der Wel et al. 2012), and what
#: is still at it: some fits stop a per cent above, with a good flag.
_RADIUS_FLOOR = 0.018 * 1.02

_MAGNITUDES = (12.0, 32.0)  #: magnitudes no CANDELS galaxy has
_ROWS = 256  #: rows of pixels copied at once

#: Rows and columns [first, past the last).
Box = tuple[tuple[int, int], tuple[int, int]]


def make_candels(
    survey: CandelsSurvey,
    image: Image,
    field: Field,
    provenance: dict[str, Any],
    downloads: Downloads,
) -> None:
    """Make a field of CANDELS.

    Its images may be another name of the downloaded ones. truth has a row per object of the
    catalogue: id, x, y [0-based px], catalog_flag, flag, reason (a key of `REASONS`).

    Raises:
        DataError: a file cannot be had or is not what its name promises, mosaic and settings
            disagree, or no object lies on the mosaic.
        ConfigError: the table of archives is broken.
    """
    archives = read_archives(expand(downloads.archives))
    drz, wht = (
        _fetched(f"candels-{survey.field}-{kind}", archives, downloads) for kind in ("drz", "wht")
    )
    with open_plane(drz, "mosaic") as mosaic, open_plane(wht, "mosaic") as weight:
        sky = _check_mosaic(mosaic, weight, image)
        source = _catalog_source(survey, archives, downloads)
        table = read_galfit(source)
        box = _pixels(survey.region, mosaic.shape, sky, drz)
        ny, nx = (stop - start for start, stop in box)
        if min(ny, nx) < image.stamp_size:
            raise DataError(
                f"{drz}: the part used is {nx} x {ny} px, smaller than a stamp "
                f"of {image.stamp_size} px; widen survey.region"
            )
        found = _flagged(_on_mosaic(table, sky, box, source, survey))
        for fetched, plane, path in ((drz, mosaic, field.drz), (wht, weight, field.wht)):
            if survey.region is None:
                link_or_copy(fetched, path, symbolic=True)
            else:
                _cut(plane.hdu.header, plane.pixels, path, box)
    about = f"CANDELS {survey.field}, F160W: objects of {source.name} on {drz.name}"
    truth = found[["id", "x", "y", "catalog_flag", "flag", "reason"]]
    field.write_tables(found, truth, about, provenance)
    counts = found["reason"].replace("", "good").value_counts()
    summary = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    log.info(
        f"candels survey: {len(found)} objects on the mosaic, {len(table) - len(found)} of the "
        f"catalogue outside; {summary}"
    )


def _fetched(name: str, archives: Archives, downloads: Downloads) -> Path:
    return fetch(archives.named(name)[name], downloads)


def _catalog_source(survey: CandelsSurvey, archives: Archives, downloads: Downloads) -> Path:
    if survey.catalog is not None:
        return expand(survey.catalog)
    if survey.release == 2012:
        return _fetched("vdw2012", archives, downloads)
    archive = _fetched("vdw2014", archives, downloads)
    folder = unpack(archive, archive.with_name("vdw2014"))
    name = f"{_NAMES_2014[survey.field]}_3dhst.v4.1_f160w.galfit"
    found = sorted(folder.rglob(name))
    if not found:
        raise DataError(f"{archive}: holds no {name}; fetch the archive of the v4.1 catalogues")
    return found[0]


def _check_mosaic(mosaic: Plane, weight: Plane, image: Image) -> Sky:
    """Check both planes by their headers alone; return the mosaic's coordinates."""
    drz, wht = mosaic.cards.path, weight.cards.path
    if mosaic.shape != weight.shape:
        (ny, nx), (rows, columns) = mosaic.shape, weight.shape
        raise DataError(
            f"{wht}: {columns} x {rows} px for a mosaic of {nx} x {ny} px ({drz}); fetch the "
            "weight map of the same mosaic"
        )
    unit = mosaic.cards.text("BUNIT")
    if unit_kind(unit) != "e-/s":
        raise DataError(f"{drz}: BUNIT is '{unit}', not ELECTRONS/S; fetch the drz mosaic again")
    wcs = mosaic.sky
    if wcs is None:
        raise DataError(f"{drz}: no celestial WCS in the header; fetch the drz mosaic again")
    scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
    if abs(scale / image.pixel_scale - 1) > SCALE_TOLERANCE:
        raise DataError(
            f"{drz}: pixel scale is {scale:.4f} arcsec, image.pixel_scale is "
            f"{image.pixel_scale:g}; set it to the mosaic's"
        )
    return Sky(wcs)


def _pixels(region: SkyBox | None, shape: tuple[int, int], sky: Sky, path: Path) -> Box:
    """Rows and columns of the part of the mosaic that covers a region; all without a region."""
    if region is None:
        return (0, shape[0]), (0, shape[1])
    edges = np.linspace(0, 1, 9)
    ra = region.ra.low + (region.ra.high - region.ra.low) * edges
    dec = region.dec.low + (region.dec.high - region.dec.low) * edges
    x, y = sky.world_to_pixel_values(*np.meshgrid(ra, dec))
    box = []
    for values, side in zip((y, x), shape, strict=True):
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        box.append((int(max(np.floor(low), 0)), int(min(np.ceil(high) + 1, side))))
    if any(high <= low for low, high in box) or not np.isfinite(x).any():
        raise DataError(f"{path}: survey.region lies outside the mosaic; move it")
    return box[0], box[1]


def _cut(header: fits.Header, pixels: Pixels, target: Path, box: Box) -> None:
    """Copy a part of an image, some rows at a time, with its header."""
    (y0, y1), (x0, x1) = box
    header = without_stale_distortion(header)
    header["CRPIX1"] -= x0
    header["CRPIX2"] -= y0
    for key in ("BSCALE", "BZERO"):
        header.remove(key, ignore_missing=True)
    with image_stream(target, header, (y1 - y0, x1 - x0)) as stream:
        for row in range(y0, y1, _ROWS):
            stream.write(pixels[row : min(row + _ROWS, y1), x0:x1].astype(np.float32))


def _on_mosaic(
    table: pd.DataFrame, sky: Sky, box: Box, source: Path, survey: CandelsSurvey
) -> pd.DataFrame:
    """Keep the objects on the part of the mosaic that is used, with their pixel positions."""
    (y0, y1), (x0, x1) = box

    def located(ra: pd.Series, dec: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y = sky.world_to_pixel_values(ra, dec)
        x, y = x - x0, y - y0
        inside = (x >= -0.5) & (x <= x1 - x0 - 0.5) & (y >= -0.5) & (y <= y1 - y0 - 0.5)
        return x, y, inside

    x, y, inside = located(table["ra"], table["dec"])
    if not inside.any():
        why = (
            "RA and DEC seem to be swapped; swap them"
            if located(table["dec"], table["ra"])[2].any()
            else f"give the catalogue of field {survey.field}"
        )
        raise DataError(f"{source}: none of {len(table)} objects lies on the mosaic; {why}")
    found = table.assign(x=x, y=y)[inside].reset_index(drop=True)
    if found["id"].duplicated().any():
        twice = found.loc[found["id"].duplicated(), "id"].iloc[0]
        raise DataError(f"{source}: NUMBER {twice} stands twice; give every object its own")
    return found


def _flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Add catalog_flag and reason, and raise the flag where the values require it."""
    radius, ellipticity, given = table["effective_radius"], table["ellipticity"], table["flag"]
    absent = ~np.isfinite(table[list(FITTED)].to_numpy()).all(axis=1)
    conditions = {
        "no_fit": absent | (given >= FLAG_NO_FIT),
        "impossible_values": ~(
            (radius > 0) & (table["sersic_index"] > 0) & (ellipticity >= 0) & (ellipticity < 1)
        ),
        "bad_fit": given == FLAG_BAD,
        "radius_at_floor": radius <= _RADIUS_FLOOR,
        "absurd_magnitude": ~table["magnitude"].between(*_MAGNITUDES, inclusive="neither"),
        "suspicious_fit": given == FLAG_SUSPICIOUS,
    }
    reason = np.select(list(map(np.asarray, conditions.values())), list(conditions), default="")
    flag = np.maximum(given, pd.Series(reason, index=table.index).map(REASONS))
    return table.assign(catalog_flag=given, flag=flag.astype(np.int64), reason=reason)
