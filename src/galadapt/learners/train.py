"""Train one network: the entry that is light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galadapt.config.training import Compute, Training
from galadapt.learners.keras import backend


def train(
    task: str,
    variant: str,
    method_name: str,
    method: Training,
    parameters: Sequence[str],
    seed: int,
    simulated: Path | None,
    survey: Path | None,
    output: Path,
    checkpoint: Path,
    start_model: Path | None,
    compute: Compute,
    provenance: Mapping[str, Any],
    teachers: Sequence[Path] = (),
) -> None:
    """Train one network and write its run folder.

    Args:
        task: What is predicted, for the records.
        variant: Name of the variant the stamp sets hold.
        method_name: Name of the method, for the records.
        method: Its settings.
        parameters: Label columns to predict, in order; none where the method classifies.
        seed: Of weights, batches and orientations.
        simulated: Stamp set of the simulated domain; read only if `method.domains` names it.
        survey: Stamp set of the survey; read only if `method.domains` names it, so that a method
            that trains on simulations alone does not depend on any survey.
        output: Run folder: model.keras, history.csv, environment.json, run.json, each written
            atomically, run.json last. `galadapt.learners.predict` tests the network.
        checkpoint: Folder of the state an interrupted training continues from; removed at the end.
        start_model: model.keras of the run `method.starts_from` names (its run.json stands
            beside it), or None.
        compute: Backend, threads and GPUs.
        provenance: What made this run; part of its identity, so it holds no time and no path.
        teachers: model.keras of every seed of that method (its run.json beside each), where
            `method.self_training` learns from them.

    Raises:
        ConfigError: the backend is not installed.
        DataError: a stamp set or the start model is missing or does not fit.
        RunError: training diverged, or this process already runs another backend.
    """
    backend.prepare(compute)
    # Keras must not be imported before its backend is chosen.
    from galadapt.learners.job import Job
    from galadapt.learners.keras.trainer import run

    run(
        Job(
            task=task,
            variant=variant,
            method_name=method_name,
            method=method,
            parameters=tuple(parameters),
            seed=seed,
            simulated=None if simulated is None else Path(simulated),
            survey=None if survey is None else Path(survey),
            output=Path(output),
            checkpoint=Path(checkpoint),
            start_model=None if start_model is None else Path(start_model),
            compute=compute,
            provenance=dict(provenance),
            teachers=tuple(map(Path, teachers)),
        )
    )
