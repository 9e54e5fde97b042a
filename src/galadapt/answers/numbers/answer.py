"""Parameters: numbers, standardised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import keras
import numpy as np

from galadapt.answers.base import known
from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet

_LOSSES = {"mae": keras.losses.MeanAbsoluteError, "mse": keras.losses.MeanSquaredError}


@dataclass(frozen=True)
class Parameters:
    """Structural parameters of galaxies.

    Attributes:
        names: Label columns, in order.
        logarithmic: Those learned as logarithms.
        kind: mae or mse.
        activation: Of the last layer.
        scaler: Once fitted.
    """

    names: tuple[str, ...]
    logarithmic: tuple[str, ...] = ()
    kind: str = "mae"
    activation: str = "linear"
    scaler: TargetScaler | None = None

    @property
    def outputs(self) -> int:
        """One number per parameter."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """One number per parameter."""
        return (len(self.names),)

    @property
    def fit(self) -> TargetScaler:
        """The scaling of the targets."""
        if self.scaler is None:
            raise ValueError("the target is not fitted yet")
        return self.scaler

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Read the parameters, (n, parameters) float64, in their own units."""
        for name in self.names:
            if name not in stamps.table:
                raise DataError(
                    f"{stamps.paths[0]}: lacks the label column '{name}'; rerun the stage that "
                    "writes it"
                )
        return stamps.table.loc[rows, list(self.names)].to_numpy(np.float64)

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Scale to the labels, or keep the scaling of the start."""
        if start is None:
            scaler = TargetScaler.fit(self.names, labels, self.logarithmic)
        else:
            scaler = TargetScaler.from_dict(start.get("target_scaling", {}))
            if scaler.parameters != self.names:
                raise DataError(
                    f"predicts {', '.join(scaler.parameters)}, not {', '.join(self.names)}"
                )
        return replace(self, scaler=scaler)

    def transform(self, labels: np.ndarray) -> np.ndarray:
        """Standardise."""
        return self.fit.transform(labels)

    def weights(self, expected: np.ndarray) -> np.ndarray:
        """Weigh all stamps alike."""
        return np.ones(len(expected), np.float32)

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the mean absolute or squared error."""
        return _LOSSES[self.kind](reduction=reduction)

    def error(self, said: np.ndarray, expected: np.ndarray, weights: np.ndarray) -> float:
        """Mean error of standardised parameters; NaN if a prediction is."""
        labelled = known(expected)
        difference = said[labelled] - expected[labelled]
        each = np.abs(difference) if self.kind == "mae" else difference**2
        return float(np.average(each.mean(axis=1), weights=weights[labelled]))

    def answers(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Name ``<parameter>_true`` and ``<parameter>_predicted``, in the parameters' units."""
        true, predicted = self.labels(stamps, rows), self.fit.inverse(outputs)
        columns = {}
        for column, name in enumerate(self.names):
            columns[f"{name}_true"] = true[:, column]
            columns[f"{name}_predicted"] = predicted[:, column]
        return columns

    def record(self) -> dict[str, Any]:
        """Keep the scaling."""
        return {"parameters": list(self.names), "target_scaling": self.fit.to_dict()}
