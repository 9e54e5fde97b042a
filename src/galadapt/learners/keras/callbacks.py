"""What happens between two epochs, one concern per callback.

`fit` calls them in the order of its list: a callback may read what an earlier one added to `logs`,
the row of the epoch. Keras' own `EarlyStopping`, `CSVLogger` and `BackupAndRestore` are not used:
they forget the best epoch, the history and the last rows when a training is resumed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer
from galadapt.config.training import Training
from galadapt.core.errors import RunError
from galadapt.core.log import log
from galadapt.learners.job import Job
from galadapt.learners.keras.batches import Batches
from galadapt.learners.keras.checkpoint import Checkpoint, Progress
from galadapt.learners.keras.layers import GradientReversal
from galadapt.learners.keras.networks import predict
from galadapt.learners.matching import matching_weights

Logs = dict[str, Any]

#: By domain: stamps (n, side, side, 1), targets (n, ...), NaN where unknown, and weights (n,).
LabelledParts = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


class DrawBatches(keras.callbacks.Callback):
    """Tell the batches their epoch."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Draw the order of this epoch."""
        self._batches.draw(epoch)


class MatchLabels(keras.callbacks.Callback):
    """Weigh the simulated stamps to the survey's population, as the regressor sees both now."""

    def __init__(self, regressor: keras.Model, batches: Batches, method: Training) -> None:
        super().__init__()
        self._regressor, self._batches = regressor, batches
        self._alignment = method.alignment is not None and method.alignment.match_labels
        self._regression = method.match_population

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Renew the weights of the alignment, of the regression, or of both."""
        predicted = predict(self._regressor, self._batches.images)
        simulated = self._batches.simulated
        weights = matching_weights(predicted[simulated], predicted[~simulated])
        if self._alignment:
            self._batches.domain_weights[simulated] = weights
        if self._regression:
            self._batches.population_weights[simulated] = weights


class Validate(keras.callbacks.Callback):
    """Measure the error of each domain whose labels may be used, and their mean."""

    def __init__(self, network: keras.Model, answer: Answer, parts: LabelledParts) -> None:
        super().__init__()
        self._network, self._answer, self._parts = network, answer, parts

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Add ``val_<domain>`` and ``val_monitored`` to the row."""
        errors = {
            domain: self._answer.validation_loss(predict(self._network, images), expected, weights)
            for domain, (images, expected, weights) in self._parts.items()
        }
        logs |= {f"val_{domain}": error for domain, error in errors.items()}
        logs["val_monitored"] = float(np.mean(list(errors.values())))


class StopIfDiverged(keras.callbacks.Callback):
    """End a training whose loss or error is no number with an error that says what to change."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Raise RunError on NaN or infinity."""
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs["val_monitored"])):
            raise RunError(
                f"{self._job.label}: training diverged in epoch {epoch + 1} (loss {logs['loss']}); "
                f"lower method_settings.{self._job.method_name}.learning_rate"
            )


class Record(keras.callbacks.Callback):
    """Append the row of the epoch to the history, with the rates at its end, and say it."""

    def __init__(self, job: Job, progress: Progress, model: keras.Model) -> None:
        """Take the job, where the rows go, and the model that may reverse gradients."""
        super().__init__()
        self._job, self._progress = job, progress
        self._reversals = [one for one in model.layers if isinstance(one, GradientReversal)]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._clock = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Complete the row."""
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row["learning_rate"] = _number(self.model.optimizer.learning_rate)
        for layer in self._reversals:
            row["reversal_strength"] = _number(layer.strength)
        row["seconds"] = time.monotonic() - self._clock
        self._progress.history.append(row)
        log.info(
            f"{self._job.label} epoch {epoch + 1}/{self._job.method.epochs} loss {row['loss']:.4f} "
            f"val {row['val_monitored']:.4f} ({row['seconds']:.1f} s)"
        )


def _number(tensor: Any) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


class KeepBest(keras.callbacks.Callback):
    """Keep the regressor's weights of the best epoch; stop when `patience` epochs bring none."""

    def __init__(self, regressor: keras.Model, progress: Progress, patience: int) -> None:
        super().__init__()
        self._regressor, self._progress, self._patience = regressor, progress, patience

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare this epoch with the best."""
        progress = self._progress
        if logs["val_monitored"] < progress.best:
            progress.best, progress.best_epoch = logs["val_monitored"], epoch + 1
            progress.best_weights = self._regressor.get_weights()
        if progress.exhausted(self._patience):
            self.model.stop_training = True


class Save(keras.callbacks.Callback):
    """Save the state an interrupted training continues from."""

    def __init__(self, checkpoint: Checkpoint, progress: Progress) -> None:
        super().__init__()
        self._checkpoint, self._progress = checkpoint, progress

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Replace the state of the epoch before."""
        self._checkpoint.save(self.model, self._progress)
