"""CANDELS: HST/WFC3 F160W mosaics from MAST and the GALFIT catalogues of van der Wel et al.

The mosaics (1 to 2 GB each) are never held in memory: they are checked by their headers and given a
second name, or, for a part of the sky, copied row by row. What of the catalogue (2014, 2012, or
VizieR's form of the latter) cannot be a label gets a flag and a reason.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.config.image import Image
from galadapt.config.machine import Downloads
from galadapt.config.survey import CandelsSurvey, SkyBox
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, expand
from galadapt.core.log import log
from galadapt.sky.archives import Archives, read_archives, unpack
from galadapt.sky.calibration import unit_kind
from galadapt.sky.catalogues import (
    FLAG_BAD,
    FLAG_GOOD,
    FLAG_NO_FIT,
    FLAG_SUSPICIOUS,
    read_galfit,
)
from galadapt.sky.downloads import fetch, link_or_copy
from galadapt.sky.sky import Sky, celestial, without_stale_distortion
from galadapt.surveys.field import FITTED, Field

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

#: Magnitudes no CANDELS galaxy has.
_MAGNITUDES = (12.0, 32.0)

#: Rows of pixels copied at once.
_ROWS = 256

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

    Args:
        survey: Field, catalogue and part of the sky.
        image: Pixel scale the mosaic must have, and side of a stamp.
        field: Files to write; the images may be another name of the downloaded ones. truth has a
            row per object of the catalogue: id, x, y [0-based px], catalog_flag, flag, reason (a
            key of `REASONS`).
        provenance: Written into the catalogue.
        downloads: Where the files are and where they may be fetched.

    Raises:
        DataError: a file cannot be had or is not what its name promises, mosaic and settings
            disagree, or no object lies on the mosaic.
        ConfigError: the table of archives is broken.
    """
    archives = read_archives(expand(downloads.archives))
    drz, wht = (
        _fetched(f"candels-{survey.field}-{kind}", archives, downloads) for kind in ("drz", "wht")
    )
    header, sky = _judge(drz, wht, image)
    source = _catalog_source(survey, archives, downloads)
    table = read_galfit(source)
    box = _pixels(survey.region, header, sky, drz)
    ny, nx = (stop - start for start, stop in box)
    if min(ny, nx) < image.stamp_size:
        raise DataError(
            f"{drz}: the part used is {nx} x {ny} px, smaller than a stamp "
            f"of {image.stamp_size} px; widen survey.region"
        )
    found = _flagged(_on_mosaic(table, sky, box, source, survey))
    for fetched, path in ((drz, field.drz), (wht, field.wht)):
        if survey.region is None:
            link_or_copy(fetched, path, symbolic=True)
        else:
            _cut(fetched, path, box)
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
    """Find or fetch a file of the table."""
    return fetch(
        archives.named(name)[name],
        expand(downloads.folder),
        mirrors=downloads.mirrors,
        offline=downloads.offline,
        checksums=expand(downloads.checksums),
    )


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


def _header(path: Path) -> fits.Header:
    """Header of the image; its pixels must all be there, but are not read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True, lazy_load_hdus=True) as hdus:
                header, end = hdus[0].header.copy(), hdus[0].fileinfo()
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable FITS file ({reason}); fetch it again") from None
    if header.get("NAXIS") != 2:
        raise DataError(f"{path}: its first image is not 2-D; give the mosaic itself")
    # Only whole blocks of 2880 bytes count, but some writers leave the last one unfilled.
    needed = end["datLoc"] + abs(header["BITPIX"]) // 8 * header["NAXIS1"] * header["NAXIS2"]
    size = path.stat().st_size
    if size < needed:
        raise DataError(f"{path}: has {size} of {needed} bytes; delete it to have it fetched again")
    return header


def _judge(drz: Path, wht: Path, image: Image) -> tuple[fits.Header, Sky]:
    """Check the mosaic by its headers alone; return the image's, and its places on the sky."""
    header, weight = _header(drz), _header(wht)
    shapes = [(h["NAXIS1"], h["NAXIS2"]) for h in (header, weight)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{wht}: {shapes[1][0]} x {shapes[1][1]} px for a mosaic of {shapes[0][0]} x "
            f"{shapes[0][1]} px ({drz}); fetch the weight map of the same mosaic"
        )
    unit = str(header.get("BUNIT", "")).strip()
    if unit_kind(unit) != "e-/s":
        raise DataError(f"{drz}: BUNIT is '{unit}', not ELECTRONS/S; fetch the drz mosaic again")
    wcs = celestial(header, None, drz)
    if wcs is None:
        raise DataError(f"{drz}: no celestial WCS in the header; fetch the drz mosaic again")
    scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
    if abs(scale / image.pixel_scale - 1) > 0.01:
        raise DataError(
            f"{drz}: pixel scale is {scale:.4f} arcsec, image.pixel_scale is "
            f"{image.pixel_scale:g}; set it to the mosaic's"
        )
    return header, Sky(wcs, np.ones(2))


def _pixels(region: SkyBox | None, header: fits.Header, sky: Sky, path: Path) -> Box:
    """Rows and columns of the part of the mosaic that covers a region; all without a region."""
    sides = int(header["NAXIS2"]), int(header["NAXIS1"])
    if region is None:
        return (0, sides[0]), (0, sides[1])
    edges = np.linspace(0, 1, 9)
    ra = region.ra.low + (region.ra.high - region.ra.low) * edges
    dec = region.dec.low + (region.dec.high - region.dec.low) * edges
    x, y = sky.world_to_pixel_values(*np.meshgrid(ra, dec))
    box = []
    for values, side in zip((y, x), sides, strict=True):
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        box.append((int(max(np.floor(low), 0)), int(min(np.ceil(high) + 1, side))))
    if any(high <= low for low, high in box) or not np.isfinite(x).any():
        raise DataError(f"{path}: survey.region lies outside the mosaic; move it")
    return box[0], box[1]


def _cut(source: Path, target: Path, box: Box) -> None:
    """Copy a part of an image, some rows at a time, with its header."""
    (y0, y1), (x0, x1) = box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        with fits.open(source, memmap=True) as hdus, atomic(target) as temporary:
            header = without_stale_distortion(hdus[0].header)
            header["NAXIS1"], header["NAXIS2"] = x1 - x0, y1 - y0
            header["CRPIX1"] -= x0
            header["CRPIX2"] -= y0
            header["BITPIX"] = -32
            for key in ("BSCALE", "BZERO"):
                header.remove(key, ignore_missing=True)
            stream = fits.StreamingHDU(temporary, header)
            try:
                for row in range(y0, y1, _ROWS):
                    rows = hdus[0].section[row : min(row + _ROWS, y1), x0:x1]
                    stream.write(np.asarray(rows, dtype=np.float32))
            finally:
                stream.close()


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
