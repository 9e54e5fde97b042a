"""galadapt's part: measures the stamps of a file with trained networks, in its own environment.

Started by bench.py in a process of its own, on one core with one thread like every fitter. The
networks are those of a prediction package, of one run folder, or that of the package for any image,
whose answer is refined by the pixels unless `--fast` is given; nothing is trained here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from galadapt.config.base import Interval
from galadapt.config.survey import Extraction
from galadapt.config.training import Compute
from galadapt.core.errors import DataError, GaladaptError
from galadapt.core.files import write_parquet
from galadapt.core.photometry import magnitude_of
from galadapt.core.quantity import PARAMETERS
from galadapt.general.package import is_general, read
from galadapt.general.parameters import SIDE
from galadapt.learners.keras import backend
from galadapt.stamps.preprocess import Step, apply_chain

#: Stamps the networks are timed on, repeats included: less would not fill their batches. Passes
#: are repeated until they have taken so much CPU time [s].
TIMED_STAMPS, TIMED = 1024, 4.0

Measure = Callable[[np.ndarray], np.ndarray]


def is_package(model: Path) -> bool:
    """Tell a prediction package from a run folder."""
    return (model / "package.json").is_file()


def training_ranges(model: Path) -> dict[str, Interval]:
    """Ranges a prediction package was trained on; none are written in a run folder.

    The package for any image knows no magnitude: brightness counts in units of the noise.

    Raises:
        DataError: the folder is neither, or broken.
    """
    if is_general(model):
        draws = read(model).record.recipe.draws
        return {
            "magnitude": Interval(low=0.0, high=40.0),
            "effective_radius": draws.effective_radius,
            "sersic_index": draws.sersic_index,
            "ellipticity": draws.ellipticity,
        }
    if is_package(model):
        from galadapt.prediction.package import read_package

        return dict(read_package(model).record.training_ranges)
    if not (model / "run.json").is_file():
        raise DataError(
            f"{model}: neither a prediction package (package.json) nor a run folder (run.json); "
            "give --model one of them"
        )
    return {}


def package_measure(model: Path) -> tuple[Measure, int]:
    """Return what measures with all networks of a package, and the side of its stamps [px]."""
    from galadapt.prediction.ensemble import Ensemble
    from galadapt.prediction.package import read_package

    package = read_package(model)
    ensemble = Ensemble.of_package(package)

    def measure(images: np.ndarray) -> np.ndarray:
        return ensemble(images).predicted

    return measure, package.record.stamp_size


def run_measure(model: Path) -> tuple[Measure, int]:
    """Return what measures with the network of a run folder, and the side of its stamps [px]."""
    from galadapt.learners import run_folder

    run: Any = run_folder.load(model / "run.json", Compute())
    record = run.record
    try:
        steps = TypeAdapter(list[Step]).validate_python(record["variant_steps"])
        rms = float(record["stamps"]["pixel_rms"])
        scales = record["stamps"]["pixel_scale"] / record["stamps"]["label_pixel_scale"]
    except (KeyError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:120]
        raise DataError(
            f"{model / 'run.json'}: does not say how its stamps were made ({line}); train again"
        ) from None

    def measure(images: np.ndarray) -> np.ndarray:
        prepared = apply_chain(images, steps, rms, str(model))
        predicted: np.ndarray = run.answer.fit.inverse(run.outputs(prepared[..., None]))
        return predicted

    return measure, round(run.learner.side * scales)


def general_measure(
    model: Path, given: dict[str, np.ndarray], zero_point: float, fast: bool
) -> Measure:
    """Return what measures with the package for any image, refined by the pixels or not.

    It is given what the fitters are: the PSF's image, the noise, the exposure that makes photon
    noise, whether the sky is known, and masks of neighbours where there are any. The correlation of
    the noise, which they cannot use, it measures in all stamps together, in nobody's time.
    """
    from galadapt.cutouts.neighbours import shape_of
    from galadapt.fitting.fusion import Fusion
    from galadapt.fitting.noise import correlation_of
    from galadapt.general.refined import refine, refiner_of

    package = read(model)
    crowded, light = bool(given["crowded"]), float(given["effective_psf"].sum())
    psf = _centred(given["effective_psf"] / light)
    images = given["images"].reshape(-1, SIDE)
    refiner = refiner_of(psf, correlation_of(images, np.ones(images.shape, bool)))
    record = package.record.fusion
    fusion = None if record is None else Fusion.from_dict(record)
    extraction = Extraction()
    exposure_time = float(given["exposure_time"])

    def measure(rows: np.ndarray) -> np.ndarray:
        images, noise = given["images"][rows], given["pixel_rms"][rows].astype(float)
        valid = np.ones(images.shape, bool)
        if crowded:
            for mask, image, rms in zip(valid, images, noise, strict=True):
                mask &= ~shape_of(image, float(rms), (0.0, 0.0), extraction).neighbours
        which = np.zeros(len(images), int)
        found = package.measure(images, valid, noise, psf[None], which)
        if not fast and fusion is not None:
            sky_error = None if crowded else 0.0
            found = refine(
                *(found, images, valid, noise, refiner, fusion, exposure_time, sky_error)
            ).measured
        # Light beyond the PSF's image is missing from its sum, and from the flux measured with it.
        flux = np.exp(found.theta[:, 0]) / light
        return np.column_stack(
            [magnitude_of(flux, zero_point), np.exp(found.theta[:, 1:3]), found.ellipticity]
        )

    return measure


def _centred(image: np.ndarray) -> np.ndarray:
    """Draw an image of odd side anew on a stamp, centred in the middle of four pixels."""
    profile = galsim.InterpolatedImage(
        galsim.Image(image, scale=1.0), x_interpolant=galsim.Lanczos(15)
    )
    drawn = profile.drawImage(nx=SIDE, ny=SIDE, scale=1.0, method="no_pixel", dtype=float).array
    return np.asarray(drawn / drawn.sum(), np.float32)


def middle(images: np.ndarray, side: int) -> np.ndarray:
    """Cut the middle (n, side, side) out of stamps whose side differs by an even number.

    Raises:
        DataError: the stamps are smaller, or their middle would shift by half a pixel.
    """
    spare = images.shape[1] - side
    if spare < 0 or spare % 2:
        raise DataError(
            f"the network wants stamps of {side} px, the benchmark's have {images.shape[1]}; "
            "give a network for smaller, even stamps"
        )
    cut = slice(spare // 2, spare // 2 + side)
    return images[:, cut, cut]


def measure_file(model: Path, stamps: Path, zero_point: float, fast: bool = False) -> pd.DataFrame:
    """Measure the stamps of a condition; `fast` without the refinement by the pixels.

    `zero_point` is the AB magnitude of 1 unit of the stamps, of which a package for any image and
    its fluxes know nothing.

    Returns:
        One row per stamp: row, seconds (CPU, the mean over all stamps) and the parameters.

    Raises:
        DataError: the model is broken or does not fit the stamps.
    """
    with np.load(stamps, allow_pickle=False) as file:
        given = {name: file[name] for name in file.files}
    if is_general(model):
        measure = general_measure(model, given, zero_point, fast)
    else:
        backend.prepare(Compute())
        network, side = (package_measure if is_package(model) else run_measure)(model)

        def measure(rows: np.ndarray) -> np.ndarray:
            return network(middle(given["images"][rows], side))

    count = len(given["images"])
    # The first pass traces and compiles the networks.
    predicted = measure(np.arange(count))
    timed = np.arange(max(TIMED_STAMPS, count)) % count
    passes, start = 0, time.process_time()
    while (seconds := time.process_time() - start) < TIMED:
        measure(timed)
        passes += 1
    table = pd.DataFrame(predicted, columns=list(PARAMETERS))
    table.insert(0, "row", np.arange(count))
    table.insert(1, "seconds", seconds / passes / len(timed))
    return table


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("zero_point", type=float)
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        table = measure_file(
            *(arguments.model, arguments.stamps, arguments.zero_point, arguments.fast)
        )
        write_parquet(arguments.output, table)
    except GaladaptError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
