"""The run folder: what a finished training leaves."""

from __future__ import annotations

import datetime

import keras
import pandas as pd

from galadapt.answers.base import Answer
from galadapt.core.files import atomic, write_csv, write_json
from galadapt.core.provenance import environment
from galadapt.learners.job import Job
from galadapt.learners.keras.checkpoint import Progress
from galadapt.stamps.format import StampSet


def write(
    job: Job,
    sets: dict[str, StampSet],
    network: keras.Model,
    target: Answer,
    progress: Progress,
    identity: str,
    started: datetime.datetime,
) -> None:
    """Write every file of a finished training, run.json last.

    Args:
        job: What was trained.
        sets: The open stamp sets it was trained on; the first one's metadata go into run.json.
        network: With the weights of the best epoch.
        target: What it has learned.
        progress: With its history.
        identity: Of the training.
        started: When it (or its last part) began.
    """
    metadata = next(iter(sets.values())).metadata
    with atomic(job.output / "model.keras") as temporary:
        network.save(temporary)
    write_csv(job.output / "history.csv", pd.DataFrame(progress.history))
    finished = datetime.datetime.now(datetime.UTC)
    write_json(
        job.output / "environment.json",
        {
            **environment(["galadapt", "keras", "numpy", job.compute.backend]),
            "backend": job.compute.backend,
            "threads": job.compute.threads_per_training,
            "gpus": job.compute.gpus_per_training,
            "stamps_on_device": job.compute.keeps_stamps_on_device,
            "started": started.isoformat(timespec="seconds"),
            "ended": finished.isoformat(timespec="seconds"),
            "seconds": (finished - started).total_seconds(),
        },
    )
    write_json(
        job.output / "run.json",
        {
            "task": job.task,
            "variant": job.variant,
            "method": job.method_name,
            "seed": job.seed,
            "settings": job.method.model_dump(mode="json"),
            "identity": identity,
            "provenance": job.provenance,
            "datasets": job.datasets,
            "variant_steps": metadata.get("variant_steps", []),
            "stamps": {
                key: value for key, value in metadata.items() if not key.endswith("provenance")
            },
            "answer": target.record(),
            "output_shape": network.output_shape[1:],
            "parameter_count": network.count_params(),
            "best_epoch": progress.best_epoch,
            "best_monitored": progress.best,
            "epochs_run": progress.epoch,
        },
    )
