"""CANDELS: HST/WFC3 F160W mosaics from MAST and the GALFIT catalogues of van der Wel et al.

The mosaics (1 to 2 GB each) are never held in memory: they are judged by their headers and given a
second name, or, for a part of the sky, copied row by row. The catalogue (2014, 2012, or VizieR's
form of the latter) becomes one GALFIT text; what cannot be a label gets a flag and a reason.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.config.image import Image, Psf
from galadapt.config.machine import Downloads
from galadapt.config.survey import CandelsSurvey, SkyBox
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, canonical_json, expand, write_parquet
from galadapt.core.log import log
from galadapt.sky.archives import Archives, read_archives, unpack
from galadapt.sky.calibration import unit_kind
from galadapt.sky.downloads import fetch, link_or_copy
from galadapt.sky.headers import without_stale_distortion
from galadapt.surveys.field import (
    FLAG_BAD,
    FLAG_GOOD,
    FLAG_NO_FIT,
    FLAG_SUSPICIOUS,
    NO_FIT,
    read_catalog,
    write_catalog,
)

#: Why an object is flagged and with which GALFIT flag at least, the worst first. The flags of the
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

#: Columns of a fit: where one is missing, there is none.
_FITTED = ("mag", "dmag", "re", "dre", "n", "dn", "q", "dq", "pa", "dpa")

#: Rows of pixels copied at once.
_ROWS = 256


def make_candels(
    survey: CandelsSurvey,
    image: Image,
    psf: Psf,
    seed: int,
    drz: Path,
    wht: Path,
    catalog: Path,
    truth: Path,
    provenance: dict[str, Any],
    downloads: Downloads,
) -> None:
    """Provide one field's mosaic, weight map, GALFIT catalogue and table of flags.

    Args:
        survey: Field, catalogue and part of the sky.
        image: Pixel scale the mosaic must have, and side of a stamp.
        psf: Not used: the mosaic has its own.
        seed: Not used: nothing is drawn.
        drz: Mosaic [e-/s]: another name of the downloaded file, or a part of it (`survey.region`).
        wht: Weight map [(e-/s)^-2], likewise.
        catalog: GALFIT text of the objects on it.
        truth: Parquet, one row per object of `catalog`: id, x, y [0-based px], catalog_flag, flag,
            reason (a key of `REASONS`).
        provenance: Written into the catalogue's header.
        downloads: Where the files are and where they may be fetched.

    Raises:
        DataError: a file cannot be had or is not what its name promises, mosaic and settings
            disagree, or no object lies on the mosaic.
        ConfigError: the table of archives is broken.
    """
    archives = read_archives(expand(downloads.archives))
    fetched = {
        kind: _fetched(f"candels-{survey.field}-{kind}", archives, downloads)
        for kind in ("drz", "wht")
    }
    header = _judge(fetched["drz"], fetched["wht"], image)
    source = _catalog_source(survey, archives, downloads)
    table = read_catalog(source)
    box = None if survey.region is None else _pixels(survey.region, header, fetched["drz"])
    wcs = _celestial(header)
    if box is None:
        shape = (int(header["NAXIS2"]), int(header["NAXIS1"]))
    else:
        (y0, y1), (x0, x1) = box
        shape, wcs = (y1 - y0, x1 - x0), wcs[y0:y1, x0:x1]
    if min(shape) < image.stamp_size:
        raise DataError(
            f"{fetched['drz']}: the part used is {shape[1]} x {shape[0]} px, smaller than a stamp "
            f"of {image.stamp_size} px; widen survey.region"
        )
    found = _flagged(_on_mosaic(table, wcs, shape, source, survey))
    for kind, path in (("drz", drz), ("wht", wht)):
        if box is None:
            link_or_copy(fetched[kind], path, symbolic=True)
        else:
            _cut(fetched[kind], path, box)
    comments = [
        f"CANDELS {survey.field}, F160W: objects of {source.name} on {fetched['drz'].name}",
        f"provenance {canonical_json(provenance)}",
    ]
    write_catalog(catalog, found, comments)
    columns = {"NUMBER": "id", "x": "x", "y": "y", "catalog_flag": "catalog_flag", "f": "flag"}
    write_parquet(truth, found[[*columns, "reason"]].rename(columns=columns))
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


def _judge(drz: Path, wht: Path, image: Image) -> fits.Header:
    """Check the mosaic by its headers alone; return the image's."""
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
    wcs = _celestial(header)
    if not wcs.has_celestial:
        raise DataError(f"{drz}: no celestial WCS in the header; fetch the drz mosaic again")
    scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
    if abs(scale / image.pixel_scale - 1) > 0.01:
        raise DataError(
            f"{drz}: pixel scale is {scale:.4f} arcsec, image.pixel_scale says "
            f"{image.pixel_scale:g}; set it to the mosaic's"
        )
    return header


def _celestial(header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        wcs = WCS(without_stale_distortion(header))
    return wcs.celestial if wcs.has_celestial else wcs


def _pixels(
    region: SkyBox, header: fits.Header, path: Path
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns [first, past the last) of the part of the mosaic that covers a region."""
    edges = np.linspace(0, 1, 9)
    ra = region.ra.low + (region.ra.high - region.ra.low) * edges
    dec = region.dec.low + (region.dec.high - region.dec.low) * edges
    grid = np.meshgrid(ra, dec)
    x, y = _celestial(header).world_to_pixel_values(grid[0].ravel(), grid[1].ravel())
    box = []
    for values, side in ((y, header["NAXIS2"]), (x, header["NAXIS1"])):
        finite = values[np.isfinite(values)]
        low, high = (0.0, 0.0) if not len(finite) else (finite.min(), finite.max())
        box.append((int(max(np.floor(low), 0)), int(min(np.ceil(high) + 1, side))))
    if any(high <= low for low, high in box) or not np.isfinite(x).any():
        raise DataError(f"{path}: survey.region lies outside the mosaic; move it")
    return box[0], box[1]


def _cut(source: Path, target: Path, box: tuple[tuple[int, int], tuple[int, int]]) -> None:
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
    table: pd.DataFrame, wcs: WCS, shape: tuple[int, int], source: Path, survey: CandelsSurvey
) -> pd.DataFrame:
    """Keep the objects on the mosaic, with their pixel positions."""
    ra, dec = table["RA"].to_numpy(), table["DEC"].to_numpy()
    x, y = _positions(wcs, ra, dec)
    inside = _inside(x, y, shape)
    if not inside.any():
        swapped = _inside(*_positions(wcs, dec, ra), shape).any()
        why = (
            "RA and DEC seem to be swapped; swap them"
            if swapped
            else f"give the catalogue of field {survey.field}"
        )
        raise DataError(f"{source}: none of {len(table)} objects lies on the mosaic; {why}")
    found = table.assign(x=x, y=y)[inside].reset_index(drop=True)
    if found["NUMBER"].duplicated().any():
        twice = found.loc[found["NUMBER"].duplicated(), "NUMBER"].iloc[0]
        raise DataError(f"{source}: NUMBER {twice} stands twice; give every object its own")
    return found


def _positions(wcs: WCS, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    valid = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90) & (ra >= 0) & (ra <= 360)
    x, y = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
    if valid.any():
        x[valid], y[valid] = wcs.world_to_pixel_values(ra[valid], dec[valid])
        # The far side of the sky projects onto the tangent plane, too.
        back = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
        back[0][valid], back[1][valid] = wcs.pixel_to_world_values(x[valid], y[valid])
        with np.errstate(invalid="ignore"):
            x[~(np.abs(back[1] - dec) < 1e-3)] = np.nan
    return x, y


def _inside(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (x >= -0.5) & (x <= shape[1] - 0.5) & (y >= -0.5) & (y <= shape[0] - 0.5)


def _flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Add catalog_flag and reason, and raise the flag where the values ask for it."""
    fit = table[list(_FITTED)].to_numpy()
    absent = (~np.isfinite(fit) | (fit == NO_FIT)).any(axis=1)
    mag, radius, index, ratio = (table[name].to_numpy() for name in ("mag", "re", "n", "q"))
    conditions = {
        "no_fit": absent | (table["f"] >= FLAG_NO_FIT),
        "impossible_values": ~((radius > 0) & (index > 0) & (ratio > 0) & (ratio <= 1)),
        "bad_fit": table["f"] == FLAG_BAD,
        "radius_at_floor": radius <= _RADIUS_FLOOR,
        "absurd_magnitude": ~((mag > _MAGNITUDES[0]) & (mag < _MAGNITUDES[1])),
        "suspicious_fit": table["f"] == FLAG_SUSPICIOUS,
    }
    reason = np.select(list(map(np.asarray, conditions.values())), list(conditions), default="")
    flag = np.maximum(table["f"], pd.Series(reason, index=table.index).map(REASONS))
    flagged = table.assign(catalog_flag=table["f"], f=flag.astype(np.int64), reason=reason)
    flagged.loc[reason == "no_fit", list(_FITTED)] = NO_FIT
    flagged["sn"] = flagged["sn"].where(np.isfinite(flagged["sn"]), 0.0)
    return flagged
