"""Inputs of a measurement, opened and checked before any network is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
import pandas as pd

from galadapt.config.image import FitsPsf, Psf
from galadapt.config.survey import Extraction
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import split_extension
from galadapt.core.log import log
from galadapt.core.packed import fits_files, stem
from galadapt.cutouts.stamps import Stamp
from galadapt.fitting.noise import gain_of_sums
from galadapt.general.package import GeneralPackage
from galadapt.prediction.any_image import (
    AnyImagePackage,
    ImageFacts,
    facts_of,
    one_psf,
    package_for,
    pixels_to_sum,
    profile_of,
    psf_of,
)
from galadapt.prediction.arguments import Inputs, check_arguments
from galadapt.prediction.describe import scope
from galadapt.prediction.detection import detect
from galadapt.prediction.flags import Flag
from galadapt.prediction.package import Package, Record, opened_package
from galadapt.prediction.stamps import (
    CutoutStamps,
    ImageStamps,
    StampSetStamps,
    StampSource,
    usable,
)
from galadapt.simulation.psf import fwhm, make_psf, stated_scale
from galadapt.sky import open_mosaic
from galadapt.sky.catalogues import read_objects
from galadapt.sky.fits_files import open_plane
from galadapt.sky.matching import matched_maps
from galadapt.sky.pixels import Noise
from galadapt.sky.sky import mean_scale
from galadapt.stamps.format import StampSet

#: Cutouts whose noise shows what is typical.
_TYPICAL = 20

#: Relative difference of the PSF's width from the package's that is worth a flag.
_PSF_TOLERANCE = 0.1

#: Share of bad pixels up to which a stamp is measured, and flagged.
_BAD = 0.1


@dataclass(frozen=True)
class Prepared:
    """Inputs that are open and checked."""

    package: Package | AnyImagePackage
    sources: Sequence[StampSource]  #: Where stamps come from, in the order they are tried.
    objects: pd.DataFrame  #: What is measured: id, and ra, dec [deg] or x, y [px].
    psf: Psf  #: The images' PSF: the one given, else that of the training.
    common: int  #: Flags of all objects.
    summed: int = 1  #: Pixels of the images along the side of a stamp's pixel.

    def profile(self) -> galsim.GSObject:
        """The stamps' PSF, to draw models through [arcsec]."""
        return profile_of(self.psf, self.package.record.pixel_scale, self.summed)

    def stamps(self, rows: np.ndarray) -> dict[int, Stamp]:
        """Cut out some objects, each from the first source that gives a stamp: {row: stamp}."""
        found: dict[int, Stamp] = {}
        for source in self.sources:
            left = np.array([row for row in rows.tolist() if row not in found], int)
            for batch in source.stamps(self.objects, left):
                for row, one in zip(batch.rows.tolist(), batch.judged, strict=True):
                    if usable(one):
                        found[row] = one
        return found


def prepare(model: Path, inputs: Inputs) -> Prepared:
    """Open a package and the inputs to measure with it.

    Raises:
        ConfigError: not exactly one kind of input, or options that contradict each other.
        DataError: a file is missing, broken or unfit.
    """
    check_arguments(inputs)
    found = opened_package(model)
    inputs, factor = _every_cutout(with_stars(inputs)), 1
    noise: Noise | None = None
    package: Package | AnyImagePackage
    if isinstance(found, GeneralPackage):
        facts = _facts(inputs)
        given = _given_psf(inputs, facts)
        if inputs.stamps is None and (factor := pixels_to_sum(found, facts, given)) > 1:
            inputs, facts = _summed(inputs, facts, factor)
        package, noise = package_for(found, facts, given), facts.noise
    else:
        package = found
    record = package.record
    for line in scope(record):
        log.info(f"{package.folder}: {line}")
    if isinstance(package, AnyImagePackage):
        psf, psf_fwhm = record.psf, record.psf_fwhm
        common = int(Flag.PSF_UNLIKE) if package.unusual_psf else 0
    else:
        psf, psf_fwhm, common = _compare_psf(record, inputs)
    # A crowded galaxy is measured and flagged here; a training set leaves it out.
    extraction = record.extraction.model_copy(
        update={
            "psf_fwhm": psf_fwhm,
            "max_neighbour_fraction": 1.0,
            "max_bad_fraction": (
                max(_BAD, record.extraction.max_bad_fraction)
                if inputs.max_bad_fraction is None
                else inputs.max_bad_fraction
            ),
        }
    )
    alone = len(inputs.images) == 1 and not inputs.partial
    images = [
        ImageStamps(path, record, extraction, inputs.opening(number), inputs.processes, alone)
        for number, path in enumerate(inputs.images or inputs.cutouts)
    ]
    if inputs.images:
        images[0].noise = noise
    sources: Sequence[StampSource] = images
    if inputs.stamps is not None:
        stamp_set = StampSetStamps(inputs.stamps, record)
        sources, objects = [stamp_set], stamp_set.objects
    elif inputs.cutouts:
        sources = [CutoutStamps(images, inputs.fill)]
        objects = pd.DataFrame({"id": [stem(path.name) for path in inputs.cutouts]})
    elif inputs.catalog is not None:
        objects = _read_catalog(inputs, inputs.catalog)
    else:
        objects = _detect(images, extraction, inputs.partial)
    return Prepared(package, sources, objects, psf, common, factor)


def _read_catalog(inputs: Inputs, catalog: Path) -> pd.DataFrame:
    objects = read_objects(
        catalog,
        inputs.columns,
        units=inputs.units,
        one_based=inputs.one_based,
        table=inputs.table,
        whole=not inputs.partial,
    )
    if "name" in objects:
        objects["id"] = objects["name"]
    return objects[[name for name in ("id", "ra", "dec", "x", "y") if name in objects]]


def _detect(
    images: Sequence[ImageStamps], extraction: Extraction, may_be_empty: bool
) -> pd.DataFrame:
    (image,) = images
    with image.open() as mosaic:
        found = detect(mosaic, image.record.stamp_size, extraction)
    log.info(f"{image.path}: no catalogue given; {len(found)} sources detected in the image itself")
    if found.empty and not may_be_empty:
        raise DataError(f"{image.path}: no source detected; check the image, or give a catalogue")
    found.insert(0, "id", np.arange(1, len(found) + 1))
    return found


def _every_cutout(inputs: Inputs) -> Inputs:
    """Inputs with the files of folders of cutouts, and the map of each file."""
    paths: list[Path] = []
    for path in inputs.cutouts:
        if path.is_dir():
            paths += fits_files(path, "the cutouts")
        elif split_extension(path)[0].is_file():
            paths.append(path)
        else:
            raise DataError(f"{path}: no such cutout; check the path")
    if not paths:
        return inputs
    maps = {kind: _map_paths(kind, given, paths) for kind, given in inputs.maps.items()}
    return dataclasses.replace(inputs, cutouts=paths, maps=maps)


def _summed(inputs: Inputs, facts: ImageFacts, factor: int) -> tuple[Inputs, ImageFacts]:
    """Inputs, and what is known of them, where factor x factor pixels are summed."""
    correlation = np.ones(1) if facts.correlation is None else facts.correlation
    gain = gain_of_sums(correlation, factor)
    inputs = dataclasses.replace(inputs, options={**inputs.options, "noise_gain": gain})
    found = _facts(inputs, factor * facts.pixel_scale)
    return inputs, dataclasses.replace(found, summed=factor)


def _facts(inputs: Inputs, pixel_scale: float | None = None) -> ImageFacts:
    """Pixel scale, zero point and typical noise of the first image, or of some cutouts.

    `pixel_scale` [arcsec/px] is that of larger pixels to sum them to; None: the image's own.
    """
    if inputs.stamps is not None:
        with StampSet(inputs.stamps) as stamps:
            about = stamps.metadata
            rms = about.get("pixel_rms") or np.nan
            return ImageFacts(float(about["pixel_scale"]), float(about["zero_point"]), float(rms))
    found: list[ImageFacts] = []
    problems: list[DataError] = []
    # A broken cutout is one object that is not measured; typical are some of the others.
    for number, path in enumerate(inputs.cutouts or inputs.images[:1]):
        options = {**inputs.opening(number), "pixel_scale": pixel_scale}
        try:
            with open_mosaic(path, **options, remark=lambda _: None) as mosaic:
                found.append(facts_of(mosaic))
        except DataError as error:
            problems.append(error)
        if len(found) == _TYPICAL:
            break
    if not found:
        raise problems[0]
    noise = float(np.median([one.pixel_rms for one in found]))
    return dataclasses.replace(found[0], pixel_rms=noise)


def with_stars(inputs: Inputs) -> Inputs:
    """Make the PSF of the first image of its stars, where that is asked for.

    Raises:
        DataError: it has too few stars, or the PSF given is broken.
    """
    if inputs.psf_from_stars is None:
        return inputs
    from galadapt.prediction.psf_stars import psf_from_stars

    with open_mosaic(inputs.images[0], **inputs.opening(), remark=lambda _: None) as mosaic:
        facts = facts_of(mosaic)
        given = _given_psf(inputs, facts)
        psf = None if given is None else make_psf(given, facts.pixel_scale)
        _, scale = psf_from_stars(mosaic, inputs.psf_from_stars, psf)
    return dataclasses.replace(
        inputs, psf=inputs.psf_from_stars, psf_from_stars=None, psf_pixel_scale=scale, psf_hdu=None
    )


def _given_psf(inputs: Inputs, facts: ImageFacts) -> FitsPsf | None:
    return psf_of(inputs.psf, inputs.psf_pixel_scale, facts.pixel_scale, inputs.psf_hdu)


def _map_paths(kind: str, given: Sequence[Path], cutouts: Sequence[Path]) -> list[Path]:
    """The map of each cutout: by name from a folder, in their order from a list.

    Names agree but for the kind of map: galaxy_7.fits has galaxy_7_mask.fits, mask_galaxy_7.fits or
    galaxy_7.fits in another folder.
    """
    if not given:
        return []
    if len(given) == 1 and given[0].is_dir():
        return matched_maps(kind, fits_files(given[0], f"the {kind} maps"), cutouts)
    if len(given) != len(cutouts):
        raise ConfigError(
            f"--{kind}: {len(given)} maps for {len(cutouts)} cutouts; give one each, or their "
            "folder"
        )
    return list(given)


def _compare_psf(record: Record, inputs: Inputs) -> tuple[Psf, float, int]:
    """Measure the PSF given: it, its FWHM [arcsec], and a flag if it is not the training's."""
    path, scale = inputs.psf, inputs.psf_pixel_scale
    if path is None:
        log.info(
            f"no PSF given: assuming that of the training, {record.psf_fwhm:.3f} arcsec wide (FWHM)"
        )
        # A stamp set is galadapt's own: its PSF is the training's unless one is given.
        common = 0 if inputs.stamps is not None else int(Flag.NO_PSF)
        return record.psf, record.psf_fwhm, common
    hdu = one_psf(path, inputs.psf_hdu)
    if scale is None:
        scale = stated_scale(path, hdu) or _own_scale(record, inputs)
        log.info(f"{path}: sampled at {scale:.4g} arcsec/px; give --psf-pixel-scale if it is not")
    psf = FitsPsf(path=str(path), hdu=hdu, pixel_scale=scale)
    coarsest = max(scale, record.pixel_scale)
    width = fwhm(make_psf(psf, coarsest), coarsest)
    if abs(width / record.psf_fwhm - 1) <= _PSF_TOLERANCE:
        return psf, width, 0
    log.info(
        f"{path}: the PSF is {width:.3f} arcsec wide (FWHM), the training's "
        f"{record.psf_fwhm:.3f}; all objects get the flag psf_unlike: train with this PSF"
    )
    return psf, width, int(Flag.PSF_UNLIKE)


def _own_scale(record: Record, inputs: Inputs) -> float:
    """Pixel scale of the images, at which their PSF is sampled by default."""
    given = inputs.options.get("native_pixel_scale")
    if given is not None:
        return float(given)
    for path in [*inputs.images, *inputs.cutouts][:1]:
        with open_plane(path, "image", inputs.options.get("hdu"), lambda _: None) as plane:
            if plane.sky is not None:
                return mean_scale(plane.sky, plane.shape, path)
    return record.pixel_scale
