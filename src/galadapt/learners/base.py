"""What turns stamps into outputs: a network, or an estimator on pixels or features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from galadapt.config.training import Compute

if TYPE_CHECKING:
    from galadapt.answers.base import Answer
    from galadapt.learners.data import Data
    from galadapt.learners.job import Job


class Learner(Protocol):
    """One kind of learner. Stamps are arrays (n, side, side, channels) float32; n may be 0.

    To add one: a class, its name in `galadapt.learners.registry`, and its settings in the union
    `LearnerKind` of `galadapt.config.training`.
    """

    side: int  #: Of the stamps it takes [px].
    outputs: int  #: Outputs for a stamp, or for a pixel where the answer is a map.
    history: list[dict[str, float]]  #: After `fit`: a row per epoch (epoch, losses, seconds).
    record: dict[str, Any]  #: After `fit`: what run.json keeps of it.

    @classmethod
    def check(cls, job: Job, side: int, channels: int) -> None:
        """Refuse, before the stamps are read, what cannot be trained on stamps of this shape.

        Raises:
            ConfigError: the method names a function of the user's own that does not work.
        """
        ...

    @classmethod
    def fit(cls, job: Job, data: Data, answer: Answer) -> Self:
        """Learn an answer, fitted to the labels, from data.

        Raises:
            ConfigError: the method's settings do not fit what is learned.
            DataError: the run it builds on is missing or does not fit.
            RunError: training diverged, or this process already runs another backend.
        """

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> Self:
        """Load what `save` wrote, or raise DataError."""

    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an empty folder."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs, (n, ...), that `Answer.transform` gives of the labels.

        A learner with a distribution returns samples of them, (n, samples, ...), where the
        method's `takes_samples` allows it.
        """

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return what the outputs are read from, (n, f)."""

    @property
    def digest(self) -> str:
        """Digest of the weights."""
