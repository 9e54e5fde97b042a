"""What happens before and after an epoch, and the state an interrupted training continues from.

Keras' own `EarlyStopping`, `CSVLogger` and `BackupAndRestore` are not used: they forget the best
epoch, the history and the last rows when a training is resumed.
"""

from __future__ import annotations

import json
import math
import shutil
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer
from galadapt.core.errors import RunError
from galadapt.core.files import atomic
from galadapt.core.log import log
from galadapt.learners.job import Job
from galadapt.learners.keras.batches import Batches
from galadapt.learners.keras.compiling import learned
from galadapt.learners.keras.layers import GradientReversal
from galadapt.learners.keras.networks import predict
from galadapt.learners.keras.sampling import Prior, prior_scale
from galadapt.learners.matching import matching_weights

#: By domain: stamps (n, side, side, channels), targets (n, ...), NaN where unknown, weights (n,).
LabelledParts = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass
class Progress:
    """What training has reached after a number of whole epochs."""

    history: list[dict[str, float]] = field(default_factory=list)  #: One row per finished epoch.
    best: float = float("inf")  #: Smallest monitored loss so far.
    best_epoch: int = 0  #: Its epoch, from 1; 0 before the first.
    best_weights: list[np.ndarray] = field(default_factory=list)  #: The network's weights then.

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def exhausted(self, patience: int) -> bool:
        """Tell whether `patience` epochs have passed since the best one."""
        return self.epoch - self.best_epoch >= patience


class Checkpoint:
    """A folder with one file, replaced as a whole after every epoch.

    Epoch orders depend on the seed and the epoch alone, and schedules on step counts that are
    variables, so variables and history are the whole state.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        """Name the folder, and the digest of everything that decides the training's result."""
        self.folder = Path(folder)
        self.file = self.folder / "state.npz"
        self.identity = identity

    def save(self, model: keras.Model, progress: Progress) -> None:
        """Save the state after an epoch; `model` is the compiled model being trained."""
        kept = ("history", "best", "best_epoch")
        about = {"identity": self.identity} | {name: getattr(progress, name) for name in kept}
        arrays = {
            f"variable{index:05d}": keras.ops.convert_to_numpy(variable)
            for index, variable in enumerate(_variables(model))
        }
        arrays |= {f"best{index:05d}": value for index, value in enumerate(progress.best_weights)}
        with atomic(self.file) as temporary:
            np.savez(temporary, about=np.array(json.dumps(about)), **arrays)

    def load(self, model: keras.Model) -> Progress:
        """Restore `model` and return its progress, a fresh one if there is nothing to continue.

        A state of another training is deleted.
        """
        if not self.file.is_file():
            return Progress()
        variables = _variables(model)
        try:
            with np.load(self.file) as saved:
                about = json.loads(str(saved["about"]))
                values = [saved[f"variable{index:05d}"] for index in range(len(variables))]
                best = [saved[name] for name in sorted(saved.files) if name.startswith("best")]
            shapes = [tuple(variable.shape) for variable in variables]
            if about["identity"] != self.identity or shapes != [one.shape for one in values]:
                raise ValueError("of another training")
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            log.info(f"{self.file}: unusable ({error}); starting afresh")
            shutil.rmtree(self.folder)
            return Progress()
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return Progress(about["history"], about["best"], about["best_epoch"], best)


def _variables(model: keras.Model) -> list[Any]:
    """Weights, optimiser moments and the state of the dropout generators, in a fixed order."""
    return [*learned(model), *model.optimizer.variables]


class Epochs(keras.callbacks.Callback):
    """Draws, matches, validates, records, keeps the best weights, saves, and stops."""

    def __init__(
        self,
        job: Job,
        network: keras.Model,
        joined: keras.Model,
        answer: Answer,
        batches: Batches,
        validation: LabelledParts,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> None:
        """Take what is trained: `network` is kept, `joined` also has what aligns the domains."""
        super().__init__()
        self._job, self._network, self._answer = job, network, answer
        self._reversals = [one for one in joined.layers if isinstance(one, GradientReversal)]
        self._priors = [one for one in joined.layers if isinstance(one, Prior)]
        self._batches, self._validation = batches, validation
        self._checkpoint, self._progress = checkpoint, progress

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw the batches, the simulated stamps weighted to the survey's population."""
        self._clock = time.monotonic()
        method, batches = self._job.method, self._batches
        aligned = method.alignment is not None and method.alignment.match_labels
        if aligned or method.match_population:
            predicted = self._answer.population(predict(self._network, batches.images))
            weights = matching_weights(predicted[batches.simulated], predicted[~batches.simulated])
            if aligned:
                batches.domain_weights[batches.simulated] = weights
            if method.match_population:
                batches.population_weights[batches.simulated] = weights
        for layer in self._priors:
            network: Any = method.network  # type: ignore[attr-defined]
            weight, warm_up = network.prior_weight, network.warm_up
            layer.scale.assign(prior_scale(weight, warm_up, epoch, batches.labelled))
        batches.draw(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Validate and record; compare with the best epoch; a RunError if a loss is not finite."""
        job, progress = self._job, self._progress
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        losses = {
            f"val_{domain}": self._answer.validation_loss(
                predict(self._network, images), targets, weights
            )
            for domain, (images, targets, weights) in self._validation.items()
        }
        row |= {**losses, "val_monitored": float(np.mean(list(losses.values())))}
        if not (math.isfinite(row["loss"]) and math.isfinite(row["val_monitored"])):
            raise RunError(
                f"{job.label}: training diverged in epoch {epoch + 1} (loss {row['loss']}); "
                f"lower method_settings.{job.method_name}.learning_rate"
            )
        row["learning_rate"] = _number(self.model.optimizer.learning_rate)
        for layer in self._reversals:
            row["reversal_strength"] = _number(layer.strength)
        for prior in self._priors:
            row["prior"] = _number(prior.scale * prior.divergence())
        row["seconds"] = time.monotonic() - self._clock
        progress.history.append(row)
        log.info(
            f"{job.label} epoch {epoch + 1}/{job.method.epochs} loss {row['loss']:.4f} "
            f"val {row['val_monitored']:.4f} ({row['seconds']:.1f} s)"
        )
        if row["val_monitored"] < progress.best:
            progress.best, progress.best_epoch = row["val_monitored"], epoch + 1
            progress.best_weights = self._network.get_weights()
        if progress.exhausted(job.method.patience):
            self.model.stop_training = True
        self._checkpoint.save(self.model, progress)


def _number(tensor: Any) -> float:
    return float(keras.ops.convert_to_numpy(tensor))
