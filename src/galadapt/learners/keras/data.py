"""What a training reads: stamps of both domains by split, and the order of every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galadapt.answers.base import Answer, known
from galadapt.config.training import Adversarial, Alignment, Training
from galadapt.core.errors import DataError
from galadapt.core.random import generator
from galadapt.learners.orientations import COUNT, oriented
from galadapt.stamps.format import StampSet

#: Streams of random numbers of one seed: each is Philox(key=[seed, stream x 2^32 + epoch]).
_ORDER, _TURN = 1, 2


@dataclass(frozen=True)
class Examples:
    """Stamps of one domain and split.

    Attributes:
        images: (n, side, side, 1) float32, in the unit of the variant.
        labels: (n, ...) as the target reads them; NaN where unknown or hidden.
        rows: (n,) positions in the stamp set.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labelled(self) -> np.ndarray:
        """Tell for each stamp whether it has all its labels, (n,) bool."""
        return known(self.labels)


def chosen_rows(
    stamps: StampSet, split: str, column: str = "split", magnitude_limit: float | None = None
) -> np.ndarray:
    """Return the positions of the stamps of one split.

    Args:
        stamps: The open set.
        split: train, validation or test.
        column: Column that says which stamp is in which split.
        magnitude_limit: Leave out fainter stamps [mag]; needs their labels.

    Raises:
        DataError: the column is missing.
    """
    rows = stamps.rows(split, column)
    if magnitude_limit is not None:
        rows = rows[stamps.table["magnitude"].to_numpy(np.float64)[rows] <= magnitude_limit]
    return rows


def read_examples(
    stamps: StampSet, rows: np.ndarray, target: Answer, *, with_labels: bool = True
) -> Examples:
    """Read some stamps of a stamp set.

    Args:
        stamps: The open set.
        rows: Their positions.
        target: Which labels belong to them.
        with_labels: False leaves every label unread (NaN): for methods that must not see them.

    Raises:
        DataError: the labels are missing.
    """
    if with_labels:
        labels = target.labels(stamps, rows)
    else:
        shape = target.shape or (stamps.side, stamps.side, target.outputs)
        labels = np.full((len(rows), *shape), np.nan, np.float32)
    return Examples(images=stamps.images(rows)[..., None], labels=labels, rows=rows)


def read_training(
    sets: dict[str, StampSet], split: str, target: Answer, method: Training
) -> dict[str, Examples]:
    """Read one split of every domain a method trains on, hiding labels it may not use.

    A magnitude limit needs the label `magnitude`, so it leaves survey stamps alone when their
    labels may not be used.

    Raises:
        DataError: a domain has no stamp in this split, or no label where it needs some.
    """
    found: dict[str, Examples] = {}
    limits = {"simulated": method.n_simulated, "survey": method.n_survey}
    for domain in method.domains:
        may_see = domain == "simulated" or method.survey_labels
        # R1's fixed mask vector needs the labels it then hides from the wrong stamps.
        leaks = prints_masks(method.alignment) and split == "train"
        limit = method.magnitude_limit if may_see or leaks else None
        rows = chosen_rows(sets[domain], split, method.split_column, limit)
        if split == "train":
            rows = rows[: limits[domain]]
        where = f"{sets[domain].paths[0]}: {domain}"
        if len(rows) == 0:
            after = "" if limit is None else f" after max_magnitude {limit}"
            raise DataError(
                f"{where} has no {split} stamps{after}; widen the selection or its splits"
            )
        examples = read_examples(sets[domain], rows, target, with_labels=may_see or leaks)
        if may_see and not examples.labelled.any():
            raise DataError(
                f"{where} has no {split} stamp with all its labels; check its label columns"
            )
        found[domain] = examples
    return found


def prints_masks(alignment: Alignment | None) -> bool:
    """Tell whether labels are hidden as R1 printed it: by a vector that the shuffling ignores."""
    return isinstance(alignment, Adversarial) and alignment.masking == "fixed_vector"


def epoch_order(
    counts: Sequence[int], batch_size: int, balance: bool, seed: int, epoch: int
) -> np.ndarray:
    """Draw the batches of one epoch; the same seed and epoch always give the same ones.

    An epoch passes the largest domain once. Balanced batches hold equally many stamps of each
    domain and repeat the smaller one. A last, partial batch is left out: the next epoch's order
    differs, and every step costs and weighs the same.

    Args:
        counts: Stamps per domain; rows of all domains are numbered consecutively.
        batch_size: Stamps per step.
        balance: Whether to balance the domains.
        seed: The training's seed.
        epoch: From 0.

    Returns:
        Rows of shape (steps, batch).
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


#: Orientations of a square that each augmentation draws from: quarter turns, from 4 on mirrored.
ORIENTATIONS = {
    "none": (0,),
    "rotations": (0, 1, 2, 3),
    "vertical": (0, 4),
    "horizontal": (0, 6),
    "all": tuple(range(8)),
}


def epoch_orientations(count: int, seed: int, epoch: int, augment: str = "all") -> np.ndarray:
    """Draw one of the orientations of an augmentation for each of `count` stamps."""
    allowed = np.array(ORIENTATIONS[augment])
    return allowed[generator(seed, _TURN, epoch).integers(0, len(allowed), count)]


def turn(images: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Rotate stamps (n, side, side, 1) by quarter turns, and mirror those of orientation 4 to 7.

    No parameter and no class depends on the orientation; masks turn with their stamps.
    """
    if not orientations.any():
        return images
    turned = np.empty_like(images)
    for orientation in range(COUNT):
        chosen = orientations == orientation
        turned[chosen] = oriented(images[chosen], orientation)
    return turned
