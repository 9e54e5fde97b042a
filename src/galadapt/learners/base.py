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
    """One kind of learner. To add one: a class, its name in `galadapt.learners.registry`, and its
    settings in the union `LearnerKind` of `galadapt.config.training`.

    Stamps are arrays (n, side, side, 1) float32 in the unit of the variant; n may be 0.

    Attributes:
        side: Side of the stamps it takes [px].
        outputs: Numbers it predicts for a stamp, or for a pixel where the answer is a map.
        history: One row per epoch, of one that was just fitted: ``epoch``, losses, ``seconds``.
        record: What run.json keeps of the fit.
    """

    side: int
    outputs: int
    history: list[dict[str, float]]
    record: dict[str, Any]

    @classmethod
    def fit(cls, job: Job, data: Data, answer: Answer) -> Self:
        """Learn the answer from data.

        Raises:
            ConfigError: the job's settings do not fit what is learned.
            DataError: the run it starts from is missing or does not fit.
            RunError: training diverged, or this process already runs another backend.
        """
        ...

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> Self:
        """Load what `save` wrote.

        Raises:
            DataError: a file is missing or broken.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an empty folder."""
        ...

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs for stamps, (n, ...) as `Answer.transform` gives them."""
        ...

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return what the outputs are read from, (n, f)."""
        ...

    @property
    def digest(self) -> str:
        """Digest of the weights: equal weights, equal outputs."""
        ...
