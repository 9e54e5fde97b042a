"""The batches of every epoch, as Keras reads them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from galadapt.config import DOMAINS, Method
from galadapt.models import networks
from galadapt.models.targets import TargetScaler
from galadapt.training.data import (
    Examples,
    epoch_order,
    epoch_orientations,
    prints_masks,
    turn,
)


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
        self, training: dict[str, Examples], scaler: TargetScaler, method: Method, seed: int
    ) -> None:
        """Gather the stamps, and draw epoch 0."""
        super().__init__(workers=1, use_multiprocessing=False)
        parts = list(training.values())
        self.images = np.concatenate([part.images for part in parts])
        scaled = scaler.transform(np.concatenate([part.labels for part in parts]))
        labelled = np.isfinite(scaled).all(axis=1)
        # A weight of zero hides a number, but zero times NaN is NaN.
        self._targets = np.where(labelled[:, None], scaled, 0).astype(np.float32)
        self._weights = labelled.astype(np.float32)
        self._domains = np.concatenate(
            [np.full(len(part), DOMAINS.index(name), np.int32) for name, part in training.items()]
        )
        self.simulated = self._domains == DOMAINS.index("simulated")
        self.domain_weights = np.ones(len(self.images), np.float32)
        self.population_weights = np.ones(len(self.images), np.float32)
        self._counts = [len(part) for part in parts]
        self._method = method
        self._seed = seed
        self.draw(0)

    def draw(self, epoch: int) -> None:
        """Draw the order and the orientations of an epoch, from 0."""
        method = self._method
        self._rows = epoch_order(
            self._counts, method.batch_size, method.balance_domains, self._seed, epoch
        )
        self._orientations = epoch_orientations(len(self.images), self._seed, epoch)

    def __len__(self) -> int:
        """Return the steps of an epoch: the same for every epoch."""
        return len(self._rows)

    def __getitem__(self, step: int) -> tuple[Any, Any, Any]:
        """Return the stamps, targets and weights of one step."""
        rows = self._rows[step]
        images = self.images[rows]
        if self._method.augment:
            images = turn(images, self._orientations[rows])
        targets = self._targets[rows]
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
            {networks.REGRESSION: targets, networks.DOMAIN: self._domains[rows]},
            {networks.REGRESSION: weights, networks.DOMAIN: self.domain_weights[rows]},
        )
