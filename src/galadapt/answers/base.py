"""What a learner predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from galadapt.config.base import fault_of
from galadapt.core.errors import DataError
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    # It is imported once its backend is chosen, by those who learn with it.
    import keras

Record = TypeVar("Record")

#: Least probability in a cross-entropy.
TINY = 1e-7


class Answer(Protocol):
    """What a learner predicts: the labels it reads, its loss, and what its outputs mean.

    Labels are arrays whose first axis counts stamps; NaN marks what is unknown or hidden. What has
    a body here holds unless a kind of answer has its own.
    """

    @classmethod
    def of_method(cls, method: Any, quantities: Sequence[Quantity], stamps: StampSet) -> Self:
        """Return what a method learns from stamps, not yet fitted to them.

        Args:
            method: Its settings.
            quantities: What a method that measures numbers measures.
            stamps: A stamp set the method trains on.

        Raises:
            DataError: the stamps do not hold what the method learns.
        """

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild the answer of a finished run from its `record`.

        Raises:
            DataError: the record is incomplete.
        """

    @property
    def outputs(self) -> int:
        """Outputs for each stamp (for each pixel, where the answer is a map)."""

    @property
    def activation(self) -> str:
        """Activation of the last layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stamp's labels where it does not depend on the stamp; () where it does."""
        return (self.outputs,)

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Read the labels of some stamps.

        Raises:
            DataError: the stamp set does not hold them.
        """

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Return the answer fitted to the training labels.

        Args:
            labels: Of the training stamps.
            start: `record` of the run whose weights are the start; None: random weights.

        Raises:
            DataError: the labels cannot be learned from, or the start learned something else.
        """

    def transform(self, labels: np.ndarray) -> np.ndarray:
        """Return the outputs wanted for stamps with these labels: the labels themselves."""
        return labels

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Return the labels that `transform` makes these targets of: the targets themselves."""
        return targets

    def inverse(self, outputs: np.ndarray) -> np.ndarray:
        """Return the labels that outputs stand for, as if they were targets."""
        return self.labels_of(outputs)

    def averageable(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs of the same meaning, whose mean over orientations has a meaning."""
        return outputs

    def population(self, outputs: np.ndarray) -> np.ndarray:
        """Return what populations are matched in, (n, p) with a small p: the outputs themselves."""
        return outputs

    def weights(self, expected: np.ndarray) -> np.ndarray:
        """Return how much each stamp weighs in the loss, (n,); `expected` as of `transform`."""
        return np.ones(len(expected), np.float32)

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the loss with one of Keras' reductions."""

    def validation_loss(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        """Return what early stopping minimises: the mean of `losses` where labels are known."""
        labelled = known(targets)
        losses = self.losses(outputs[labelled], targets[labelled])
        return float(np.average(losses, weights=weights[labelled]))

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each stamp, (n,), whose labels are all known."""

    def columns(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the columns of a predictions table: true and predicted."""

    def record(self) -> dict[str, Any]:
        """Return what run.json keeps under ``answer``, with the ``kind`` of the registry."""


def known(labels: np.ndarray) -> np.ndarray:
    """Tell for each stamp whether it has all its labels, (n,) bool."""
    return np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)


def rebuilt(kind: type[Record], values: Any, what: str) -> Record:
    """Rebuild a dataclass from its plain values in a run.json; `what` names it in messages.

    Raises:
        DataError: a value is missing or of another type.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise DataError(
            f"{what} is incomplete ({fault_of(error)}); delete the run folder and train again"
        ) from None
