"""Classes: a probability each, or one per border between ordered ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from galadapt.answers.base import TINY, Answer
from galadapt.answers.classes.coder import ClassCoder
from galadapt.config.classes import ClassMethod
from galadapt.core.errors import DataError
from galadapt.core.files import require
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    import keras


def stamp_labels(stamps: StampSet, rows: np.ndarray) -> np.ndarray:
    """Read the class labels of some stamps, (n,) object.

    Raises:
        DataError: the stamp set holds none.
    """
    require(stamps.table, ["label"], stamps.paths[0], "rerun the stage that writes it")
    return stamps.table["label"].to_numpy(object)[rows]


def coder_of(method: ClassMethod, stamps: StampSet) -> ClassCoder:
    """Group the classes of a stamp set as a method's settings do.

    Raises:
        DataError: the stamps do not name their classes, or lack one that the method groups.
    """
    require(stamps.metadata, ["classes"], stamps.paths[0], "rerun the stage that writes it", "key")
    try:
        return ClassCoder.of(stamps.metadata["classes"], method.groups, method.answer != "nominal")
    except DataError as error:
        raise DataError(f"{stamps.paths[0]}: {error}") from None


def truth(coder: ClassCoder, stamps: StampSet, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns true class, original label and group."""
    original = stamp_labels(stamps, rows)
    group = stamps.table["group"].to_numpy(object)[rows] if "group" in stamps.table else original
    return {"group": group, "label_true": coder.group(original), "label_original": original}


def named(coder: ClassCoder, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Name the probabilities (n, classes) as columns of a predictions table."""
    return {f"p_{name}": probabilities[:, k] for k, name in enumerate(coder.classes)}


def balance(counts: np.ndarray) -> np.ndarray:
    """Give every class the same weight in all, with a mean of 1 over the stamps."""
    present = np.count_nonzero(counts)
    return np.where(counts > 0, counts.sum() / np.maximum(counts, 1) / max(present, 1), 0.0)


@dataclass(frozen=True)
class Classes(Answer):
    """The class of a stamp."""

    coder: ClassCoder  #: the classes
    balanced: bool = False  #: whether rare classes weigh more
    class_weights: tuple[float, ...] = ()  #: weight of each class in the loss, once fitted

    @classmethod
    def of_method(
        cls, method: ClassMethod, quantities: Sequence[Quantity], stamps: StampSet
    ) -> Self:
        """Group the classes that the stamps name."""
        return cls(coder_of(method, stamps), method.class_weights == "balanced")

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `record`."""
        return cls(ClassCoder.from_dict(record.get("classes", {})))

    @property
    def outputs(self) -> int:
        """One number per class, or per border."""
        return self.coder.outputs

    @property
    def activation(self) -> str:
        """Probabilities that add up to 1, or one for each border."""
        return "sigmoid" if self.coder.ordinal else "softmax"

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Return the outputs wanted for these classes, (n, outputs) float64."""
        return self.coder.encode(stamp_labels(stamps, rows))

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Count the classes."""
        if start is not None:
            learned = ClassCoder.from_dict(start.get("classes", {}))
            # The area of a map is always in order; what is learned from maps need not be.
            if replace(learned, ordinal=self.coder.ordinal) != self.coder or (
                learned.ordinal != self.coder.ordinal and start.get("kind") != "maps"
            ):
                raise DataError(
                    f"has classes {', '.join(learned.classes)}, not {', '.join(self.coder.classes)}"
                )
        index = self.coder.index(labels)
        counts = np.bincount(index[index >= 0], minlength=len(self.coder.classes))
        if np.count_nonzero(counts) < 2:
            raise DataError(
                f"the training stamps are all of one class ({counts.tolist()} of "
                f"{', '.join(self.coder.classes)}); give stamps of at least two"
            )
        weights = balance(counts) if self.balanced else np.ones(len(counts))
        return replace(self, class_weights=tuple(weights.tolist()))

    def weights(self, expected: np.ndarray) -> np.ndarray:
        """Weigh each stamp as its class."""
        table = np.array([*self.class_weights, 0.0], np.float32)
        return table[self.coder.index(expected)]

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the cross-entropy."""
        from keras import losses

        if self.coder.ordinal:
            return losses.BinaryCrossentropy(reduction=reduction)
        return losses.CategoricalCrossentropy(reduction=reduction)

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return cross-entropies; NaN if an output is."""
        outputs = np.clip(outputs, TINY, 1 - TINY)
        each = targets * np.log(outputs)
        if self.coder.ordinal:
            return -(each + (1 - targets) * np.log1p(-outputs)).mean(axis=1)
        return -each.sum(axis=1)

    def columns(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Name the true class and one probability per class."""
        found = self.coder.probabilities(outputs)
        return {**truth(self.coder, stamps, rows), **named(self.coder, found)}

    def record(self) -> dict[str, Any]:
        """Keep the classes."""
        return {
            "kind": "classes",
            "classes": self.coder.to_dict(),
            "class_weights": list(self.class_weights),
        }
