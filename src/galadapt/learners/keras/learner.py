"""A network as a learner. Keras is imported once its backend is prepared, not before."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError
from galadapt.core.imports import is_import_path
from galadapt.learners.keras import backend

if TYPE_CHECKING:
    from galadapt.answers.base import Answer
    from galadapt.learners.data import Data
    from galadapt.learners.job import Job

#: The network in the folder of a learner.
NETWORK = "network.keras"


class KerasLearner:
    """A network; see `galadapt.learners.base.Learner`."""

    def __init__(self, model: Any) -> None:
        # A network exists: Keras' backend is prepared.
        from galadapt.learners.keras import networks

        self._networks = networks
        self.model = model  #: From stamps to outputs.
        self.side: int = model.input_shape[1]
        self.outputs: int = model.output_shape[-1]
        self.history: list[dict[str, float]] = []
        self.record: dict[str, Any] = {}

    @classmethod
    def check(cls, job: Job, side: int, channels: int) -> None:
        """Try functions of the user's own; without any, Keras is not imported."""
        method: Any = job.method
        names = (method.network.architecture, getattr(method.alignment, "function", ""))
        if any(map(is_import_path, names)):
            backend.prepare(job.compute)
            from galadapt.learners.keras import networks

            try:
                networks.check(method, side, channels)
            except ConfigError as error:
                raise ConfigError(f"method_settings.{job.method_name}: {error}") from error

    @classmethod
    def fit(cls, job: Job, data: Data, answer: Answer) -> KerasLearner:
        """Train."""
        backend.prepare(job.compute)
        from galadapt.learners.keras.trainer import fit

        model, progress = fit(job, data, answer)
        learner = cls(model)
        learner.history = progress.history
        learner.record = {
            "parameter_count": model.count_params(),
            "best_epoch": progress.best_epoch,
            "best_monitored": progress.best,
            "epochs_run": progress.epoch,
        }
        return learner

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> KerasLearner:
        """Load a network."""
        backend.prepare(compute)
        from galadapt.learners.keras import networks

        return cls(networks.load(folder / NETWORK))

    def save(self, folder: Path) -> None:
        """Save in Keras' own format."""
        self.model.save(folder / NETWORK)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run the network; (n, passes, outputs) where it has a distribution."""
        if self._networks.sampled_layers(self.model):
            return self._networks.samples(self.model, images)
        return self._networks.predict(self.model, images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Run the network up to the features that all heads share."""
        return self._networks.predict(self._extractor, images)

    @cached_property
    def _extractor(self) -> Any:
        return self._networks.feature_extractor(self.model)

    @property
    def digest(self) -> str:
        """Digest of the weights, in the order of the layers."""
        total = hashlib.sha256()
        for weights in self.model.get_weights():
            total.update(np.ascontiguousarray(weights).tobytes())
        return total.hexdigest()[:16]
