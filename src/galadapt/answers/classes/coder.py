"""Classes as outputs of a network, and back to probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from galadapt.answers.base import rebuilt
from galadapt.core.errors import DataError


@dataclass(frozen=True)
class ClassCoder:
    """The classes a network distinguishes."""

    classes: tuple[str, ...]  #: their names, in order
    labels: tuple[tuple[str, ...], ...]  #: for each class the labels of its stamps
    #: Whether classes are ordered: then a network gives for each border between two classes the
    #: probability that a stamp lies beyond it (Frank & Hall 2001), otherwise one probability per
    #: class. Two classes are always one border.
    ordinal: bool

    @classmethod
    def of(
        cls, known: Sequence[str], groups: Mapping[str, Sequence[str]], ordinal: bool
    ) -> ClassCoder:
        """Group the labels of a stamp set.

        Args:
            known: Labels of the stamp set, in order.
            groups: Classes with the labels they take; empty: the labels themselves. Classes stand
                in the order of their first labels, whatever that of the mapping: JSON has none.
            ordinal: Whether the classes are ordered.

        Raises:
            DataError: a group names an unknown label, or fewer than two classes are left.
        """
        for name, labels in groups.items():
            for label in labels:
                if label not in known:
                    raise DataError(
                        f"groups.{name}: the stamps have no class '{label}'; choose of "
                        f"{', '.join(known)}"
                    )
        first = {name: min(list(known).index(label) for label in groups[name]) for name in groups}
        names = tuple(sorted(first, key=first.__getitem__)) or tuple(known)
        if len(names) < 2:
            raise DataError(
                f"one class ({', '.join(names)}) is not enough to classify; give at least two"
            )
        taken = tuple(tuple(groups[name]) if groups else (name,) for name in names)
        return cls(names, taken, ordinal or len(names) == 2)

    @property
    def outputs(self) -> int:
        """Number of outputs for a stamp."""
        return len(self.classes) - self.ordinal

    def group(self, labels: Iterable[str]) -> np.ndarray:
        """Name the class of each label, "" where it belongs to none: (n,) object."""
        of_label = {
            label: name
            for name, members in zip(self.classes, self.labels, strict=True)
            for label in members
        }
        return np.array([of_label.get(str(label), "") for label in labels], object)

    def encode(self, labels: Iterable[str]) -> np.ndarray:
        """Return the outputs wanted for labels, (n, outputs) float64; NaN where unknown."""
        named = self.group(labels)
        index = np.array([self.classes.index(name) if name else -1 for name in named], int)
        compared = np.greater if self.ordinal else np.equal
        coded = compared(index[:, None], np.arange(self.outputs)).astype(float)
        coded[index < 0] = np.nan
        return coded

    def index(self, coded: np.ndarray) -> np.ndarray:
        """Return the number of the class of each row of `encode`, -1 where unknown."""
        known = np.isfinite(coded).all(axis=1)
        filled = np.where(known[:, None], coded, 0)
        found = filled.sum(axis=1) if self.ordinal else filled.argmax(axis=1)
        return np.where(known, found.astype(int), -1)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Turn a network's outputs (n, outputs) into probabilities (n, classes).

        Where the probabilities of borders are out of order, the lower one is used, so that no class
        has a negative probability.
        """
        values = np.asarray(outputs, np.float64)
        if not self.ordinal:
            return values / values.sum(axis=1, keepdims=True)
        beyond = np.minimum.accumulate(values, axis=1)
        edges = np.pad(beyond, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        return edges[:, :-1] - edges[:, 1:]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassCoder:
        """Rebuild from `to_dict`.

        Raises:
            DataError: a key is missing or the lengths differ.
        """
        coder = rebuilt(cls, values, "the record of a run's classes")
        if len(coder.classes) != len(coder.labels) or len(coder.classes) < 2:
            raise DataError(
                "the classes of a run have lists of different lengths; delete the run folder and "
                "train again"
            )
        return coder
