"""What a training reads: stamps and labels of the domains and splits its method names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from galadapt.answers.base import Answer, known
from galadapt.config.training import Adversarial, Alignment, Training
from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet


@dataclass(frozen=True)
class Examples:
    """Stamps of one domain and split."""

    images: np.ndarray  #: (n, side, side, channels) float32, in the unit of the variant.
    labels: np.ndarray  #: (n, ...) as the answer reads them; NaN where unknown or hidden.
    rows: np.ndarray  #: (n,) positions in the stamp set.
    #: (n,) how often a training stamp is shown in an epoch; a hidden label never counts.
    copies: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labelled(self) -> np.ndarray:
        """Tell for each stamp whether it has all its labels, (n,) bool."""
        return known(self.labels)


@dataclass(frozen=True)
class Data:
    """What a learner is fitted to, by domain."""

    training: dict[str, Examples]  #: Stamps of every domain the method trains on.
    validation: dict[str, Examples]  #: The same of the domains whose labels may be used.

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a stamp: side, side, channels."""
        side, _, channels = next(iter(self.training.values())).images.shape[1:]
        return side, side, channels


def read(sets: Mapping[str, StampSet], answer: Answer, method: Training) -> Data:
    """Read what a method is fitted to; see `read_split`."""
    validation = read_split(sets, "validation", answer, method)
    if not method.survey_labels:
        validation.pop("survey", None)
    return Data(read_split(sets, "train", answer, method), validation)


def read_split(
    sets: Mapping[str, StampSet], split: str, answer: Answer, method: Training
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
        # The printed, fixed mask vector needs the labels it then hides from the wrong stamps.
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
        examples = read_examples(sets[domain], rows, answer, method, may_see or leaks)
        if may_see and not examples.labelled.any():
            raise DataError(
                f"{where} has no {split} stamp with all its labels; check its label columns"
            )
        found[domain] = examples
    return found


def read_examples(
    stamps: StampSet, rows: np.ndarray, answer: Answer, method: Training, with_labels: bool
) -> Examples:
    """Read some stamps; without labels they are NaN: some methods must not see them."""
    if with_labels:
        labels = answer.labels(stamps, rows)
    else:
        shape = answer.shape or (stamps.side, stamps.side, answer.outputs)
        labels = np.full((len(rows), *shape), np.nan, np.float32)
    copies = np.ones(len(rows), int)
    if method.label_copies:
        names = map(str, stamps.table["label"].to_numpy(object)[rows])
        copies[:] = [method.label_copies.get(name, 1) for name in names]
        copies[~known(labels)] = 1
    return Examples(stamps.inputs(rows), labels, rows, copies)


def chosen_rows(
    stamps: StampSet, split: str, column: str = "split", magnitude_limit: float | None = None
) -> np.ndarray:
    """Return the positions of the stamps of a split, without those fainter than a limit [mag]."""
    rows = stamps.rows(split, column)
    if magnitude_limit is not None:
        rows = rows[stamps.table["magnitude"].to_numpy(np.float64)[rows] <= magnitude_limit]
    return rows


def require_alike(stamps: StampSet, side: int, channels: Any, others: str) -> None:
    """Raise a DataError if stamps have another side [px] or other channels than `others`."""
    path, found = stamps.paths[0], stamps.metadata.get("channels")
    if stamps.side != side:
        raise DataError(
            f"{path}: stamps of {stamps.side} px beside {others} of {side} px; give both the same "
            "variant"
        )
    if found != channels:
        raise DataError(
            f"{path}: channels {found} beside {others} with {channels}; give both the same"
        )


def prints_masks(alignment: Alignment | None) -> bool:
    """Tell whether labels are hidden as printed: by a vector that the shuffling ignores."""
    return isinstance(alignment, Adversarial) and alignment.masking == "fixed_vector"
