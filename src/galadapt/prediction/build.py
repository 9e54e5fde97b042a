"""Making a prediction package of finished runs: the entry that is light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galadapt.config.image import Psf
from galadapt.config.survey import Extraction
from galadapt.config.training import Compute, Predictor
from galadapt.learners.keras import backend


def write_package(
    runs: Sequence[Path],
    simulated: Sequence[Path],
    survey: Path,
    psf: Psf,
    extraction: Extraction,
    predictor: Predictor,
    survey_kind: str,
    output: Path,
    compute: Compute,
    provenance: Mapping[str, Any],
) -> None:
    """Write the folder that `galadapt predict` measures with.

    Args:
        runs: Run folders (run.json, model.keras) of the seeds of one task, variant and method.
        simulated: Stamp sets (shards) of the simulated domain BEFORE any variant: what is measured
            here goes the whole way that a user's stamps go.
        survey: Stamp set of the survey before any variant.
        psf: PSF of the simulations.
        extraction: How stamps are cut out of mosaics.
        predictor: What the package says of itself.
        survey_kind: Kind of the survey.
        output: Folder to write; see `galadapt.prediction.package`.
        compute: Backend, threads and GPUs.
        provenance: Stored in package.json; no time and no path.

    Raises:
        ConfigError: the backend is not installed.
        DataError: a run or stamp set is missing or broken, runs differ in more than their seed, or
            there are too few validation galaxies to measure errors with.
    """
    backend.prepare(compute)
    # Keras must not be imported before its backend is chosen.
    from galadapt.prediction.building import build

    build(
        runs=[Path(run) for run in runs],
        paths={"simulated": [Path(path) for path in simulated], "survey": [Path(survey)]},
        psf=psf,
        extraction=extraction,
        predictor=predictor,
        survey_kind=survey_kind,
        output=Path(output),
        provenance=dict(provenance),
    )
