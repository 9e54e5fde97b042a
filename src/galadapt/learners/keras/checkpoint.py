"""The state of an interrupted training: enough to continue as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from galadapt.core.files import atomic
from galadapt.core.log import log
from galadapt.learners.keras.compiling import learned


@dataclass
class Progress:
    """What training has reached after a number of whole epochs.

    Attributes:
        history: One row per finished epoch.
        best: Smallest monitored error so far.
        best_epoch: Its epoch, from 1; 0 before the first.
        best_weights: The regressor's weights then.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = 0
    best_weights: list[np.ndarray] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def exhausted(self, patience: int) -> bool:
        """Tell whether `patience` epochs have passed since the best one."""
        return self.epoch - self.best_epoch >= patience


def _variables(model: keras.Model) -> list[Any]:
    """Weights, optimiser moments and the state of the dropout generators, in a fixed order."""
    return [*learned(model), *model.optimizer.variables]


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
        about = {
            "identity": self.identity,
            "history": progress.history,
            "best": progress.best,
            "best_epoch": progress.best_epoch,
        }
        arrays = {
            f"variable{index:05d}": keras.ops.convert_to_numpy(variable)
            for index, variable in enumerate(_variables(model))
        }
        arrays |= {f"best{index:05d}": value for index, value in enumerate(progress.best_weights)}
        with atomic(self.file) as temporary:
            np.savez(temporary, about=np.array(json.dumps(about)), **arrays)

    def load(self, model: keras.Model) -> Progress:
        """Restore `model` and return the progress; a state of another training is deleted.

        Returns:
            The saved progress, or a fresh one when there is nothing to continue.
        """
        if not self.file.is_file():
            return Progress()
        variables = _variables(model)
        try:
            with np.load(self.file) as saved:
                about = json.loads(str(saved["about"]))
                if about["identity"] != self.identity:
                    log.info(f"{self.file}: belongs to another training; starting afresh")
                    self.remove()
                    return Progress()
                values = [saved[f"variable{index:05d}"] for index in range(len(variables))]
                if any(
                    tuple(variable.shape) != value.shape
                    for variable, value in zip(variables, values, strict=True)
                ):
                    raise ValueError("of another network")
                best = [saved[name] for name in sorted(saved.files) if name.startswith("best")]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            log.info(f"{self.file}: unreadable ({error}); starting afresh")
            self.remove()
            return Progress()
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return Progress(about["history"], about["best"], about["best_epoch"], best)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
