"""Training of the network for any image: endless fresh simulations, which can be continued.

The rate stays constant and the weights are averaged, so that a training may end at any step; the
end phase, in which the rate falls to 0, is run on top of a checkpoint. A checkpoint holds weights,
averages, the optimiser's state and the number of the next batch.
"""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from galadapt.config.general import General
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import atomic, write_csv
from galadapt.core.log import log
from galadapt.general import inputs, network, package, start
from galadapt.general.simulate import Simulator, Stamps

CHECKPOINT, ENDED, HISTORY = "checkpoint.npz", "ended.npz", "history.csv"

#: Seconds between checkpoints.
_INTERVAL = 120.0


def prepared(batch: Stamps) -> tuple[inputs.Inputs, np.ndarray]:
    """Inputs and scaled targets of a batch."""
    given = inputs.prepare(batch.images, batch.valid, batch.psfs, batch.psf_index)
    return given, network.scaled(batch.theta, given.anchor)


class Trainer:
    """A network in training, and its folder."""

    def __init__(self, settings: General, folder: Path) -> None:
        """Build the network, and load the folder's checkpoint if there is one."""
        self.settings, self._folder = settings, folder
        training = settings.training
        keras.utils.set_random_seed(training.seed)
        self.simulator = Simulator(settings)
        self._sample, _ = prepared(next(iter(self.simulator.batches(0))))
        self.model = network.build(self._sample)
        self._begun: dict[str, Any] | None = None
        if training.start is not None:
            released = training.start == "released"
            given = package.read(package.RELEASED if released else training.start)
            start.load(self.model, given.folder / package.NETWORK)
            about = {"digest": given.record.network_digest, "steps": given.record.steps}
            self._begun = {**about, "stamps": given.record.stamps}
        self._optimizer = keras.optimizers.Adam(training.learning_rate, clipnorm=5.0)
        self._optimizer.build(self.model.trainable_variables)
        self.average = [np.array(weight) for weight in self.model.get_weights()]
        self.next, self.step, self.seconds = 1, 0, 0.0
        self.history: list[dict[str, float]] = []
        if (folder / CHECKPOINT).is_file():
            self._load(folder / CHECKPOINT)

    @property
    def progress(self) -> dict[str, Any]:
        """Steps, stamps seen and CPU seconds so far, and the network it began with (or None)."""
        stamps = self.step * self.settings.training.batch
        done = {"steps": self.step, "stamps": stamps, "cpu_seconds": self.seconds}
        return {**done, "start": self._begun}

    def require_checkpoint(self) -> None:
        """Refuse (DataError) to go on from nothing."""
        if self.step == 0:
            raise DataError(
                f"{self._folder / CHECKPOINT}: missing; train first with `galadapt general train`"
            )

    def ended(self) -> keras.Model:
        """Return the network of the last end phase, or without one `averaged`."""
        path = self._folder / ENDED
        if path.is_file() and path.stat().st_mtime > (self._folder / CHECKPOINT).stat().st_mtime:
            self._load(path)
        return self.averaged()

    def run(self, steps: int | None, seconds: float | None, end: bool = False) -> None:
        """Train for some steps, or CPU seconds of this process; with `end` the rate falls to 0.

        Where `steps` end within a set of galaxies, the next run begins with a new set.
        """
        training = self.settings.training
        start_step, begun, saved = self.step, time.process_time(), time.time()
        before, losses = self.seconds, []
        total = training.end_steps if end else steps
        self._compile()
        finished = False
        while not finished:
            for batch in self.simulator.batches(self.next):
                done = self.step - start_step
                rate = training.learning_rate * min(1.0, (self.step + 1) / 200)
                if end:
                    rate *= max(0.0, 1 - done / training.end_steps)
                self._optimizer.learning_rate.assign(rate)
                given, targets = prepared(batch)
                losses.append(float(self.model.train_on_batch(list(given[:3]), targets)))
                self.step += 1
                if self.step == training.warm_up:
                    self._compile()
                self._update_average()
                if self.step % 100 == 0:
                    self.seconds = before + time.process_time() - begun
                    row = {"step": self.step, "loss": float(np.mean(losses)), "rate": rate}
                    self.history.append({**row, "cpu_seconds": self.seconds})
                    log.info(f"step {self.step}: loss {row['loss']:.3f}, {self.seconds:.0f} s")
                    losses = []
                finished = total is not None and self.step - start_step >= total
                if finished:
                    break
            self.next += 1
            self.seconds = before + time.process_time() - begun
            if seconds is not None and self.seconds - before >= seconds:
                finished = True
            if finished or time.time() - saved > _INTERVAL:
                self.save(ENDED if end else CHECKPOINT)
                saved = time.time()

    def averaged(self) -> keras.Model:
        """Return the network with averaged weights."""
        model = network.build(self._sample)
        model.set_weights(self.average)
        return model

    def _update_average(self) -> None:
        decay = min(self.settings.training.average, (1 + self.step) / (10 + self.step))
        for mean, weight in zip(self.average, self.model.get_weights(), strict=True):
            mean *= decay
            mean += (1 - decay) * weight

    def _compile(self) -> None:
        """Choose the loss of the next step; the optimiser keeps its state."""
        warm = self._begun is None and self.step < self.settings.training.warm_up
        loss = network.squared_error if warm else network.negative_log_likelihood
        self.model.compile(self._optimizer, loss)

    def save(self, name: str = CHECKPOINT) -> None:
        """Write the checkpoint and the history."""
        self._folder.mkdir(parents=True, exist_ok=True)
        groups = {
            "weight": self.model.get_weights(),
            "average": self.average,
            "optimizer": map(np.asarray, self._optimizer.variables),
        }
        arrays: dict[str, Any] = {}
        for kind, group in groups.items():
            arrays |= {f"{kind}_{k}": array for k, array in enumerate(group)}
        state = {
            "next": self.next,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "settings": self.settings.model_dump(mode="json"),
            "start": self._begun,
        }
        arrays["state"] = np.array(json.dumps(state))
        with atomic(self._folder / name) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        write_csv(self._folder / HISTORY, pd.DataFrame(self.history))

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state = json.loads(str(arrays["state"]))
                made = General.model_validate(state["settings"])
                self._require_same(path, made, state.get("start"))
                count = len(self.model.weights)
                self.model.set_weights([arrays[f"weight_{k}"] for k in range(count)])
                self.average = [arrays[f"average_{k}"] for k in range(count)]
                for k, variable in enumerate(self._optimizer.variables):
                    variable.assign(arrays[f"optimizer_{k}"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            line = " ".join(str(error).split())[:120]
            raise DataError(
                f"{path}: no checkpoint of this network ({line}); remove it to begin again"
            ) from None
        self.next, self.step = int(state["next"]), int(state["step"])
        self.seconds, self.history = float(state["seconds"]), list(state["history"])
        log.info(f"{path}: continuing after step {self.step}")

    def _require_same(self, path: Path, made: General, begun: dict[str, Any] | None) -> None:
        """Refuse (ConfigError) a checkpoint of other simulations, or of another start."""
        same = made.draws == self.settings.draws and begun == self._begun
        if not same or made.training.seed != self.settings.training.seed:
            raise ConfigError(
                f"{path}: begun with other settings; give the recipe it was begun with, or another "
                "folder"
            )
