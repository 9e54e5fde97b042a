"""Several networks of one method that differ in their random numbers (deep ensemble).

Where trained networks disagree, the data do not decide (Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galadapt.config.training import Compute
from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.core.random import generator
from galadapt.learners.keras.learner import KerasLearner

if TYPE_CHECKING:
    from galadapt.answers.base import Answer
    from galadapt.learners.data import Data
    from galadapt.learners.job import Job

#: Purpose of the members' seeds, beside those of `galadapt.learners.keras.batches`.
_MEMBER = 3


class EnsembleLearner:
    """Networks side by side; see `galadapt.learners.base.Learner`.

    Attributes:
        members: The networks.
    """

    def __init__(self, members: Sequence[KerasLearner]) -> None:
        self.members = list(members)
        self.side, self.outputs = members[0].side, members[0].outputs
        self.history: list[dict[str, float]] = []
        self.record: dict[str, Any] = {}

    @classmethod
    def check(cls, job: Job, side: int, channels: int) -> None:
        """Try what every member uses."""
        KerasLearner.check(job, side, channels)

    @classmethod
    def fit(cls, job: Job, data: Data, answer: Answer) -> EnsembleLearner:
        """Train one network after the other, each with a seed and checkpoints of its own.

        The history is the mean over the members that were trained in an epoch.
        """
        count: int = job.method.learner.members  # type: ignore[union-attr]
        members = []
        for member in range(1, count + 1):
            seed = int(generator(job.seed, _MEMBER, member).integers(2**31))
            log.info(f"{job.label}: member {member} of {count} has seed {seed}")
            own = replace(job, seed=seed, checkpoint=job.checkpoint / f"member{member}")
            members.append(KerasLearner.fit(own, data, answer))
        learner = cls(members)
        records = [one.record for one in members]
        epochs = max(len(one.history) for one in members)
        learner.history = [
            _mean_row([one.history[k : k + 1] for one in members]) for k in range(epochs)
        ]
        learner.record = {
            "parameter_count": sum(one["parameter_count"] for one in records),
            "best_epoch": round(float(np.mean([one["best_epoch"] for one in records]))),
            "best_monitored": float(np.mean([one["best_monitored"] for one in records])),
            "epochs_run": epochs,
            "members": records,
        }
        return learner

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> EnsembleLearner:
        """Load all networks."""
        folders = sorted(folder.glob("member*"))
        if not folders:
            raise DataError(f"{folder}: holds no member; delete its run folder and train again")
        return cls([KerasLearner.load(one, compute) for one in folders])

    def save(self, folder: Path) -> None:
        """Save each network in a folder of its own."""
        for number, member in enumerate(self.members, start=1):
            own = folder / f"member{number:03d}"
            own.mkdir()
            member.save(own)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs of every member and pass, (n, members x passes, outputs)."""
        found = [member.predict(images) for member in self.members]
        return np.concatenate([one if one.ndim == 3 else one[:, None] for one in found], axis=1)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the features of the first member: those of two networks do not correspond."""
        return self.members[0].features(images)

    @property
    def digest(self) -> str:
        """Digest of all weights."""
        return hashlib.sha256("".join(one.digest for one in self.members).encode()).hexdigest()[:16]


def _mean_row(rows: Sequence[list[dict[str, float]]]) -> dict[str, float]:
    trained = [row for found in rows for row in found]
    mean = {name: float(np.mean([row[name] for row in trained])) for name in trained[0]}
    seconds = float(np.sum([row["seconds"] for row in trained]))
    return mean | {"epoch": int(mean["epoch"]), "members": len(trained), "seconds": seconds}
