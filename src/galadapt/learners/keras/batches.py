"""The batches of every epoch, as Keras reads them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer, known
from galadapt.config.base import DOMAINS
from galadapt.config.training import Training
from galadapt.learners.keras import networks
from galadapt.learners.keras.data import (
    Examples,
    epoch_order,
    epoch_orientations,
    prints_masks,
    turn,
)

#: Names of the inputs that stand for the stamps of a step, both (batch,) int32.
ROW, ORIENTATION = "row", "orientation"


class Batches(keras.utils.PyDataset):
    """The training stamps of all domains, numbered consecutively, in the order of one epoch.

    The order depends on the seed and the epoch alone. `fit` does not tell a dataset its epoch:
    `draw` must be called before each.

    Attributes:
        images: (n, side, side, 1) float32.
        simulated: Whether each stamp is simulated, (n,) bool.
        domain_weights: Weight of each stamp in the alignment, (n,) float32; may be replaced between
            epochs.
        population_weights: The same in the regression loss, where hidden labels weigh nothing.
    """

    def __init__(
        self,
        training: dict[str, Examples],
        target: Answer,
        method: Training,
        seed: int,
        copies: dict[str, np.ndarray] | None = None,
        by_rows: bool = False,
    ) -> None:
        """Gather the stamps, and draw epoch 0.

        Args:
            training: Stamps per domain.
            target: What is learned, fitted.
            method: How.
            seed: Of the order and the orientations.
            copies: Per domain, how often each stamp is shown in an epoch (n,); None: once.
            by_rows: Give rows and orientations instead of stamps
                (`galadapt.learners.keras.compiling`).
        """
        super().__init__(workers=1, use_multiprocessing=False)
        parts = list(training.values())
        self.images = np.concatenate([part.images for part in parts])
        expected = target.transform(np.concatenate([part.labels for part in parts]))
        labelled = known(expected)
        self._weights = np.where(labelled, target.weights(expected), 0).astype(np.float32)
        # A weight of zero hides a number, but zero times NaN is NaN.
        expected = expected.astype(np.float32)
        expected[~labelled] = 0
        self._targets = expected
        self._draws = not target.shape
        self._domains = np.concatenate(
            [np.full(len(part), DOMAINS.index(name), np.int32) for name, part in training.items()]
        )
        self.simulated = self._domains == DOMAINS.index("simulated")
        self.domain_weights = np.ones(len(self.images), np.float32)
        self.population_weights = np.ones(len(self.images), np.float32)
        times = [
            np.ones(len(part), int) if copies is None else copies[name]
            for name, part in training.items()
        ]
        # Copies are further entries of the same stamp; all entries of a domain are consecutive.
        self._stamps = np.repeat(np.arange(len(self.images)), np.concatenate(times))
        self._is_copy = np.append(False, self._stamps[1:] == self._stamps[:-1])
        self._counts = [int(part.sum()) for part in times]
        self._method = method
        self._seed = seed
        self._by_rows = by_rows
        self.draw(0)

    def draw(self, epoch: int) -> None:
        """Draw the order and the orientations of an epoch, from 0."""
        method = self._method
        self._rows = epoch_order(
            self._counts, method.batch_size, method.balance_domains, self._seed, epoch
        )
        count = len(self._stamps)
        turned = epoch_orientations(count, self._seed, epoch, method.augment)
        if method.augment == "none" and self._is_copy.any():
            copies = epoch_orientations(count, self._seed, epoch)
            turned = np.where(self._is_copy, copies, turned)
        self._orientations = turned

    def __len__(self) -> int:
        """Return the steps of an epoch: the same for every epoch."""
        return len(self._rows)

    def __getitem__(self, step: int) -> tuple[Any, Any, Any]:
        """Return the stamps, targets and weights of one step."""
        entries = self._rows[step]
        rows = self._stamps[entries]
        orientations = self._orientations[entries]
        targets = self._targets[rows]
        if self._draws:
            targets = turn(targets, orientations)
        images: Any
        if self._by_rows:
            images = {ROW: rows.astype(np.int32), ORIENTATION: orientations.astype(np.int32)}
        else:
            images = turn(self.images[rows], orientations)
        weights = self._weights[rows] * self.population_weights[rows]
        alignment = self._method.alignment
        if alignment is None:
            return images, targets, weights
        if prints_masks(alignment) and not self._method.survey_labels:
            # As printed: the first places of EVERY batch are masked, whoever stands there.
            hidden = round(len(rows) * float(np.mean(~self.simulated)))
            weights = np.where(np.arange(len(rows)) >= hidden, weights, np.float32(0))
        return (
            images,
            {networks.ANSWER: targets, networks.DOMAIN: self._domains[rows]},
            {networks.ANSWER: weights, networks.DOMAIN: self.domain_weights[rows]},
        )
