"""The run folder: what a finished training leaves, written, read and loaded.

- ``model/``: the learner;
- ``history.csv``: one row per epoch;
- ``environment.json``: versions, machine and times;
- ``run.json``, written last: what was trained on what, and the digest of the weights. Whatever
  depends on the model depends on this file.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers import registry as answers
from galadapt.answers.base import Answer
from galadapt.config.training import Compute
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, write_csv, write_json
from galadapt.core.provenance import environment
from galadapt.learners import registry
from galadapt.learners.base import Learner
from galadapt.learners.job import Job, read_record
from galadapt.learners.orientations import mean_output

#: The learner beside run.json.
MODEL = "model"


@dataclass(frozen=True)
class Run:
    """A finished training, ready to predict stamps (n, side, side, channels)."""

    record: Mapping[str, Any]
    learner: Learner
    answer: Answer

    @property
    def magnitude_limit(self) -> float | None:
        """Fainter stamps are left out of testing as of training [mag]."""
        return self.record["settings"].get("max_magnitude")

    @property
    def split_column(self) -> str:
        """Column of the stamp sets with the split of each stamp."""
        return "split_by_stamp" if self.record["settings"].get("split") == "stamp" else "split"

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Predict, (n, ...): the mean over the stamps' eight orientations where it is set."""

        def run(some: np.ndarray) -> np.ndarray:
            return self.answer.averageable(self.learner.predict(some))

        return self._oriented(run, images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the learner's features (n, f), averaged as the outputs are."""
        return self._oriented(self.learner.features, images)

    def _oriented(self, run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
        averages = self.record["settings"].get("average_orientations", False)
        return mean_output(run, images) if averages else run(images)


def load(run: Path, compute: Compute) -> Run:
    """Load the learner of a run.json; a DataError if a file is broken or of another run."""
    record = read_record(run)
    answer = answers.of_run(record, run)
    folder = run.parent / MODEL
    learner = registry.load(record["learner"]).load(folder, compute)
    if learner.digest != record["weights"] or learner.outputs != answer.outputs:
        raise DataError(f"{folder}: not the model of {run}; delete its run folder and train again")
    return Run(record, learner, answer)


def write(
    job: Job,
    learner: Learner,
    answer: Answer,
    metadata: Mapping[str, Any],
    started: datetime.datetime,
) -> None:
    """Write every file of a training; `metadata` are those of its first stamp set."""
    with atomic(job.output / MODEL) as temporary:
        temporary.mkdir()
        learner.save(temporary)
    write_csv(job.output / "history.csv", pd.DataFrame(learner.history))
    finished = datetime.datetime.now(datetime.UTC)
    packages = ["galadapt", "keras", "numpy", "scikit-learn", job.compute.backend]
    write_json(
        job.output / "environment.json",
        {
            **environment(packages),
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
            "identity": job.identity,
            "provenance": job.provenance,
            "datasets": job.datasets,
            "variant_steps": metadata.get("variant_steps", []),
            "stamps": {
                key: value for key, value in metadata.items() if not key.endswith("provenance")
            },
            "answer": answer.record(),
            "learner": job.method.learner.kind,
            "weights": learner.digest,
            **learner.record,
        },
    )
