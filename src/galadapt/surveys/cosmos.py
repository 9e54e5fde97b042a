"""Real galaxies of COSMOS as seen by another telescope.

Each galaxy of a GalSim RealGalaxyCatalog (HST/ACS F814W) is deconvolved from its own PSF,
convolved with the survey's, and drawn in one cell of a mosaic with noise. Its labels are the
single Sersic fits that come with the catalogue (Mandelbaum et al. 2012; Lackner & Gunn 2012).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Table

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image, Psf
from galadapt.config.survey import CosmosSurvey
from galadapt.core.errors import DataError
from galadapt.core.files import expand, require
from galadapt.core.photometry import flux_of, magnitude_of, rescaling
from galadapt.core.random import generator
from galadapt.simulation import profiles
from galadapt.simulation.drawing import drawn
from galadapt.simulation.ktable import KTableRenderer
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.psf import make_psf
from galadapt.sky.catalogues import FLAG_BAD, FLAG_GOOD, FLAG_NO_FIT, FLAG_SUSPICIOUS
from galadapt.surveys.field import Band, Field
from galadapt.surveys.fit_errors import signal_to_noise

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

_SPECTRUM = 256  #: side of the grid of wave numbers

#: Random stream purposes, in the upper half of the key's second word; galaxies take the lower.
_OFFSET, _NOISE = 1, 2


def make_cosmos(
    survey: CosmosSurvey,
    image: Image,
    psf: Psf,
    seed: int,
    field: Field,
    provenance: dict[str, Any],
) -> None:
    """Make a field from a RealGalaxyCatalog.

    The seed draws sub-pixel offsets and noise. The catalogue has no errors, as the Sersic fits come
    without any; truth has a row per galaxy: id, x, y, fit, box_cut [step in pixel rms], flag,
    reason (a key of `REASONS`).

    Raises:
        DataError: the catalogue, its images or its Sersic fits are missing or broken.
    """
    source, table = _open(survey)
    rows = table.iloc[: survey.max_galaxies].reset_index(drop=True)
    levels = resolve(survey.noise)
    camera = _Camera(source, image, make_psf(psf, image.pixel_scale), survey, levels.pixel_rms)
    cell = camera.cell
    found = []

    def draw(index: int) -> Band:
        noise = generator(seed, _NOISE, index)
        if index >= len(rows):
            empty = np.zeros((cell, cell))
            return add_noise(empty, levels, noise), empty + 1 / levels.pixel_rms**2
        offset = generator(seed, _OFFSET, index).uniform(-0.5, 0.5, 2)
        light, variance, cut, reason = camera.see(index, rows.iloc[index], offset)
        rms = np.sqrt(np.clip(levels.pixel_rms**2 - variance, 0, None))
        found.append((*offset, cut, reason))
        # Where the archive was noisier than wanted, the weight is smaller.
        weight = 1 / np.maximum(levels.pixel_rms**2, variance)
        return add_noise(light, levels, noise, rms_map=rms), weight

    origin = "galadapt: COSMOS galaxies seen again"
    wcs, corners = field.write_cells(len(rows), image, levels.exposure_time, origin, draw)
    rows["x"], rows["y"], rows["box_cut"], rows["reason"] = zip(*found, strict=True)
    rows[["x", "y"]] += corners + (cell - 1) / 2
    rows["flag"] = rows["reason"].map(REASONS)
    ra, dec = wcs.pixel_to_world_values(rows["x"].to_numpy(), rows["y"].to_numpy())
    sn = signal_to_noise(
        flux_of(rows["magnitude"].to_numpy(), image.zero_point),
        rows["radius"].to_numpy() / image.pixel_scale,
        rows["axis_ratio"].to_numpy(),
        np.full(len(rows), levels.pixel_rms),
        levels.exposure_time,
    )
    catalogue = rows.assign(
        ra=ra, dec=dec, effective_radius=rows["radius"], ellipticity=1 - rows["axis_ratio"], sn=sn
    )
    about = f"COSMOS galaxies in the PSF and noise of {image.band}; values of their F814W fits"
    field.write_tables(catalogue, rows, about, provenance)


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
    remedy = "only catalogues with Sersic fits can be measured against"
    require(table.colnames, ("IDENT", "sersicfit", "fit_status"), beside, remedy)
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
        magnitude = magnitude_of(flux, survey.source_zero_point)
    # phi is counter-clockwise from +x, GALFIT's angle from +y.
    angle = (np.degrees(phi) - 90 + np.where(swap, 90, 0) + 90) % 180 - 90
    viable = table["viable_sersic"] if "viable_sersic" in table.colnames else np.ones(len(table))
    frame = pd.DataFrame(
        {
            "id": np.asarray(table["IDENT"], np.int64),
            "magnitude": magnitude,
            "radius": radius * survey.source_pixel_scale,
            "sersic_index": index,
            "axis_ratio": ratio,
            "position_angle": angle,
            "fit_status": np.asarray(table["fit_status"])[:, 4].astype(np.int64),
            "viable": np.asarray(viable).astype(np.int64),
        }
    )
    return source, frame


class _Camera:
    """Draws galaxies of the archive through another PSF."""

    def __init__(
        self,
        source: galsim.RealGalaxyCatalog,
        image: Image,
        psf: galsim.GSObject,
        survey: CosmosSurvey,
        pixel_rms: float,
    ) -> None:
        self.cell = 2 * image.stamp_size
        self._source, self._image, self._psf = source, image, psf
        self._brightening = rescaling(survey.source_zero_point, image.zero_point)
        self._limits, self._pixel_rms = survey.box_cut, pixel_rms
        self._renderer = KTableRenderer(image, psf)
        # Wave numbers up to the PSF's last, on which noise spectra are summed.
        self._step = 2 * psf.maxk / _SPECTRUM
        self._passed = np.abs(self._spectrum(psf)) ** 2

    def see(
        self, index: int, row: pd.Series, offset: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, str]:
        """Draw one galaxy in its cell, and measure how much of it the archive's box has cut off.

        Returns:
            Light (cell, cell) [e-/s] with the archive's noise, and that noise's variance per pixel;
            the step at the edge of the source box [pixel rms], NaN without a model; a key of
            `REASONS`.
        """
        cell = self.cell
        variance = np.zeros((cell, cell))
        try:
            galaxy = galsim.RealGalaxy(self._source, index=index)
            seen = galsim.Convolve(galaxy, self._psf).withScaledFlux(self._brightening)
            light = drawn(seen, cell, self._image.pixel_scale, tuple(offset)).astype(np.float64)
            if not np.isfinite(light).all():
                raise ValueError("the image or its PSF holds NaN")
            noise = self._noise_variance(index)
        except (galsim.GalSimError, galsim.GalSimWarning, OSError, ValueError, LookupError):
            return np.zeros((cell, cell)), variance, np.nan, "unreadable"
        ny, nx = galaxy.gal_image.array.shape
        half_box = np.array([nx, ny]) * galaxy.gal_image.scale / self._image.pixel_scale / 2
        # The archive's noise came along inside the box: only the rest is to be added there.
        variance[_distance(cell, offset, half_box) <= 0] = noise
        cut = self._cut(row, offset, half_box)
        return light, variance, cut, _reason(row, cut, self._limits)

    def _spectrum(self, profile: galsim.GSObject) -> np.ndarray:
        return profile.drawKImage(nx=_SPECTRUM, ny=_SPECTRUM, scale=self._step).array

    def _noise_variance(self, index: int) -> float:
        """Variance of the archive's noise after its PSF has been exchanged for ours [(e-/s)^2].

        The integral of its power spectrum over the plane, as ``seen.noise.getVariance()`` has it
        to 1e-6 in 200 times the time.
        """
        own = np.abs(self._spectrum(self._source.getPSF(index))) ** 2
        noise = self._spectrum(self._source.getNoise(index)).real
        passed = self._passed > 1e-12
        total = (noise[passed] * self._passed[passed] / own[passed]).sum()
        return float(total * (self._step / (2 * np.pi) * self._brightening) ** 2)

    def _cut(self, row: pd.Series, offset: np.ndarray, half_box: np.ndarray) -> float:
        """Step at the edge of the source box [pixel rms]; NaN if there is no model.

        Brightest pixel of the Sersic model outside the box and inside the stamp: there the image
        drops to nothing although the galaxy goes on. (The total of the missing light is no use as
        a criterion: it exceeds S/N 20 for 72 of the 82 galaxies of GalSim's example.)
        """
        side = self._image.stamp_size
        parameters = {
            "magnitude": row["magnitude"],
            "effective_radius": row["radius"] / self._image.pixel_scale,
            "sersic_index": float(np.clip(row["sersic_index"], *SERSIC_INDEX_LIMITS)),
            "ellipticity": 1 - row["axis_ratio"],
            "position_angle": row["position_angle"],
            "x_offset": offset[0],
            "y_offset": offset[1],
        }
        try:
            light = self._renderer.render(parameters)
        except DataError:
            # An absurd fit (needle-like, enormous) cannot be drawn, hence cannot be a label.
            return np.nan
        outside = _distance(side, offset, half_box) > 0
        return float(light[outside].max(initial=0.0) / self._pixel_rms)


def _distance(side: int, offset: np.ndarray, half_box: np.ndarray) -> np.ndarray:
    """How far each pixel of a square lies beyond a box around its centre plus offset [px]."""
    away = np.abs(np.indices((side, side))[::-1] - ((side - 1) / 2 + offset)[:, None, None])
    return (away - half_box[:, None, None]).max(axis=0)


def _reason(row: pd.Series, cut: float, limits: list[float]) -> str:
    """The worst defect of a galaxy; a key of `REASONS`."""
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
