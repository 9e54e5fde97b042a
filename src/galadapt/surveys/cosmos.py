"""Real galaxies of COSMOS as another telescope would have imaged them.

Each galaxy of a GalSim RealGalaxyCatalog (HST/ACS F814W) is deconvolved from its own PSF,
convolved with the survey's, and drawn in one cell of a mosaic with noise. Its labels are the
single Sersic fits that come with the catalogue (Mandelbaum et al. 2012; Lackner & Gunn 2012).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Table

from galadapt import profiles
from galadapt.config import SERSIC_INDEX_LIMITS, CosmosSurvey, Image, Psf
from galadapt.errors import DataError
from galadapt.files import canonical_json, expand, write_parquet
from galadapt.progress import say, track
from galadapt.randomness import generator
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.psf import make_psf
from galadapt.surveys import galfit
from galadapt.surveys.field import (
    FLAG_BAD,
    FLAG_GOOD,
    FLAG_NO_FIT,
    FLAG_SUSPICIOUS,
    NO_FIT,
    tangent_wcs,
    write_catalog,
    write_mosaic,
)

#: Why a galaxy is flagged, and with which GALFIT flag.
REASONS = {
    "unreadable": FLAG_NO_FIT,
    "fit_failed": FLAG_NO_FIT,
    "not_viable": FLAG_BAD,
    "box_cut_badly": FLAG_BAD,
    "box_cut": FLAG_SUSPICIOUS,
    "fit_not_converged": FLAG_SUSPICIOUS,
    "": FLAG_GOOD,
}

#: Random stream purposes, in the upper half of the key's second word; galaxies take the lower.
_OFFSET, _NOISE = 1, 2


def make_cosmos(
    survey: CosmosSurvey,
    image: Image,
    psf: Psf,
    seed: int,
    drz: Path,
    wht: Path,
    catalog: Path,
    truth: Path,
    provenance: dict[str, Any],
) -> None:
    """Make mosaic, weight map, GALFIT catalogue and truth table from a RealGalaxyCatalog.

    Args:
        survey: The catalogue and its calibration.
        image: Stamp side (a cell is twice as wide), pixel scale and zero point of the mosaic.
        psf: Effective PSF of the mosaic.
        seed: Seed of sub-pixel offsets and noise.
        drz: Mosaic [e-/s].
        wht: Inverse variance per pixel.
        catalog: GALFIT catalogue; quoted errors are 0, as the Sersic fits come without any.
        truth: Parquet, one row per galaxy: id, x, y, fit, box_cut [step in pixel rms],
            flag, reason (a key of `REASONS`).
        provenance: Written into the catalogue's header.

    Raises:
        DataError: the catalogue, its images or its Sersic fits are missing or broken.
    """
    source, table = _open(survey)
    levels = resolve(survey.noise)
    table = table.iloc[: survey.max_galaxies].copy()
    cell = 2 * image.stamp_size
    columns = int(np.ceil(np.sqrt(len(table))))
    shape = (int(np.ceil(len(table) / columns)) * cell, columns * cell)
    mosaic = np.zeros(shape)
    present = np.zeros(shape)
    effective = make_psf(psf, image.pixel_scale)
    brightening = 10 ** (0.4 * (image.zero_point - survey.source_zero_point))

    found = []
    rows = table.reset_index(drop=True)
    for index in track(range(len(rows)), len(rows), "cosmos survey", "galaxies"):
        rng = generator(seed, _OFFSET, index)
        offset = rng.uniform(-0.5, 0.5, 2)
        y0, x0 = (index // columns) * cell, (index % columns) * cell
        box = np.s_[y0 : y0 + cell, x0 : x0 + cell]
        row = rows.iloc[index]
        try:
            light, half_box, variance = _real(source, index, effective, image, offset, brightening)
        except (galsim.GalSimError, OSError, ValueError, LookupError):
            light, half_box, variance = np.zeros((cell, cell)), np.zeros(2), 0.0
            cut, reason = np.nan, "unreadable"
        else:
            cut = _missing_light(row, effective, image, offset, half_box, levels.pixel_rms)
            reason = _reason(row, cut, survey.box_cut)
        mosaic[box] += light
        # The archive's noise came along inside the box: only the rest is added there.
        distance = np.abs(np.indices((cell, cell))[::-1] - ((cell - 1) / 2 + offset)[:, None, None])
        within = (distance <= half_box[:, None, None]).all(axis=0)
        present[box][within] = variance
        middle = (cell - 1) / 2
        found.append((x0 + middle + offset[0], y0 + middle + offset[1], cut, reason))

    rows["x"], rows["y"], rows["box_cut"], rows["reason"] = zip(*found, strict=True)
    rows["flag"] = rows["reason"].map(REASONS)
    rms_map = np.sqrt(np.clip(levels.pixel_rms**2 - present, 0, None))
    mosaic = add_noise(mosaic, levels, generator(seed, _NOISE), rms_map=rms_map)
    # Where the archive was noisier than wanted, the weight says so.
    weight = 1 / np.maximum(levels.pixel_rms**2, present)

    wcs = tangent_wcs(shape, image.pixel_scale)
    cards = {
        "TELESCOP": "HST",
        "FILTER": image.band,
        "EXPTIME": (levels.exposure_time, "[s]"),
        "ABZP": (image.zero_point, "AB magnitude of 1 e-/s"),
        "ORIGIN": "galadapt: COSMOS galaxies seen again",
    }
    write_mosaic(drz, mosaic, wcs, cards, "ELECTRONS/S")
    write_mosaic(wht, weight, wcs, cards, "1/(ELECTRONS/S)^2")
    write_catalog(
        catalog,
        _catalog(rows, wcs, image, levels.pixel_rms, levels.exposure_time),
        [
            f"COSMOS galaxies in the PSF and noise of {image.band}; values of their F814W fits",
            f"provenance {canonical_json(provenance)}",
        ],
    )
    write_parquet(truth, rows)
    say(
        f"cosmos survey: {len(rows)} galaxies, "
        f"{int((rows['flag'] == FLAG_GOOD).sum())} with a good flag"
    )


def _open(survey: CosmosSurvey) -> tuple[galsim.RealGalaxyCatalog, pd.DataFrame]:
    """Open the catalogue and turn its Sersic fits into GALFIT's convention."""
    directory = expand(survey.directory)
    path = directory / survey.catalog
    beside = directory / (Path(survey.catalog).stem + "_fits.fits")
    for needed, what in ((path, "RealGalaxyCatalog"), (beside, "table of Sersic fits")):
        if not needed.is_file():
            raise DataError(f"{needed}: no such {what}; check survey.directory and survey.catalog")
    try:
        source = galsim.RealGalaxyCatalog(survey.catalog, dir=str(directory))
        with fits.open(beside) as hdus:
            table = Table(hdus[1].data)
    except (galsim.GalSimError, OSError, KeyError, IndexError, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable RealGalaxyCatalog ({reason})") from None
    missing = [n for n in ("IDENT", "sersicfit", "fit_status") if n not in table.colnames]
    if missing:
        raise DataError(
            f"{beside}: lacks the column(s) {', '.join(missing)}; only catalogues with Sersic fits "
            "can be measured against"
        )
    # GalSim gives identifiers as text.
    if [str(number) for number in table["IDENT"]] != [str(number) for number in source.ident]:
        raise DataError(f"{beside}: its galaxies are not those of {path}; fetch both again")
    fit = np.asarray(table["sersicfit"], float)
    intensity, radius, index, ratio, phi = fit[:, [0, 1, 2, 3, 7]].T
    # Some fits have b > a; the major axis is the larger one.
    swap = ratio > 1
    radius = np.where(swap, radius * ratio, radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(swap, 1 / ratio, ratio)
        flux = intensity / profiles.surface_brightness(radius, radius, index, ratio)
        magnitude = survey.source_zero_point - 2.5 * np.log10(flux)
    # phi is counter-clockwise from +x, GALFIT's angle from +y.
    angle = (np.degrees(phi) - 90 + np.where(swap, 90, 0) + 90) % 180 - 90
    frame = pd.DataFrame(
        {
            "id": np.asarray(table["IDENT"], np.int64),
            "magnitude": magnitude,
            "radius": radius * survey.source_pixel_scale,
            "sersic_index": index,
            "axis_ratio": ratio,
            "position_angle": angle,
            "fit_status": np.asarray(table["fit_status"])[:, 4].astype(np.int64),
            "viable": (
                np.asarray(table["viable_sersic"]).astype(np.int64)
                if "viable_sersic" in table.colnames
                else 1
            ),
        }
    )
    return source, frame


def _real(
    source: galsim.RealGalaxyCatalog,
    index: int,
    psf: galsim.GSObject,
    image: Image,
    offset: np.ndarray,
    brightening: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw one real galaxy: image (cell, cell) [e-/s], half of its box [px], its noise variance."""
    galaxy = galsim.RealGalaxy(source, index=index)
    seen = galsim.Convolve(galaxy, psf).withScaledFlux(brightening)
    cell = 2 * image.stamp_size
    drawn = _drawn(seen, cell, image.pixel_scale, offset)
    if not np.isfinite(drawn.array).all():
        raise ValueError("the image or its PSF holds NaN")
    ny, nx = galaxy.gal_image.array.shape
    half_box = np.array([nx, ny]) * galaxy.gal_image.scale / image.pixel_scale / 2
    return drawn.array.astype(np.float64), half_box, float(seen.noise.getVariance())


def _drawn(
    profile: galsim.GSObject, side: int, pixel_scale: float, offset: np.ndarray
) -> galsim.Image:
    """Draw a profile; one too large for memory is an error, of which GalSim only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", galsim.GalSimFFTSizeWarning)
        try:
            return profile.drawImage(
                nx=side, ny=side, scale=pixel_scale, offset=tuple(offset), method="no_pixel"
            )
        except galsim.GalSimFFTSizeWarning as warning:
            raise galsim.GalSimError(str(warning)) from None


def _missing_light(
    row: pd.Series,
    psf: galsim.GSObject,
    image: Image,
    offset: np.ndarray,
    half_box: np.ndarray,
    pixel_rms: float,
) -> float:
    """Step at the edge of the source box [pixel rms]; NaN if there is no model.

    Brightest pixel of the Sersic model outside the box and inside the stamp: there the image
    drops to nothing although the galaxy goes on. (The total of the missing light is no use as a
    criterion: it exceeds S/N 20 for 72 of the 82 galaxies of GalSim's example.)
    """
    low, high = SERSIC_INDEX_LIMITS
    if not (np.isfinite(row["magnitude"]) and row["radius"] > 0 and 0 < row["axis_ratio"] <= 1):
        return np.nan
    side = image.stamp_size
    try:
        model = galsim.Sersic(
            float(np.clip(row["sersic_index"], low, high)),
            half_light_radius=row["radius"] * np.sqrt(row["axis_ratio"]),
            flux=10 ** (-0.4 * (row["magnitude"] - image.zero_point)),
            gsparams=galsim.GSParams(folding_threshold=2e-2, maximum_fft_size=8192),
        ).shear(q=row["axis_ratio"], beta=(row["position_angle"] + 90) * galsim.degrees)
        drawn = _drawn(galsim.Convolve(model, psf), side, image.pixel_scale, offset)
    except galsim.GalSimError:
        # An absurd fit (needle-like, enormous) cannot be drawn, hence cannot be a label.
        return np.nan
    light = drawn.array
    distance = np.abs(np.indices((side, side))[::-1] - ((side - 1) / 2 + offset)[:, None, None])
    outside = (distance > half_box[:, None, None]).any(axis=0)
    return float(light[outside].max(initial=0.0) / pixel_rms)


def _reason(row: pd.Series, cut: float, limits: list[float]) -> str:
    """The worst thing to say about a galaxy; a key of `REASONS`."""
    # MPFIT's status: 1-4 converged, 5 stopped at the last iteration, 0 or less failed.
    if row["fit_status"] <= 0 or np.isnan(cut):
        return "fit_failed"
    if not row["viable"]:
        return "not_viable"
    if cut >= limits[1]:
        return "box_cut_badly"
    if cut >= limits[0]:
        return "box_cut"
    return "" if row["fit_status"] <= 4 else "fit_not_converged"


def _catalog(
    rows: pd.DataFrame, wcs: Any, image: Image, pixel_rms: float, exposure_time: float
) -> pd.DataFrame:
    ra, dec = wcs.pixel_to_world_values(rows["x"].to_numpy(), rows["y"].to_numpy())
    flux = 10 ** (-0.4 * (rows["magnitude"].to_numpy() - image.zero_point))
    sn = galfit.signal_to_noise(
        flux,
        rows["radius"].to_numpy() / image.pixel_scale,
        rows["axis_ratio"].to_numpy(),
        np.full(len(rows), pixel_rms),
        exposure_time,
    )
    table = pd.DataFrame(
        {
            "NUMBER": rows["id"],
            "RA": ra,
            "DEC": dec,
            "f": rows["flag"],
            "mag": rows["magnitude"],
            "dmag": 0.0,
            "re": rows["radius"],
            "dre": 0.0,
            "n": rows["sersic_index"],
            "dn": 0.0,
            "q": rows["axis_ratio"],
            "dq": 0.0,
            "pa": rows["position_angle"],
            "dpa": 0.0,
            "sn": np.where(np.isfinite(sn), sn, 0.0),
        }
    )
    unfitted = table["f"] == FLAG_NO_FIT
    fitted = ["mag", "dmag", "re", "dre", "n", "dn", "q", "dq", "pa", "dpa"]
    table.loc[unfitted, fitted] = NO_FIT
    return table
