"""The package for any image, and what it needs of the images: pixels, noise, PSF, depth.

It then has what a package of trained runs has (`galadapt.prediction.package.Package`), so that
stamps are cut, checked and written alike; but stamps keep the images' own pixels.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
from scipy.special import ndtri

from galadapt import __version__
from galadapt.config.base import Interval
from galadapt.config.image import FitsPsf, Psf
from galadapt.config.survey import Extraction
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import split_extension
from galadapt.core.log import log
from galadapt.core.photometry import magnitude_of
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.neighbours import shape_of
from galadapt.cutouts.stamps import Stamp
from galadapt.fitting.fusion import Fusion, variance_along
from galadapt.fitting.noise import correlation_of
from galadapt.general.package import NETWORK, GeneralPackage
from galadapt.general.parameters import PARAMETERS as NUMBERS
from galadapt.general.parameters import SIDE, catalogued, position_angle
from galadapt.general.refined import Outcome, refine, refiner_of
from galadapt.prediction.ensemble import Ensemble, Measured
from galadapt.prediction.flags import Flag
from galadapt.prediction.package import Member, Package, Quality, Record
from galadapt.prediction.point_sources import FEWEST
from galadapt.simulation.psf import fwhm, make_psf, stated_scale, summed
from galadapt.simulation.sersic import scale
from galadapt.sky import Mosaic
from galadapt.sky.fits_files import open_fits
from galadapt.sky.pixels import Noise

#: Meshes of the background are so wide, in pixels and in widths of the PSF (FWHM): where pixels are
#: fine, galaxies cover many, and narrow meshes would take their wings for sky.
_MESH, _MESH_WIDTHS = 64, 20

#: Share of a stamp that may be missing or bad; the network is given which pixels are.
_BAD = 0.9

#: Pixels along a side that are summed at most where the PSF is wide.
_MOST_SUMMED = 4

#: Pixels on each side of the middle of which a bad one is flagged.
_CORE = 2

#: Share of a galaxy's own light that neighbours, or bad pixels, may hide before they are flagged.
_HIDDEN_BY_NEIGHBOURS, _HIDDEN_BY_BAD = 0.1, 0.02

#: Side of the piece in the middle of an image that its typical noise is taken from [px].
_PIECE = 1024


@dataclass(frozen=True)
class ImageFacts:
    """What is known of the images before a stamp is cut."""

    pixel_scale: float  #: [arcsec/px]
    zero_point: float | None
    pixel_rms: float  #: typical noise of a pixel
    correlation: np.ndarray | None = None  #: of the noise, at lags 0, 1, ... [px]
    noise: Noise | None = None  #: of the image, where it was measured in its pixels
    summed: int = 1  #: pixels of the file along the side of a pixel here


class OwnErrors:
    """Errors that every object brings with it: its spread is a normal law's sigma."""

    def errors(self, predicted: np.ndarray, spread: np.ndarray, level: float) -> np.ndarray:
        """Half-widths of the intervals that hold the truth with probability `level`."""
        widths: np.ndarray = spread * ndtri((1 + level) / 2)
        return np.where(np.isfinite(predicted), widths, np.nan)


@dataclass(frozen=True)
class AnyImagePackage:
    """The package for any image and what it needs of the images."""

    general: GeneralPackage
    record: Record
    psf: np.ndarray  #: (S, S) effective PSF of sum 1, at the middle of the stamp
    unusual_psf: bool  #: its width is not one of the training's
    correlation: np.ndarray | None = None  #: of the images' noise
    #: Share of the PSF's light in `psf` before it was normalised. What lies beyond is missing from
    #: the fluxes measured with it, and added to them.
    light: float = 1.0

    @property
    def folder(self) -> Path:
        """Folder of the package."""
        return self.general.folder

    @property
    def intervals(self) -> OwnErrors:
        """Errors of the measured objects."""
        return OwnErrors()

    @property
    def familiarity(self) -> GeneralPackage:
        """What gives distances from the training's galaxies."""
        return self.general


def pixels_to_sum(general: GeneralPackage, facts: ImageFacts, psf: Psf | None) -> int:
    """How many pixels along a side must be summed for the PSF to be as narrow as the training's.

    1 where none, or where even the most would not suffice.

    Raises:
        DataError: the PSF is broken.
    """
    if psf is None:
        return 1
    scale = facts.pixel_scale
    width = fwhm(profile_of(psf, scale), scale) / scale
    needed = math.ceil(width / general.record.ranges["psf_fwhm"].high)
    if not 1 < needed <= _MOST_SUMMED:
        return 1
    sampled = getattr(psf, "pixel_scale", None) or scale
    log.info(
        f"the PSF is {width:.1f} px wide (FWHM), more than the network was trained for: "
        f"{needed} x {needed} pixels are summed, to {needed * scale:.4g} arcsec/px. If the PSF is "
        f"not so wide, correct its pixel scale, taken as {sampled:.4g} arcsec (--psf-pixel-scale), "
        f"or the image's, {scale:.4g}"
    )
    return needed


def profile_of(psf: Psf, pixel_scale: float, factor: int = 1) -> galsim.GSObject:
    """Effective PSF where pixels of `pixel_scale` [arcsec] are sums of factor x factor pixels."""
    own = pixel_scale / factor
    # A PSF sampled more coarsely than the image is drawn as far as it is known.
    shape = make_psf(psf, max(own, getattr(psf, "pixel_scale", None) or own))
    return summed(shape, own, factor)


def package_for(general: GeneralPackage, facts: ImageFacts, psf: Psf | None) -> AnyImagePackage:
    """Complete the package for any image by the PSF and the noise of the images at hand.

    Raises:
        ConfigError: no PSF is given.
        DataError: the PSF is broken, or none that a galaxy can be measured through.
    """
    if psf is None:
        raise ConfigError(
            "--psf: the network for any image needs the images' PSF; give a FITS image of it (a "
            "star, or a model, at the images' pixel scale), or let it be made from at least "
            f"{FEWEST} stars of the image: give --psf-from-stars, a file to write it to, and look "
            "at it"
        )
    if facts.zero_point is None:
        raise DataError(
            "--images: the zero point is in no header card; give --zero-point, the AB magnitude of "
            "1 image unit"
        )
    if not 0 < facts.zero_point < 40:
        raise DataError(
            f"--images: the zero point is {facts.zero_point:.2f}, outside of 0 to 40; convert the "
            "image to another unit, such as nJy, or give --zero-point if that is wrong"
        )
    scale = facts.pixel_scale
    shape = profile_of(psf, scale, facts.summed)
    width = fwhm(shape, scale) / scale
    claimed = general.record.ranges["psf_fwhm"]
    if width > SIDE / 4:
        raise DataError(
            f"--psf: {width:.0f} px wide (FWHM), too wide for a stamp of {SIDE} px; bin the image, "
            "or correct --psf-pixel-scale"
        )
    unusual = not claimed.low <= width <= claimed.high
    if unusual:
        remedy = "bin the image" if width > claimed.high else "use a finer sampled image"
        sampled = getattr(psf, "pixel_scale", None) or scale
        log.info(
            f"the PSF is {width:.2f} px wide (FWHM), the training's are {claimed.low:.1f} to "
            f"{claimed.high:.1f} px; all objects get the flag psf_unlike: first check the PSF's "
            f"pixel scale, taken as {sampled:.4g} arcsec (--psf-pixel-scale), and the image's, "
            f"{scale:.4g}; if they are right, {remedy}"
        )
    drawn, light = _drawn(shape, scale)
    record = _record(general, facts, psf, width * scale)
    return AnyImagePackage(general, record, drawn, unusual, facts.correlation, light)


def _drawn(psf: galsim.GSObject, scale: float) -> tuple[np.ndarray, float]:
    """Image (S, S) of a PSF of unit flux, of sum 1, and its sum before."""
    image = psf.drawImage(nx=SIDE, ny=SIDE, scale=scale, method="no_pixel", dtype=float).array
    negative = -float(image[image < 0].sum())
    if negative > 0.05 * image.sum():
        raise DataError(
            f"--psf: negative pixels hold {negative / image.sum():.0%} of its light; subtract its "
            "background, or give a model of the PSF"
        )
    light = float(image.sum())
    return (image / light).astype(np.float32), light


def _record(general: GeneralPackage, facts: ImageFacts, psf: Psf, width: float) -> Record:
    own = general.record
    zero_point = 0.0 if facts.zero_point is None else facts.zero_point
    flux = own.ranges["ln_flux"]
    bright, faint = (
        float(magnitude_of(np.exp(value) * facts.pixel_rms, zero_point))
        for value in (flux.high, flux.low)
    )
    ranges = {
        "magnitude": Interval(low=bright, high=faint),
        **{name: own.ranges[name] for name in PARAMETERS[1:]},
    }
    quality = [
        Quality(
            domain="simulated",
            parameter=row["quantity"],
            n=row["n"],
            r2=row["r2"],
            bias=row["bias"],
            scatter=row["nmad"],
        )
        for row in own.quality
        if row["kind"] == "all"
        and row["quantity"] in PARAMETERS
        and row["ln_flux_high"] - row["ln_flux_low"] > 9
    ]
    return Record(
        name=own.name,
        parameters=PARAMETERS,
        members=(Member(file=NETWORK, seed=0, digest=own.network_digest, target_scaling={}),),
        reference_digest="",
        size=own.size,
        variant_steps=(),
        stamp_size=SIDE,
        pixel_scale=facts.pixel_scale,
        zero_point=zero_point,
        band="any",
        pixel_rms=facts.pixel_rms,
        psf=psf,
        psf_fwhm=width,
        extraction=Extraction(
            background_box=max(_MESH, round(_MESH_WIDTHS * width / facts.pixel_scale)),
            max_bad_fraction=_BAD,
            max_neighbour_fraction=1.0,
        ),
        beyond_edges=True,
        noise_is_input=True,
        training_ranges=ranges,
        method={},
        labels_of=("simulated",),
        survey="none",
        reference_domains=("simulated",),
        feature_domains=("simulated",),
        coverage=(),
        quality=tuple(quality),
        licence=own.licence,
        citation=own.citation,
        version=__version__,
        provenance={},
    )


class AnyImageRunner:
    """Runs the network for any image on stamps, in ONNX Runtime."""

    def __init__(self, package: AnyImagePackage, fast: bool = False) -> None:
        """Take over a completed package; `fast` leaves out the refinement by the pixels.

        A package without a fusion is never refined: nothing would judge where a fit is misled.
        """
        self._package = package
        record = package.general.record.fusion
        self._fusion = None if fast or record is None else Fusion.from_dict(record)
        self._refiner = refiner_of(package.psf, package.correlation)

    def measure(self, stamps: Sequence[Stamp]) -> Measured:
        """Measure stamps; fluxes at the package's zero point, spreads are sigmas.

        Of the further columns, x_centre and y_centre are from the object's position, in pixels of
        the stamp.
        """
        package = self._package
        images = np.stack([stamp.pixels for stamp in stamps]).astype(np.float32)
        hidden = [self._hidden(stamp) for stamp in stamps]
        bad, neighbours = (np.stack(masks) for masks in zip(*hidden, strict=True))
        valid = ~(bad | neighbours)
        noise = np.array([stamp.local_rms for stamp in stamps], float)
        found = package.general.measure(
            images, valid, noise, package.psf[None], np.zeros(len(stamps), int)
        )
        fit: dict[str, np.ndarray] = {}
        if self._fusion is not None:
            outcome = refine(found, images, valid, noise, self._refiner, self._fusion)
            found, fit = outcome.measured, _fit_columns(outcome)
            for name, column in zip(PARAMETERS, (0, 1, 2, -1), strict=True):
                fit[f"{name}_tail"] = outcome.tail[:, column]
        theta, covariance = found.theta.copy(), found.covariance
        theta[:, 0] -= np.log(package.light)
        predicted, spread = catalogued(theta, covariance, package.record.zero_point)
        predicted[:, 3], spread[:, 3] = found.ellipticity, found.ellipticity_err
        further = {**_further(theta, covariance), **fit}
        shares = [_share_hidden(found.theta, masks, package) for masks in (neighbours, bad)]
        core = np.array([_touches_core(one) for one in bad])
        further["masked_light"] = shares[0] + shares[1]
        further["mask_flags"] = np.where(
            shares[0] > _HIDDEN_BY_NEIGHBOURS, int(Flag.NEIGHBOUR), 0
        ) | np.where(core | (shares[1] > _HIDDEN_BY_BAD), int(Flag.BAD_PIXELS), 0)
        for row, axis in enumerate(("x", "y")):
            # From the object's position, which `measure` knows on the image.
            offset = np.array([getattr(stamp, f"{axis}_offset") for stamp in stamps], float)
            further[f"{axis}_centre"] = theta[:, 5 + row] - offset
        return Measured(predicted, spread, found.features, further)

    def _hidden(self, stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
        """Bad pixels of a stamp, and those of its neighbours, (S, S) each."""
        bad = np.zeros(stamp.pixels.shape, bool) if stamp.bad is None else stamp.bad
        offset = stamp.x_offset, stamp.y_offset
        around = shape_of(
            stamp.pixels, stamp.local_rms, offset, self._package.record.extraction
        ).neighbours
        return bad, around & ~bad


def _share_hidden(theta: np.ndarray, hidden: np.ndarray, package: AnyImagePackage) -> np.ndarray:
    """Share of galaxies' light in their stamps that lies on hidden pixels (n, S, S), (n,).

    Of the profile without a PSF, but at least as wide as one, in squares of 2 x 2 pixels.
    """
    half = hidden.shape[1] // 2
    axis = 2 * (np.arange(half) - (half - 1) / 2)
    width = package.record.psf_fwhm / package.record.pixel_scale / 2
    found = np.zeros(len(theta))
    for row in np.flatnonzero(hidden.any(axis=(1, 2))):
        _, log_radius, log_index, e1, e2, x, y = theta[row]
        q, angle = max(1 - math.hypot(e1, e2), 0.1), math.atan2(e2, e1) / 2
        dx, dy = axis[None, :] - x, axis[:, None] - y
        along = dy * math.cos(angle) - dx * math.sin(angle)
        across = (dx * math.cos(angle) + dy * math.sin(angle)) / q
        radius, index = max(math.exp(log_radius), width), float(np.clip(np.exp(log_index), 0.3, 8))
        scaled = np.sqrt(along**2 + across**2 + 0.5) / radius
        light = np.exp(-scale(index) * scaled ** (1 / index))
        share = hidden[row].reshape(half, 2, half, 2).mean(axis=(1, 3))
        found[row] = float((light * share).sum() / light.sum())
    return found


def _touches_core(bad: np.ndarray) -> bool:
    """Whether a pixel around the middle of a stamp is bad."""
    middle = len(bad) // 2
    core = slice(middle - _CORE, middle + _CORE)
    return bool(bad[core, core].any())


def _further(theta: np.ndarray, covariance: np.ndarray) -> dict[str, np.ndarray]:
    """Position angle, centre and correlations, columns of the catalogue."""
    sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    e2 = np.maximum(theta[:, 3] ** 2 + theta[:, 4] ** 2, 1e-6)
    # The angle is half that of the vector (e1, e2): its error is the one across the vector.
    across = np.stack([-theta[:, 4], theta[:, 3]], axis=1) / np.sqrt(e2)[:, None]
    variance = variance_along(covariance[:, 3:5, 3:5], across)
    angle = np.degrees(0.5 * np.arctan(np.sqrt(variance / e2)))
    columns = {
        "position_angle": position_angle(theta),
        "position_angle_err": angle,
        "x_centre": theta[:, 5],
        "x_centre_err": sigma[:, 5],
        "y_centre": theta[:, 6],
        "y_centre_err": sigma[:, 6],
    }
    correlation = covariance / (sigma[:, :, None] * sigma[:, None, :])
    for i, first in enumerate(NUMBERS):
        for j in range(i + 1, len(NUMBERS)):
            columns[f"corr_{first}_{NUMBERS[j]}"] = correlation[:, i, j]
    return columns


def _fit_columns(outcome: Outcome) -> dict[str, np.ndarray]:
    """Columns of the refinement, and its flags as numbers."""
    refined = outcome.refined
    flags = np.where(refined.converged, 0, int(Flag.FIT_FAILED))
    return {
        "fit_chi2": refined.chi2,
        "fit_tension": refined.tension,
        "fit_followed": outcome.followed,
        "fit_flags": flags | np.where(outcome.disagree, int(Flag.FIT_DISAGREES), 0),
    }


def runner_of(
    package: Package | AnyImagePackage, members: int | None = None, fast: bool = False
) -> Ensemble | AnyImageRunner:
    """Load the networks of a package, with `members` only so many of them.

    `fast` leaves out what the package for any image adds: the refinement by the pixels.

    Raises:
        ConfigError: it has not so many, or is never refined.
        DataError: a network is broken or does not fit the package.
    """
    available = len(package.record.members)
    if members is not None and not 1 <= members <= available:
        raise ConfigError(
            f"--members: {members} of the package's {available} networks; name 1 or more of them"
        )
    if isinstance(package, AnyImagePackage):
        return AnyImageRunner(package, fast)
    if fast:
        raise ConfigError(
            f"--fast: {package.record.name} is never refined by the pixels; leave it out"
        )
    return Ensemble.of_package(package, members)


def psf_of(
    path: Path | None, sampling: float | None, scale: float, hdu: int | None = None
) -> FitsPsf | None:
    """Settings of the PSF given; its sampling [arcsec/px] is its header's, else the images'."""
    if path is None:
        return None
    hdu = one_psf(path, hdu)
    if sampling is None:
        sampling = stated_scale(path, hdu) or scale
    return FitsPsf(path=str(path), hdu=hdu, pixel_scale=sampling)


def one_psf(path: Path, hdu: int | None) -> int:
    """The extension of a PSF's image, where none is named the only one's.

    Raises:
        DataError: several could be meant.
    """
    if hdu is not None or split_extension(path)[1] is not None:
        return hdu or 0
    count = 0
    # What is no FITS file is explained where the image is read.
    with contextlib.ExitStack() as stack, contextlib.suppress(DataError):
        hdus = open_fits(stack, path, "PSF")
        count = sum(hdu.is_image and len(hdu.shape) > 1 for hdu in hdus)
    if count > 1:
        raise DataError(
            f"{path}: holds {count} images; give one PSF, that of the middle of the field, in a "
            f"file of its own, or name its extension: {path.name}[1], for example"
        )
    return 0


def facts_of(mosaic: Mosaic) -> ImageFacts:
    """Facts of an open image.

    Raises:
        DataError: its pixel scale is not known, or no pixel has noise.
    """
    scale = float(mosaic.pixel_scale)
    if not np.isfinite(scale):
        raise DataError(
            f"{mosaic.path}: no pixel scale in the header; give --native-pixel-scale [arcsec]"
        )
    ny, nx = mosaic.shape
    y0, x0 = max((ny - _PIECE) // 2, 0), max((nx - _PIECE) // 2, 0)
    data, weight = mosaic.read(y0, min(y0 + _PIECE, ny), x0, min(x0 + _PIECE, nx))
    good = weight > 0
    if not good.any():
        data, weight = mosaic.read(0, ny, 0, nx)
        good = weight > 0
    if not good.any():
        raise DataError(
            f"{mosaic.path}: no pixel has a weight above 0 (a noise map of zeros?); correct the map"
        )
    rms = float(np.median(1 / np.sqrt(weight[good])))
    noise = mosaic.noise if mosaic.noise_is_measured else None
    return ImageFacts(scale, mosaic.zero_point, rms, correlation_of(data, good), noise)
