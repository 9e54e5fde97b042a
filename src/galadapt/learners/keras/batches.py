"""The batches of every epoch, as Keras reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer, known
from galadapt.config.base import DOMAINS
from galadapt.config.training import Training
from galadapt.core.random import generator
from galadapt.learners.data import Examples, prints_masks
from galadapt.learners.keras import networks
from galadapt.learners.orientations import COUNT, oriented

#: Streams of random numbers of one seed: each is Philox(key=[seed, stream x 2^32 + epoch]).
_ORDER, _TURN = 1, 2

#: Orientations of a square that each augmentation draws from: quarter turns, from 4 on mirrored.
ORIENTATIONS = {
    "none": (0,),
    "rotations": (0, 1, 2, 3),
    "vertical": (0, 4),
    "horizontal": (0, 6),
    "all": tuple(range(COUNT)),
}

#: Names of the inputs that stand for the stamps of a step, both (batch,) int32.
ROW, ORIENTATION = "row", "orientation"


class Batches(keras.utils.PyDataset):
    """The training stamps of all domains, numbered consecutively, in the order of one epoch.

    The order depends on the seed and the epoch alone. `fit` does not pass the epoch to a dataset:
    `draw` must be called before each.
    """

    def __init__(
        self,
        training: dict[str, Examples],
        answer: Answer,
        method: Training,
        seed: int,
        by_rows: bool = False,
    ) -> None:
        """Gather the stamps, and draw epoch 0; `by_rows`, steps are rows and orientations."""
        super().__init__(workers=1, use_multiprocessing=False)
        parts = list(training.values())
        #: (n, side, side, channels) float32.
        self.images = np.concatenate([part.images for part in parts])
        expected = answer.transform(np.concatenate([part.labels for part in parts]))
        labelled = known(expected)
        self.labelled = int(labelled.sum())
        self._weights = np.where(labelled, answer.weights(expected), 0).astype(np.float32)
        # A weight of zero hides a number, but zero times NaN is NaN.
        expected = expected.astype(np.float32)
        expected[~labelled] = 0
        self._targets = expected
        self._draws = not answer.shape
        self._domains = np.concatenate(
            [np.full(len(part), DOMAINS.index(name), np.int32) for name, part in training.items()]
        )
        #: Whether each stamp is simulated, (n,) bool.
        self.simulated = self._domains == DOMAINS.index("simulated")
        #: Weight of each stamp in the alignment, (n,); may be replaced between epochs.
        self.domain_weights = np.ones(len(self.images), np.float32)
        #: The same in the regression loss, where hidden labels weigh nothing.
        self.population_weights = np.ones(len(self.images), np.float32)
        # Copies are further entries of the same stamp; all entries of a domain are consecutive.
        self._stamps = np.repeat(
            np.arange(len(self.images)), np.concatenate([part.copies for part in parts])
        )
        self._is_copy = np.append(False, self._stamps[1:] == self._stamps[:-1])
        self._counts = [int(part.copies.sum()) for part in parts]
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


def epoch_order(
    counts: Sequence[int], batch_size: int, balance: bool, seed: int, epoch: int
) -> np.ndarray:
    """Draw the batches of one epoch, rows of shape (steps, batch), by the seed and the epoch alone.

    An epoch passes the largest domain once. Balanced batches hold equally many stamps of each
    domain and repeat the smaller one. A last, partial batch is left out: the next epoch's order
    differs, and every step costs and weighs the same.

    Args:
        counts: Stamps per domain; rows of all domains are numbered consecutively.
    """
    random = generator(seed, _ORDER, epoch)
    if len(counts) == 1 or not balance:
        total = sum(counts)
        batch = min(batch_size, total)
        order = random.permutation(total)
        return order[: total // batch * batch].reshape(-1, batch)
    share = min(max(1, batch_size // len(counts)), max(counts))
    steps = max(counts) // share
    parts, first = [], 0
    for count in counts:
        rounds = -(-steps * share // count)
        rows = np.concatenate([random.permutation(count) for _ in range(rounds)])
        parts.append(first + rows[: steps * share].reshape(steps, share))
        first += count
    return random.permuted(np.concatenate(parts, axis=1), axis=1)


def epoch_orientations(count: int, seed: int, epoch: int, augment: str = "all") -> np.ndarray:
    """Draw one of the orientations of an augmentation for each of `count` stamps."""
    allowed = np.array(ORIENTATIONS[augment])
    return allowed[generator(seed, _TURN, epoch).integers(0, len(allowed), count)]


def turn(images: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Rotate stamps (n, side, side, ...) by quarter turns, and mirror those of orientation 4 to 7.

    No parameter and no class depends on the orientation; masks turn with their stamps.
    """
    if not orientations.any():
        return images
    turned = np.empty_like(images)
    for orientation in range(COUNT):
        chosen = orientations == orientation
        turned[chosen] = oriented(images[chosen], orientation)
    return turned
