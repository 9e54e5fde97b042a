"""What a training reads: stamps of both domains by split, and the order of every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galadapt.config import Adversarial, Alignment, Method
from galadapt.errors import DataError
from galadapt.randomness import generator
from galadapt.stamps import StampSet

#: Streams of random numbers of one seed: each is Philox(key=[seed, stream x 2^32 + epoch]).
_ORDER, _TURN = 1, 2


@dataclass(frozen=True)
class Examples:
    """Stamps of one domain and split.

    Attributes:
        images: (n, side, side, 1) float32, in the unit of the variant.
        labels: (n, parameters) float64 in the parameters' units; NaN where unknown or hidden.
        ids: (n,) identifiers.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> np.ndarray:
        """Tell for each stamp whether it has all its labels, (n,) bool."""
        return np.isfinite(self.labels).all(axis=1)


def read_examples(
    stamps: StampSet,
    split: str,
    parameters: Sequence[str],
    *,
    with_labels: bool = True,
    max_magnitude: float | None = None,
    at_most: int | None = None,
) -> Examples:
    """Read one split of a stamp set.

    Args:
        stamps: The open set.
        split: train, validation or test.
        parameters: Label columns, in order.
        with_labels: False leaves every label unread (NaN): for methods that must not see them.
        max_magnitude: Leave out fainter stamps [mag]; needs the labels.
        at_most: Read no more than this many, from the start of the split.

    Raises:
        DataError: a label column is missing.
    """
    rows = stamps.rows(split)
    table = stamps.table
    for name in parameters if with_labels else ():
        if name not in table:
            raise DataError(
                f"{stamps.paths[0]}: lacks the label column '{name}'; rerun the stage that "
                "writes it"
            )
    if with_labels and max_magnitude is not None:
        rows = rows[table["magnitude"].to_numpy(np.float64)[rows] <= max_magnitude]
    rows = rows[:at_most]
    if with_labels:
        labels = table.loc[rows, list(parameters)].to_numpy(np.float64)
    else:
        labels = np.full((len(rows), len(parameters)), np.nan)
    return Examples(
        images=stamps.images(rows)[..., None], labels=labels, ids=table["id"].to_numpy()[rows]
    )


def read_training(
    sets: dict[str, StampSet], split: str, parameters: Sequence[str], method: Method
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
        leaks = prints_masks(method.alignment)
        examples = read_examples(
            sets[domain],
            split,
            parameters,
            with_labels=may_see or (leaks and split == "train"),
            max_magnitude=method.max_magnitude,
            at_most=limits[domain] if split == "train" else None,
        )
        where = f"{sets[domain].paths[0]}: {domain}"
        if len(examples) == 0:
            raise DataError(
                f"{where} has no {split} stamps after max_magnitude {method.max_magnitude}; "
                "widen the selection or its splits"
            )
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


def epoch_orientations(count: int, seed: int, epoch: int) -> np.ndarray:
    """Draw one of the 8 orientations of a square for each of `count` stamps."""
    return generator(seed, _TURN, epoch).integers(0, 8, count)


def turn(images: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Rotate stamps (n, side, side, 1) by quarter turns, and mirror those of orientation 4 to 7.

    None of the four structural parameters depends on the orientation.
    """
    turned = np.empty_like(images)
    for orientation in range(8):
        chosen = orientations == orientation
        view = np.rot90(images[chosen], orientation % 4, axes=(1, 2))
        turned[chosen] = view[:, ::-1] if orientation >= 4 else view
    return turned
