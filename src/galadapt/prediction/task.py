"""What a prediction is asked for, opened and checked before any network is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.image import FitsPsf, Psf
from galadapt.config.survey import Extraction
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.prediction.describe import scope
from galadapt.prediction.flags import Flag
from galadapt.prediction.package import Package, read_package
from galadapt.prediction.psf import count_images, fwhm_of_file
from galadapt.sky.catalogues import read_objects

#: Suffixes of images in a folder of cutouts.
_IMAGES = (".fits", ".fit", ".fits.gz", ".fits.fz")

#: Relative difference of the PSF's width from the package's that is worth a flag.
_PSF_TOLERANCE = 0.1


@dataclass(frozen=True)
class Inputs:
    """What is to be measured; exactly one of images, cutouts and stamps.

    Attributes:
        images: Images with any number of objects.
        cutouts: Images, or one folder of images, with one object each at the centre.
        stamps: A stamp set.
        catalog: Positions on the images; without it sources are detected.
        columns: The catalogue's names of id, ra, dec, x, y.
        units: Units of its columns, where it does not say or is wrong.
        one_based: Whether its first pixel is 1; None: told by the names of its columns.
        maps: weight, rms, exposure, mask: one path per image, or none.
        psf: FITS image of the images' effective PSF.
        psf_pixel_scale: Its sampling [arcsec/px]; None: that of the package's stamps.
        options: Further arguments of `galadapt.sky.open_mosaic`: hdu, zero_point, unit,
            native_pixel_scale.
        fill: Whether cutouts smaller than a stamp are framed by noise like theirs.
        processes: That share the cutting of stamps.
    """

    images: Sequence[Path] = ()
    cutouts: Sequence[Path] = ()
    stamps: Path | None = None
    catalog: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    one_based: bool | None = None
    maps: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    psf: Path | None = None
    psf_pixel_scale: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fill: bool = False
    processes: int = 1


@dataclass(frozen=True)
class Task:
    """Opened inputs.

    Attributes:
        package: The package to ask.
        fields: Where stamps come from (`galadapt.prediction.fields.Field`).
        objects: What is measured: id, and ra, dec or x, y.
        psf: The images' PSF: the one given, else that of the training.
        common: Flags of all objects.
    """

    package: Package
    fields: list[Any]
    objects: pd.DataFrame
    psf: Psf
    common: Flag


def prepare(model: Path, inputs: Inputs) -> Task:
    """Open a package and find out what is to be measured with it.

    Raises:
        ConfigError: not exactly one kind of input, or maps that do not match the images.
        DataError: a file is missing, broken or unfit.
    """
    from galadapt.prediction.fields import CutoutsField, ImageField, StampSetField

    package = read_package(model)
    record = package.record
    for line in scope(record):
        log.info(f"{package.folder}: {line}")
    kinds = [bool(inputs.images), bool(inputs.cutouts), inputs.stamps is not None]
    if sum(kinds) != 1:
        raise ConfigError("give exactly one of --images, --cutouts and --stamps")
    if inputs.catalog is not None and not inputs.images:
        raise ConfigError("--catalog: belongs to --images; leave it out")
    _check_options(inputs)
    psf, psf_fwhm, common = _compare_psf(package, inputs)
    # A user wants a crowded galaxy measured and flagged, where a training set leaves it out.
    extraction = record.extraction.model_copy(
        update={"psf_fwhm": psf_fwhm, "max_neighbour_fraction": 1.0}
    )
    fields: list[Any]
    if inputs.stamps is not None:
        stamps = StampSetField(inputs.stamps, record)
        return Task(package, [stamps], stamps.objects, psf, common)
    if inputs.cutouts:
        paths = _cutout_paths(inputs.cutouts)
        fields = [CutoutsField(paths, record, extraction, inputs.options, inputs.fill)]
        stems = pd.Series([path.name.split(".fit")[0] for path in paths])
        return Task(package, fields, pd.DataFrame({"id": stems}), psf, common)
    fields = []
    for number, path in enumerate(inputs.images):
        options = dict(inputs.options)
        for kind, given in inputs.maps.items():
            if given and len(given) != len(inputs.images):
                raise ConfigError(
                    f"--{kind}: {len(given)} maps for {len(inputs.images)} images; give one each"
                )
            if given:
                options[kind] = given[number]
        alone = len(inputs.images) == 1
        fields.append(ImageField(path, record, extraction, options, inputs.processes, alone))
    found = _read_catalog(inputs) if inputs.catalog is not None else _detect(fields, extraction)
    return Task(package, fields, found, psf, common)


def check_overwriting(inputs: Inputs, outputs: Sequence[Path]) -> None:
    """Refuse to write over an input, or twice to one file.

    Raises:
        ConfigError: one of `outputs` is another one or an input.
    """
    maps = [path for paths in inputs.maps.values() for path in paths]
    single = [path for path in (inputs.stamps, inputs.catalog, inputs.psf) if path is not None]
    taken = {path.resolve() for path in (*inputs.images, *inputs.cutouts, *maps, *single)}
    for output in outputs:
        if output.resolve() in taken:
            raise ConfigError(
                f"{output}: would overwrite an input or another output; choose another name"
            )
        taken.add(output.resolve())


def _check_options(inputs: Inputs) -> None:
    """Refuse options that would be passed over, and values that are none."""
    for kind, paths in inputs.maps.items():
        if paths and not inputs.images:
            raise ConfigError(f"--{kind}: belongs to --images; leave it out")
    if inputs.fill and not inputs.cutouts:
        raise ConfigError("--fill: belongs to --cutouts; leave it out")
    if inputs.catalog is None and (inputs.columns or inputs.units or inputs.one_based):
        raise ConfigError("--columns, --units and --one-based: belong to --catalog; give one")
    if inputs.psf is None and inputs.psf_pixel_scale is not None:
        raise ConfigError("--psf-pixel-scale: belongs to --psf; give the PSF")
    if inputs.stamps is not None and inputs.options:
        raise ConfigError(
            "--zero-point, --unit, --native-pixel-scale and --hdu: a stamp set says them; leave "
            "them out"
        )
    scales = {
        "--psf-pixel-scale": inputs.psf_pixel_scale,
        "--native-pixel-scale": inputs.options.get("native_pixel_scale"),
    }
    for name, scale in scales.items():
        if scale is not None and not 0 < scale < np.inf:
            raise ConfigError(f"{name}: must be positive [arcsec], not {scale:g}; correct it")
    if inputs.processes < 1:
        raise ConfigError(f"--processes: must be at least 1, not {inputs.processes}; correct it")


def _read_catalog(inputs: Inputs) -> pd.DataFrame:
    assert inputs.catalog is not None
    objects = read_objects(
        inputs.catalog, inputs.columns, units=inputs.units, one_based=inputs.one_based
    )
    if "name" in objects:
        objects["id"] = objects["name"]
    return objects[[name for name in ("id", "ra", "dec", "x", "y") if name in objects]]


def _detect(fields: Sequence[Any], extraction: Extraction) -> pd.DataFrame:
    from galadapt.prediction.detection import detect

    if len(fields) > 1:
        raise ConfigError("--images: without --catalog give one image at a time")
    (image,) = fields
    with image.open() as mosaic:
        found = detect(mosaic, image.record.stamp_size, extraction)
    log.info(f"{image.path}: no catalogue given; {len(found)} sources detected in the image itself")
    if found.empty:
        raise DataError(f"{image.path}: no source detected; check the image, or give a catalogue")
    found.insert(0, "id", np.arange(1, len(found) + 1))
    return found


def _cutout_paths(given: Sequence[Path]) -> list[Path]:
    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            paths += sorted(p for p in path.iterdir() if p.name.lower().endswith(_IMAGES))
        else:
            paths.append(path)
    if not paths:
        raise DataError(f"{given[0]}: holds no FITS image; give the folder of the cutouts")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{missing[0]}: no such cutout; check the path")
    return paths


def _compare_psf(package: Package, inputs: Inputs) -> tuple[Psf, float, Flag]:
    """Measure the PSF given; say so and flag everything if it is not the training's."""
    record = package.record
    if inputs.psf is None:
        log.info(
            f"no PSF given: taken as that of the training, {record.psf_fwhm:.3f} arcsec wide (FWHM)"
        )
        return record.psf, record.psf_fwhm, Flag(0)
    scale = inputs.psf_pixel_scale
    if scale is None:
        scale = record.pixel_scale
        log.info(
            f"{inputs.psf}: taken as sampled at {scale:g} arcsec/px; give --psf-pixel-scale if it "
            "is not"
        )
    images = count_images(inputs.psf)
    if images > 1:
        raise DataError(
            f"{inputs.psf}: holds {images} images; give one PSF, that of the middle of the field, "
            "in a file of its own"
        )
    psf = FitsPsf(path=str(inputs.psf), pixel_scale=scale)
    width = fwhm_of_file(inputs.psf, scale, record.pixel_scale)
    if abs(width / record.psf_fwhm - 1) <= _PSF_TOLERANCE:
        return psf, width, Flag(0)
    log.info(
        f"{inputs.psf}: the PSF is {width:.3f} arcsec wide (FWHM), the training's "
        f"{record.psf_fwhm:.3f}; all objects get the flag psf_unlike: train with this PSF"
    )
    return psf, width, Flag.PSF_UNLIKE
