"""galadapt's part: measures the stamps of a file with trained networks, in its own environment.

Started by bench.py in a process of its own, on one core with one thread like every fitter. The
networks are those of a prediction package or of one run folder; nothing is trained here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from galadapt.config.base import Interval
from galadapt.config.training import Compute
from galadapt.core.errors import DataError, GaladaptError
from galadapt.core.files import write_parquet
from galadapt.core.quantity import PARAMETERS
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

    Raises:
        DataError: the folder is neither, or broken.
    """
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


def measure_file(model: Path, stamps: Path) -> pd.DataFrame:
    """Measure the stamps of a condition.

    Returns:
        One row per stamp: row, seconds (CPU, the mean over all stamps) and the parameters.

    Raises:
        DataError: the model is broken or does not fit the stamps.
    """
    backend.prepare(Compute())
    measure, side = (package_measure if is_package(model) else run_measure)(model)
    with np.load(stamps, allow_pickle=False) as file:
        images = file["images"]
    # The first pass traces and compiles the networks.
    predicted = measure(middle(images, side))
    timed = images[np.arange(max(TIMED_STAMPS, len(images))) % len(images)]
    passes, start = 0, time.process_time()
    while (seconds := time.process_time() - start) < TIMED:
        measure(middle(timed, side))
        passes += 1
    table = pd.DataFrame(predicted, columns=list(PARAMETERS))
    table.insert(0, "row", np.arange(len(images)))
    table.insert(1, "seconds", seconds / passes / len(timed))
    return table


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        write_parquet(arguments.output, measure_file(arguments.model, arguments.stamps))
    except GaladaptError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
