"""Maps: a probability for each pixel; the class follows from the flagged share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from galadapt.answers.base import TINY, Answer, known
from galadapt.answers.classes.answer import coder_of, named, truth
from galadapt.answers.classes.coder import ClassCoder
from galadapt.answers.maps.area import beyond, flagged_share
from galadapt.config.classes import ClassMethod
from galadapt.core.errors import DataError
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Maps(Answer):
    """A probability for each pixel that it is flagged."""

    coder: ClassCoder  #: the classes, ordered by the flagged share of the exposed pixels
    borders: tuple[float, ...]  #: flagged share at which each class but the first begins

    outputs = 1  #: one map
    activation = "sigmoid"  #: a probability for each pixel
    shape = ()  #: that of the stamp

    @classmethod
    def of_method(
        cls, method: ClassMethod, quantities: Sequence[Quantity], stamps: StampSet
    ) -> Self:
        """Group the classes that the stamps name, which must have masks."""
        coder = coder_of(method, stamps)
        borders = stamps.metadata.get("mask_borders")
        if not borders or not stamps.has_masks:
            raise DataError(
                f"{stamps.paths[0]}: holds no masks, or not the flagged shares at which classes "
                "begin (mask_borders); choose another answer than mask"
            )
        begins = dict(zip(stamps.metadata["classes"], borders, strict=True))
        return cls(coder, tuple(min(begins[label] for label in few) for few in coder.labels[1:]))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `record`."""
        coder = ClassCoder.from_dict(record.get("classes", {}))
        return cls(coder, tuple(map(float, record.get("borders", []))))

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Read the masks, (n, side, side, 1) float32."""
        if not stamps.has_masks:
            return np.full((len(rows), stamps.side, stamps.side, 1), np.nan, np.float32)
        return stamps.masks(rows)[..., None].astype(np.float32)

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Refuse masks that are empty."""
        if not np.any(labels[known(labels)]):
            raise DataError("no training stamp has a flagged pixel; give stamps with masks")
        return self

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the loss of maps."""
        from galadapt.answers.maps.loss import Overlap

        return Overlap(reduction=reduction)

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return mean cross-entropies of pixels."""
        clipped = np.clip(outputs, TINY, 1 - TINY)
        each = -np.where(targets > 0.5, np.log(clipped), np.log1p(-clipped))
        return each.mean(axis=(1, 2, 3))

    def validation_loss(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        """Mean cross-entropy of pixels plus 1 - the Dice coefficient of all stamps."""
        crossed = super().validation_loss(outputs, targets, weights)
        labelled = known(targets)
        outputs, targets = outputs[labelled], targets[labelled]
        sums = (np.sum(part, dtype=np.float64) for part in (targets * outputs, targets, outputs))
        shared, true, drawn = sums
        return float(crossed + 1 - (2 * shared + 1) / (true + drawn + 1))

    def columns(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Name the true class, the flagged share drawn, and one probability per class.

        A class is as sure as the drawn map is that its share of the field is flagged.
        """
        exposed = np.ones(len(rows))
        if "exposed_fraction" in stamps.table:
            exposed = stamps.table["exposed_fraction"].to_numpy(np.float64)[rows]
        maps = outputs[..., 0]
        found = self.coder.probabilities(beyond(maps, exposed, self.borders))
        return {
            **truth(self.coder, stamps, rows),
            "flagged_share": flagged_share(maps, exposed),
            **named(self.coder, found),
        }

    def record(self) -> dict[str, Any]:
        """Keep the classes and their borders."""
        return {"kind": "maps", "classes": self.coder.to_dict(), "borders": list(self.borders)}
