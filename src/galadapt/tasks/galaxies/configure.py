"""`galadapt configure`: from the user's image to the experiment that trains networks for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from astropy.io import fits

from galadapt.config.image import FitsPsf, Image
from galadapt.config.survey import Extraction
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import split_extension, write_csv, write_text
from galadapt.core.log import log
from galadapt.cutouts.cutouts import cutouts
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.any_image import ImageFacts, facts_of, psf_of
from galadapt.prediction.arguments import Inputs, check_arguments
from galadapt.prediction.catalogue import unwritable
from galadapt.prediction.detection import detect
from galadapt.prediction.inputs import with_stars
from galadapt.prediction.package import FAINT_MARGIN
from galadapt.prediction.point_sources import Cores
from galadapt.prediction.psf_check import verdict
from galadapt.simulation.noise import correlation
from galadapt.simulation.psf import fwhm, make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.sky import Mosaic, open_mosaic
from galadapt.sky.catalogues import locate, read_objects
from galadapt.tasks.galaxies.fitting.sersic import fit_stamps

_SAMPLE = 400  #: objects whose sizes and magnitudes are measured

#: Stamps for the measurement [px], and limits of those of the experiment.
_MEASURED, _SIDES = 96, (32, 128)

#: Signal-to-noise ratio at the faint end of what is claimed.
_FAINTEST = 15.0

#: What training costs one core per stamp of 64 px and epoch [s]: the demo's residual-free network
#: on the machine that benchmarks/training/throughput.py was run on. An order of magnitude.
_SECONDS_PER_STAMP = 1e-3

_STAMPS, _EPOCHS, _SEEDS = 12_000, 16, 3


@dataclass(frozen=True)
class Found:
    """What an image shows."""

    pixel_scale: float  #: [arcsec/px]
    zero_point: float
    band: str
    exposure_time: float | None  #: [s]
    pixel_rms: float  #: [unit of the image]
    correlation: float  #: of the noise of neighbouring pixels
    psf_fwhm: float  #: [arcsec]
    density: float  #: objects per square arcmin
    magnitude: tuple[float, float]  #: the brightest, and the faintest that is claimed
    radius: tuple[float, float]  #: effective radii [px]
    objects: int  #: measured for these ranges


def configure(inputs: Inputs, output: Path) -> Found:
    """Measure an image and write the experiment that trains networks for it.

    Args:
        inputs: One image with its maps, and its PSF, or stars to make it of; a catalogue, or
            sources are detected.
        output: YAML of what differs from config/config.yaml. Without a catalogue, the detected
            objects are written beside it as ``<name>_objects.csv``.

    Raises:
        ConfigError: contradicting arguments.
        DataError: the image or PSF is broken, or too few objects are seen in it.
    """
    problems = unwritable(output, (".yaml", ".yml"))
    if len(inputs.images) != 1:
        problems.append("--images: give one image, typical of what is to be measured")
    if inputs.psf is None and inputs.psf_from_stars is None:
        problems.append(
            "--psf: give the PSF of the image, networks are trained for it; or let it be made of "
            "stars (--psf-from-stars psf.fits)"
        )
    check_arguments(inputs, [output], problems)
    inputs = with_stars(inputs)
    maps: dict[str, Any] = {kind: paths[0] for kind, paths in inputs.maps.items() if paths}
    path = inputs.images[0]
    with open_mosaic(path, **inputs.options, **maps) as mosaic:
        if mosaic.zero_point is None:
            raise ConfigError(f"{path}: no zero point in the header; give --zero-point")
        facts = facts_of(mosaic)
        psf = _psf(inputs, facts)
        objects, catalogue = _objects(inputs, mosaic, output)
        found = _measured(mosaic, facts, psf, *locate(objects, mosaic))
        doubts = _doubts(mosaic, psf)
    experiment = _experiment(found, inputs, psf, catalogue, output.stem, maps)
    cost = _cost(found, experiment)
    text = yaml.safe_dump(experiment, sort_keys=False, default_flow_style=None, width=96)
    sentences = [*_sentences(found), *doubts]
    header = [
        f"Experiment for images like {path.name}, by `galadapt configure`. What differs from",
        "config/config.yaml; look at the ranges before the training.",
        "",
        *sentences,
        f"Cost: {cost}.",
        "",
        f"  galadapt check config/config.yaml {output}",
        f"  snakemake --cores 2 all --configfile {output}",
        f"  galadapt predict --models {experiment['results']}/models --images ... -o out.fits",
    ]
    write_text(output, "".join(f"# {line}".rstrip() + "\n" for line in header) + text)
    for line in sentences:
        log.info(f"{path}: {line}")
    log.info(f"{output}: written; {cost}")
    return found


def _psf(inputs: Inputs, facts: ImageFacts) -> FitsPsf:
    assert inputs.psf is not None
    sampling, scale = inputs.psf_pixel_scale, round(facts.pixel_scale, 6)
    psf = psf_of(inputs.psf.resolve(), sampling, scale, inputs.psf_hdu)
    assert psf is not None
    return psf


def _doubts(mosaic: Mosaic, psf: FitsPsf) -> list[str]:
    """A sentence if the image's stars have not the width of the PSF."""
    scale = float(mosaic.pixel_scale)
    cores = Cores(make_psf(psf, max(scale, psf.pixel_scale)), scale)
    found = verdict(cores, next(cores.of_image(mosaic)))
    return [found.sentence()] if found is not None and found.disagrees else []


def _objects(inputs: Inputs, mosaic: Mosaic, output: Path) -> tuple[pd.DataFrame, Path]:
    """Objects of the image, and the catalogue that holds them."""
    if inputs.catalog is not None:
        columns, units = inputs.columns, inputs.units
        table = read_objects(inputs.catalog, columns, units=units, one_based=inputs.one_based)
        return table, inputs.catalog
    table = detect(mosaic, _MEASURED, Extraction())
    table.insert(0, "id", np.arange(1, len(table) + 1))
    path = output.with_name(f"{output.stem}_objects.csv")
    written = table.copy()
    if mosaic.has_wcs:
        written["ra"], written["dec"] = mosaic.sky(*mosaic.regrid(table["x"], table["y"]))
        written = written.drop(columns=["x", "y"])
    write_csv(path, written)
    return table, path


def _measured(
    mosaic: Mosaic, facts: ImageFacts, psf: FitsPsf, x: np.ndarray, y: np.ndarray
) -> Found:
    (ny, nx), scale, noise = mosaic.shape, facts.pixel_scale, facts.correlation
    profile = make_psf(psf, max(scale, psf.pixel_scale))
    width = fwhm(profile, scale)
    assert mosaic.zero_point is not None
    magnitude, radius, signal = _fitted(mosaic, profile, x, y)
    if len(magnitude) < 10:
        raise DataError(
            f"{mosaic.path}: {len(magnitude)} objects can be measured, 10 are needed to set "
            "ranges; give a larger image or a catalogue of its galaxies"
        )
    # Of objects of one magnitude some are more extended; the median counts.
    depth = float(np.median(magnitude + 2.5 * np.log10(signal / _FAINTEST)))
    bright = float(np.percentile(magnitude, 1)) - 0.5
    seen = magnitude <= depth
    sizes = radius[seen] if seen.sum() >= 10 else radius
    smallest = max(0.4 * width / scale, 0.7 * float(np.percentile(sizes, 2)))
    # Beyond this a stamp of the largest side does not hold a galaxy.
    largest = min(max(1.4 * float(np.percentile(sizes, 98)), 3 * smallest), _SIDES[1] / 4)
    area = ny * nx * scale**2 / 3600
    return Found(
        pixel_scale=round(scale, 5),
        zero_point=round(float(mosaic.zero_point), 4),
        band=_band(mosaic),
        exposure_time=mosaic.exposure_time if mosaic.unit in ("e-/s", "counts/s") else None,
        pixel_rms=float(f"{facts.pixel_rms:.4g}"),
        correlation=0.0 if noise is None else round(float(noise[1]), 3),
        psf_fwhm=round(width, 4),
        density=round(float(((x > 0) & (x < nx) & (y > 0) & (y < ny)).sum() / area), 1),
        magnitude=(round(bright, 1), round(max(depth, bright + 2), 1)),
        radius=(round(smallest, 2), round(largest, 1)),
        objects=len(magnitude),
    )


def _fitted(
    mosaic: Mosaic, psf: Any, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Magnitudes, effective radii [px] and signal-to-noise ratios of a sample of objects."""
    rows = np.unique(np.linspace(0, len(x) - 1, min(_SAMPLE, len(x))).round().astype(int))
    extraction = Extraction(max_neighbour_fraction=0.5, psf_fwhm=None)
    stamps = [
        one
        for _, judged in cutouts(mosaic, x[rows], y[rows], _MEASURED, extraction)
        for one in judged
        if isinstance(one, Stamp)
    ]
    if not stamps:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    signal = np.array([one.signal_to_noise for one in stamps])
    assert mosaic.zero_point is not None
    found = fit_stamps(
        *(psf, float(mosaic.pixel_scale), mosaic.zero_point),
        np.stack([one.pixels for one in stamps]),
        np.array([one.local_rms for one in stamps]),
        np.array([(one.x_offset, one.y_offset) for one in stamps]),
        extraction,
    )
    good = (found["failure"] == "").to_numpy() & (signal > 5)
    return *found.loc[good, ["magnitude", "effective_radius"]].to_numpy().T, signal[good]


def _band(mosaic: Mosaic) -> str:
    with fits.open(split_extension(mosaic.path)[0]) as hdus:
        for hdu in hdus:
            for card in ("FILTER", "FILTER1", "FILTER2", "BAND"):
                text = str(hdu.header.get(card, "")).strip()
                if text and "CLEAR" not in text.upper():
                    return text
    return "unknown"


def _drop(wanted: float) -> float:
    """Drizzled drop [px] whose noise has this correlation of neighbouring pixels."""
    drops = np.linspace(0.0, 6.0, 601)
    found = [float(correlation(float(drop), np.ones(1))[0]) for drop in drops]
    return float(drops[int(np.argmin(np.abs(np.array(found) - wanted)))])


def _experiment(
    found: Found,
    inputs: Inputs,
    psf: FitsPsf,
    catalogue: Path,
    name: str,
    maps: Mapping[str, Path],
) -> dict[str, Any]:
    bright, claimed = found.magnitude
    low, high = found.radius
    wanted = int(np.ceil(max(6 * high / 1.4, 12 * found.psf_fwhm / found.pixel_scale) / 4) * 4)
    side = int(np.clip(wanted, *_SIDES))
    drop = _drop(found.correlation)
    noise: dict[str, Any] = {
        "depth": "wide",
        "pixel_rms": found.pixel_rms,
        "pixfrac": 0.8,
        "detector_pixel": round(max(drop, 0.04) / 0.8, 3),
    }
    if found.exposure_time:
        noise["exposure_time"] = float(f"{found.exposure_time:.6g}")
    else:
        noise["source_poisson"] = False
    files = {"image": inputs.images[0], "catalog": catalogue, **maps}
    survey: dict[str, Any] = {
        "kind": "images",
        **{kind: {"path": str(path.resolve())} for kind, path in files.items()},
        **inputs.options,
    }
    if inputs.catalog is not None:
        reading = {
            "columns": dict(inputs.columns),
            "units": dict(inputs.units),
            "one_based": inputs.one_based,
        }
        survey["catalog"] |= {key: value for key, value in reading.items() if value}
    bins = np.round(np.linspace(bright, claimed + FAINT_MARGIN, 6), 1).tolist()
    faintest = round(claimed + FAINT_MARGIN, 1)
    ranges = {
        "magnitude": [bright, claimed],
        "effective_radius": [low, high],
        "sersic_index": [0.3, 6.2],
        "ellipticity": [0.0, 0.9],
    }
    return {
        "preset": name,
        "results": f"results/{name}",
        "variants": ["asinh"],
        "methods": ["baseline_realistic"],
        "seeds": list(range(1, _SEEDS + 1)),
        "image": {
            "stamp_size": side,
            "pixel_scale": found.pixel_scale,
            "zero_point": found.zero_point,
            "band": found.band,
        },
        "psf": psf.model_dump(mode="json"),
        "simulation": {
            "n_train": _STAMPS,
            "priors": {
                key: {
                    "distribution": "loguniform" if key == "effective_radius" else "uniform",
                    "low": begin,
                    "high": faintest if key == "magnitude" else end,
                }
                for key, (begin, end) in ranges.items()
            },
            "noise": noise,
        },
        "simulations": {
            "realistic": {
                "realism": {
                    "neighbours": {
                        "density": [round(0.5 * found.density, 1), round(1.5 * found.density, 1)],
                        "bright_limit": bright,
                        "faint_limit": faintest,
                    }
                }
            }
        },
        "survey": survey,
        "selection": ranges,
        "evaluation": {"magnitude_bins": bins},
        "profile_fit": {"galaxies": 0},
        "predictor": {"variant": "asinh", "method": "baseline_realistic"},
    }


def _sentences(found: Found) -> list[str]:
    exposure = f"{found.exposure_time:g} s" if found.exposure_time else "unknown: no photon noise"
    return [
        f"pixels of {found.pixel_scale:g} arcsec, zero point {found.zero_point:g}, band "
        f"{found.band}, exposure {exposure}",
        f"noise of {found.pixel_rms:g} per pixel, correlation of neighbouring pixels "
        f"{found.correlation:.2f}; PSF {found.psf_fwhm:.3f} arcsec wide (FWHM)",
        f"{found.density:g} objects per square arcmin; {found.objects} of them measured",
        f"networks will claim {found.magnitude[0]:g} to {found.magnitude[1]:g} mag (S/N "
        f"{_FAINTEST:g}) and are trained {FAINT_MARGIN:g} mag deeper; effective radii of "
        f"{found.radius[0]:g} to {found.radius[1]:g} px",
    ]


def _cost(found: Found, experiment: Mapping[str, Any]) -> str:
    """What the experiment costs, from a few stamps drawn here and the demo's training."""
    image = Image(**experiment["image"])
    profile = make_psf(FitsPsf(**experiment["psf"]), image.pixel_scale)
    renderer = make_renderer(image, profile, "ktable")
    middle = float(np.sqrt(found.radius[0] * found.radius[1]))
    galaxy = {
        "magnitude": found.magnitude[1],
        "effective_radius": middle,
        "ellipticity": 0.3,
        "position_angle": 20.0,
        "x_offset": 0.0,
        "y_offset": 0.0,
    }
    # The first stamp prepares the tables.
    renderer.render({**galaxy, "sersic_index": 1.0})
    begin = time.process_time()
    for index in np.linspace(0.5, 6, 20):
        renderer.render({**galaxy, "sersic_index": float(index)})
    # Realistic stamps are drawn of several profiles.
    drawing = 5 * (time.process_time() - begin) / 20 * 2 * _STAMPS / 60
    training = _STAMPS * _EPOCHS * _SEEDS * _SECONDS_PER_STAMP * (image.stamp_size / 64) ** 2 / 60
    return (
        f"about {drawing + training:.0f} core-minutes ({drawing:.0f} for {2 * _STAMPS} stamps, "
        f"{training:.0f} for {_SEEDS} networks of {_EPOCHS} epochs), an estimate"
    )
