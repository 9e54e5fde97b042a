"""Numbers: measured quantities, standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from galadapt.answers.base import Answer
from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.config.training import Method
from galadapt.core.errors import DataError
from galadapt.core.files import require
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Numbers(Answer):
    """Measured quantities."""

    quantities: tuple[Quantity, ...]  #: what is measured, in the order of the outputs
    logarithmic: tuple[str, ...] = ()  #: names of those learned as logarithms
    kind: str = "mae"  #: mae or mse
    activation: str = "linear"  #: of the last layer
    scaler: TargetScaler | None = None  #: once fitted

    @classmethod
    def of_method(cls, method: Method, quantities: Sequence[Quantity], stamps: StampSet) -> Self:
        """Measure the quantities with the method's loss and activation."""
        activation = method.network.output_activation
        return cls(tuple(quantities), tuple(method.logarithmic), method.loss, activation)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `record`."""
        scaler = TargetScaler.from_dict(record.get("scaling", {}))
        quantities = tuple(map(Quantity.from_dict, record.get("quantities", [])))
        return cls(quantities, scaler.logarithmic, scaler=scaler)

    @property
    def names(self) -> tuple[str, ...]:
        """Label columns."""
        return tuple(quantity.name for quantity in self.quantities)

    @property
    def outputs(self) -> int:
        """One number per quantity."""
        return len(self.names)

    @property
    def fit(self) -> TargetScaler:
        """The scaling of the targets."""
        if self.scaler is None:
            raise ValueError("the scaling is not fitted yet")
        return self.scaler

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Read the quantities, (n, quantities) float64, in their own units."""
        remedy = "rerun the stage that writes it"
        require(stamps.table, self.names, stamps.paths[0], remedy, "label column")
        return stamps.table.loc[rows, list(self.names)].to_numpy(np.float64)

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Scale to the labels, or keep the scaling of the start."""
        if start is None:
            scaler = TargetScaler.fit(self.names, labels, self.logarithmic)
        else:
            scaler = TargetScaler.from_dict(start.get("scaling", {}))
            if scaler.parameters != self.names:
                raise DataError(
                    f"predicts {', '.join(scaler.parameters)}, not {', '.join(self.names)}"
                )
        return replace(self, scaler=scaler)

    def transform(self, labels: np.ndarray) -> np.ndarray:
        """Standardise."""
        return self.fit.transform(labels)

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Return quantities in their own units."""
        return self.fit.inverse(targets)

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the mean absolute or squared error."""
        from keras import losses

        kinds = {"mae": losses.MeanAbsoluteError, "mse": losses.MeanSquaredError}
        return kinds[self.kind](reduction=reduction)

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return mean errors of the standardised quantities; NaN if an output is."""
        difference = outputs - targets
        return (np.abs(difference) if self.kind == "mae" else difference**2).mean(axis=1)

    def columns(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Name ``<quantity>_true`` and ``<quantity>_predicted``, in the quantities' units."""
        true, predicted = self.labels(stamps, rows), self.fit.inverse(outputs)
        columns = {}
        for column, name in enumerate(self.names):
            columns[f"{name}_true"] = true[:, column]
            columns[f"{name}_predicted"] = predicted[:, column]
        return columns

    def record(self) -> dict[str, Any]:
        """Keep the quantities and their scaling."""
        return {
            "kind": "numbers",
            "quantities": [quantity.to_dict() for quantity in self.quantities],
            "scaling": self.fit.to_dict(),
        }
